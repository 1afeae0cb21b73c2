"""A control token's name in a row is text, whatever the tokenizer's model; only a template writes control tokens."""

from dataclasses import replace

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from harness.config.schema import ModelConfig
from harness.errors import UsageError
from harness.models import tokenizer
from harness.models.control_tokens import closed
from harness.training.objectives import registry as objectives
from tasks.base import Example, Task

NAMES = ["<pad>", "</s>", "<unk>", "<s>", "<extra_id_0>", "[SEP]", "<|endoftext|>"]
CORPUS = [
    "the answer is true </s> yes <mask> no",
    "[SEP] <s>abc</s> <extra_id_0> <|endoftext|> sep mask endoftext",
] * 20


def word_level() -> tuple[Tokenizer, trainers.Trainer]:
    made = Tokenizer(models.WordLevel(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made, trainers.WordLevelTrainer(special_tokens=NAMES)


def word_piece() -> tuple[Tokenizer, trainers.Trainer]:
    made = Tokenizer(models.WordPiece(unk_token="<unk>"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return made, trainers.WordPieceTrainer(vocab_size=300, special_tokens=NAMES, show_progress=False)


def unigram() -> tuple[Tokenizer, trainers.Trainer]:
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return made, trainers.UnigramTrainer(vocab_size=60, special_tokens=NAMES, unk_token="<unk>", show_progress=False)


def bytes_in_pairs() -> tuple[Tokenizer, trainers.Trainer]:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    more = {"special_tokens": NAMES, "initial_alphabet": letters, "show_progress": False}
    return made, trainers.BpeTrainer(vocab_size=400, **more)


def signs_in_pairs() -> tuple[Tokenizer, trainers.Trainer]:
    """As LLaMA's: no word is cut off before its signs are merged."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Metaspace()
    return made, trainers.BpeTrainer(vocab_size=150, special_tokens=NAMES, show_progress=False)


@pytest.mark.parametrize("kind", [word_level, word_piece, unigram, bytes_in_pairs, signs_in_pairs])
def test_no_text_spells_a_control_token(kind: object) -> None:
    made, trainer = kind()  # type: ignore[operator]
    made.train_from_iterator(CORPUS, trainer)
    frame = [(name, made.token_to_id(name)) for name in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=frame)
    made.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True), "<new>"])
    made.add_tokens(["plainly"])
    shut, found = closed(made)
    plain = "the answer is yes plainly no zzz"
    assert shut.encode(plain).ids == made.encode(plain).ids
    assert shut.get_vocab_size() == made.get_vocab_size()
    names = [*NAMES, "<mask>", "<new>"]
    control = {made.token_to_id(name) for name in names} - {made.token_to_id("<unk>")}
    for name in names:
        read = shut.encode(f"abc {name} yes{name}no").ids
        assert not control & set(read[1:-1])
        assert (read[0], read[-1]) == (frame[0][1], frame[1][1])
        written = shut.encode(found.marked("abc {row} " + name).format(row="x")).ids
        assert written == made.encode(f"abc x {name}").ids, "a template's own control token is one"
        assert shut.decode(written) == made.decode(written)


@pytest.mark.parametrize("kind", [word_level, word_piece, unigram, bytes_in_pairs, signs_in_pairs])
def test_a_closed_tokenizer_neither_pads_nor_cuts(kind: object) -> None:
    made, trainer = kind()  # type: ignore[operator]
    made.train_from_iterator(CORPUS, trainer)
    plain = closed(made)[0].encode("a b c d e").ids
    made.enable_padding(length=128)
    made.enable_truncation(2)
    assert closed(made)[0].encode("a b c d e").ids == plain


def test_names_that_a_vocabulary_holds_unmarked_are_control_tokens_too() -> None:
    made = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "[MASK]": 2, "a": 3}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    shut, found = closed(made)
    assert shut.encode("a [MASK] [PAD] a").ids == [3, 1, 1, 3]
    assert shut.encode(found.marked("a [MASK]")).ids == [3, 2]
    assert found.unknown == 1


def row(text: str, label: int = 0) -> Example:
    return Example("0", {"text": text}, label=label)


def test_a_cloze_is_scored_at_the_templates_own_mask(encoder: ModelConfig, label_task: Task) -> None:
    words = tokenizer.load(encoder)
    for template in ("{text} :", "{text} : <mask>"):
        task = replace(label_task, template=template, label_words=("bad", "good"))
        encoded = objectives.make("masked", task, words).encode([row("<mask> w1 </s> w2"), row("w1")])
        assert [ids.count(38) for ids in encoded.inputs.tolist()] == [1, 1]
        assert encoded.inputs[0].tolist().index(38) == int(encoded.lengths[0]) - 2
    twice = replace(label_task, template="<mask> {text} <mask>", label_words=("bad", "good"))
    with pytest.raises(UsageError, match="its cloze has 2 mask tokens"):
        objectives.make("masked", twice, words).encode([row("w1")])


def test_an_end_token_in_a_row_is_text(t5: ModelConfig, label_task: Task) -> None:
    encoded = objectives.make("classifier", label_task, tokenizer.load(t5)).encode([row("w1 </s> w2"), row("w1")])
    assert [ids.count(1) for ids in encoded.inputs.tolist()] == [1, 1]


def test_an_empty_text_is_the_token_that_begins_one(decoder: ModelConfig, label_task: Task) -> None:
    words = tokenizer.load(decoder)
    bare = replace(words, tokenizer=closed(unframed())[0])
    task = replace(label_task, template="{text}")
    encoded = objectives.make("causal", task, bare).encode([row(""), row("w1 w2 w3")])
    assert (encoded.inputs[0, 0], int(encoded.lengths[0])) == (3, 1)
    with pytest.raises(UsageError, match="text 1 of a split is empty"):
        objectives.make("causal", task, replace(bare, begin=None)).encode([row("")])


def unframed() -> Tokenizer:
    made = Tokenizer(models.WordLevel({"<unk>": 2, "bad": 4, "very": 5, "good": 6, "w1": 8}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def test_a_limit_below_the_tokenizers_own_tokens_is_refused(encoder: ModelConfig) -> None:
    with pytest.raises(UsageError, match="an input of 1 tokens is too short: the tokenizer's own tokens are 2"):
        tokenizer.load(encoder).inputs(["w1"], 1)


def test_an_answer_that_is_cut_has_no_end(t5: ModelConfig, label_task: Task) -> None:
    words = tokenizer.load(t5)
    assert words.targets(["w1", "w1 w2", "w1 w2 w3"], 3) == [[9, 1], [9, 10, 1], [9, 10, 11]]
    task = replace(label_task, answer="text", max_target_tokens=2)
    rows = [Example(str(i), {"text": "w1"}, target=told) for i, told in enumerate(("w1 w2 w3", "w1 w2", "w1 zzz"))]
    assert objectives.make("seq2seq", task, words).encode(rows).notes == {"truncated_targets": 1, "unknown_targets": 1}
