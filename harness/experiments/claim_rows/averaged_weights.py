"""Claims about soups, the means of the weights of several models."""

from harness.experiments.claim_rows.claim import declared

ANY_RATE = "a soup is compared with the models that it is made of, whatever rates they have"
WHY = "one point: a smaller difference would change nobody's choice"

CLAIMS = tuple(
    declared(
        name,
        sentence,
        f"harness.analysis.combining.soups:{test}",
        margin=0.01,
        estimand="score of a soup minus that of its best ingredient by validation, or the mean of theirs, of the same "
        "seed, mean over tasks",
        direction=direction,
        scale="score, -1 to 1",
        why=WHY,
        any_rate=ANY_RATE,
        options={"against": "mean"},
    )
    for name, test, sentence, direction in (
        ("soup-beats", "beats", "A soup scores above the {against} of its ingredients.", "above the margin"),
        (
            "soup-matches",
            "matches",
            "A soup scores at least as high as the {against} of its ingredients.",
            "not more than the margin below",
        ),
    )
)
