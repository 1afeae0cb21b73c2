"""The stand-in for a tokenizer: text as its UTF-8 bytes, for a bare architecture that has none.

Good for memory, speed and the path of a run, where only the number of tokens counts. The ids lie above the special
tokens of every usual vocabulary (BERT's end at 103), so a byte is never taken for one.
"""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from harness.errors import UsageError

MASK, FIRST = 299, 300  # the mask token, then 256 bytes


def tokenizer(vocabulary: int) -> Tokenizer:
    """Bytes as ids FIRST to FIRST + 255. UsageError where the model's vocabulary has no room for them."""
    if vocabulary < FIRST + 256:
        raise UsageError(
            f"a vocabulary of {vocabulary} has no room for text as bytes ({FIRST + 256}); give model.tokenizer=FOLDER."
        )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({"<mask>": MASK, **{sign: FIRST + i for i, sign in enumerate(alphabet)}}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<mask>"])
    return made
