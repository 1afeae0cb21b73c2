"""The word-level tokenizer of world 2 in the standard `tokenizers` format; one for all three families.

Order of ids: specials, T5 sentinels, 64 spare tokens, then the words in alphabetical order. It ends every text with
`</s>`. The words of world 1 are all there, with them those of the eight commonsense shapes and of the instructions.
"""

from pathlib import Path

from tasks.microworld import lexicon
from tasks.microworld.vocabulary import SENTINELS, SPARES, SPECIALS
from tasks.microworld2 import corpus

PATH = Path(__file__).parent / "tokenizer"
ROWS = 1024
"""Rows of a backbone's embedding: the words, rounded up to a multiple of 128."""
RESERVED = (
    "aspect statement statements claim claims events event order plan talk speaker story stories meaning means sentence "
    "sentences good bad agree disagree true false maybe unknown although because while before after until during when "
    "since however therefore then later earlier first finally instead only both neither either also too still already "
    "morning evening noon night today tomorrow yesterday week both each every any all none some few most more less than "
    "could would should must may might will shall do does did has have had is are was were be been being am not never "
    "always often sometimes he she they them his her their our we us you your i me my it its this that there here"
).split()
"""Words that no document needs to have, for tasks that are still to come."""


def words() -> list[str]:
    """Return every word of the corpus, of the task formats and of those that are reserved, alphabetically."""
    used = {word for stage in corpus.STAGES for text in corpus.documents(stage, 20_000) for word in text.split()}
    used |= {word for texts in corpus.held_out_documents().values() for text in texts for word in text.split()}
    used.update(word for word in (*lexicon.FORMAT_WORDS, *RESERVED) if not word.startswith("<"))
    return sorted(used)


def save(folder: Path = PATH) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import WordLevel
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate((*SPECIALS, *SENTINELS, *SPARES, *words()))}
    if len(vocabulary) > ROWS:
        raise ValueError(f"{len(vocabulary)} words are more than the {ROWS} rows of an embedding; raise ROWS")
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])])
    tokenizer.add_special_tokens([*SPECIALS, *SENTINELS])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", mask_token="<mask>",
        bos_token="<s>", additional_special_tokens=list(SENTINELS), model_max_length=512,
    ).save_pretrained(folder)  # fmt: skip


if __name__ == "__main__":
    save()
