"""The word-level tokenizer of the microworld in the standard `tokenizers` format.

Order of ids: specials, T5 sentinels, 64 spare tokens, then the words in alphabetical order. One tokenizer for all
three families; it ends every text with `</s>`.
"""

from pathlib import Path

from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from tasks.microworld import corpus, lexicon

SPECIALS = ("<pad>", "</s>", "<unk>", "<mask>", "<s>")
SENTINELS = tuple(f"<extra_id_{i}>" for i in range(16))
SPARES = tuple(f"<spare_{i}>" for i in range(64))
PATH = Path(__file__).parent / "tokenizer"


def words() -> list[str]:
    """Return every word of the corpus and of the task formats, alphabetically."""
    words = {word for text in corpus.documents() for word in text.split()}
    words.update(word for word in lexicon.FORMAT_WORDS if not word.startswith("<"))
    return sorted(words)


def build() -> Tokenizer:
    """Return the tokenizer: lower case, split at spaces and punctuation, one id per word."""
    vocabulary = {token: i for i, token in enumerate((*SPECIALS, *SENTINELS, *SPARES, *words()))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])])
    tokenizer.add_special_tokens([*SPECIALS, *SENTINELS])
    return tokenizer


def save(folder: Path = PATH) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(
        tokenizer_object=build(),
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        bos_token="<s>",
        additional_special_tokens=list(SENTINELS),
        model_max_length=512,
    ).save_pretrained(folder)


if __name__ == "__main__":
    save()
