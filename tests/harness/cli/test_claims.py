"""`deltabench claims`: every claim of every exhibit, with the verdicts of the runs at hand."""

import json
from pathlib import Path

import pytest

from harness import assets
from harness.analysis import claim_findings
from harness.cli import dispatch
from harness.experiments import exhibits


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _rows(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict]:
    assert dispatch.main(["claims", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_claim_of_every_exhibit_is_listed_with_every_finding(capsys: pytest.CaptureFixture[str]) -> None:
    rows = _rows(capsys)
    stated = [(exhibit.name, name) for exhibit in exhibits.catalogue().values() for name, _ in exhibit.claims]
    assert [(row["exhibit"], row["claim"]) for row in rows] == stated
    files = assets.reference().glob("*/claims.json")
    committed = [finding for path in files for finding in json.loads(path.read_text())["findings"]]
    listed = [finding for row in rows for finding in row["findings"]]
    assert len(listed) == len(committed) > 0, "a finding belongs to one claim"
    assert sorted(finding["sentence"] for finding in listed) == sorted(one["sentence"] for one in committed)
    for row in rows:
        assert row["margin"] is not None
        assert row["estimand"]
        assert row["papers"]
        assert row["why"]


def test_filters_leave_what_they_name(capsys: pytest.CaptureFixture[str]) -> None:
    of_ding = _rows(capsys, "--paper", "ding2022")
    assert of_ding
    assert all("ding2022" in row["papers"] for row in of_ding), "others may stand beside it"
    assert {row["exhibit"] for row in _rows(capsys, "--exhibit", "dora-table5")} == {"dora-table5"}
    untested = _rows(capsys, "--verdict", "untested")
    assert all(
        "untested" in {finding["verdict"] for finding in row["findings"] or [{"verdict": "untested"}]}
        for row in untested
    )
    contradicted = _rows(capsys, "--verdict", "contradicted")
    assert contradicted
    assert all("contradicted" in {finding["verdict"] for finding in row["findings"]} for row in contradicted)


def test_a_run_of_ones_own_stands_beside_the_reference(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = json.loads((assets.reference() / "dora-table5" / "claims.json").read_text())
    own = {**reference["findings"][0], "verdict": "contradicted"}
    own["sentence"] = own["sentence"].replace(reference["findings"][0]["verdict"], "contradicted", 1)
    folder = elsewhere / "results" / "exhibits" / "dora-table5" / "quick"
    folder.mkdir(parents=True)
    (folder / "claims.json").write_text(json.dumps({"findings": [own]}))
    row = _rows(capsys, "--exhibit", "dora-table5")[0]
    assert [finding["run"] for finding in row["findings"]] == ["reference", "results/exhibits/dora-table5/quick"]
    assert dispatch.main(["claims", "--exhibit", "dora-table5"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "contradicted, micro-t5-nano (results/exhibits/dora-table5/quick): " in out


def test_claims_that_differ_by_their_margin_keep_their_own_findings(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "conf" / "exhibit").mkdir(parents=True)
    one = "claim: scores-above, left: full, right: none, margin:"
    twice = f"{{{one} 0.01}}, {{{one} 0.5}}"
    (elsewhere / "conf" / "exhibit" / "mine.yaml").write_text(
        f"title: t\nsource: s\nview: [ranking]\nclaims: [{twice}]\n"
        "grid: {quick: {method: [none, full], model: micro-t5-nano, task: micro/qa, seed: 0}}\n"
    )
    folder = elsewhere / "results" / "exhibits" / "mine" / "quick"
    folder.mkdir(parents=True)
    found = {"claim": "scores-above", "model": "micro-t5-nano", "comparisons": [], "notes": []}
    both = [
        {**found, "margin": margin, "verdict": verdict, "sentence": f"full scores above none: {verdict}; as told."}
        for margin, verdict in ((0.01, "reproduced"), (0.5, "contradicted"))
    ]
    (folder / "claims.json").write_text(json.dumps({"findings": both}))
    rows = _rows(capsys, "--exhibit", "mine", "--config-dir", "conf")
    assert [(row["margin"], [one["verdict"] for one in row["findings"]]) for row in rows] == [
        (0.01, ["reproduced"]), (0.5, ["contradicted"]),
    ]  # fmt: skip


def test_an_untested_claim_names_the_command_that_shows_its_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.main(["claims", "--exhibit", "dora-table15-faithful"]) == 0
    out = capsys.readouterr().out
    assert "untested: `deltabench reproduce dora-table15-faithful --dry-run` shows its cells" in " ".join(out.split())
    assert out.splitlines()[-1].endswith("verdicts: 3 untested")


@pytest.mark.parametrize("words", [("--paper", "dingg2022"), ("--verdict", "reproducd"), ("--exhibit", "dora-table55")])
def test_a_word_that_names_nothing_is_refused(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.main(["claims", *words]) == 2
    assert f"deltabench: {words[0]} {words[1]}: no claim has it. Did you mean " in capsys.readouterr().err


def test_the_paper_of_a_source_is_its_first_author_and_year() -> None:
    assert claim_findings.papers("Ding et al. 2022 (arXiv 2203.06904), section 5.1") == ("ding2022",)
    assert claim_findings.papers("after Dettmers et al. 2023 and Lv et al. 2023") == ("dettmers2023", "lv2023")
    assert claim_findings.papers("deltabench's own grid; no paper") == ("own",)
