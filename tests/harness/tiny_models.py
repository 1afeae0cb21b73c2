"""A tiny backbone of each kind with one vocabulary, in folders, and tasks of each kind of answer in memory."""

import random
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from harness.config.schema import ModelConfig
from harness.models import tokenizer
from harness.models.text_tokens import Text
from tasks.base import Example, Splits, Task

WORDS = ["<pad>", "</s>", "<unk>", "<s>", "bad", "very", "good", "not", *(f"w{i}" for i in range(30))]


def _save_tokenizer(folder: Path, words: list[str] = WORDS, single: str = "$A </s>") -> None:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 3), ("</s>", 1)])
    tokenizer.add_special_tokens([word for word in words if word.startswith("<")])
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    """An encoder-decoder with saved weights."""
    torch.manual_seed(0)  # else the weights depend on the tests before
    folder = tmp_path_factory.mktemp("t5")
    config = T5Config(
        vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_decoder_layers=1, num_heads=2,
        dropout_rate=0.1, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    _save_tokenizer(folder)
    return ModelConfig(name="tiny-t5", family="t5", path=str(folder))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    """An encoder with saved weights, saved without a head and without the prefix of the classifier's names."""
    torch.manual_seed(0)  # else the weights depend on the tests before
    folder = tmp_path_factory.mktemp("bert")
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    BertForSequenceClassification(config).bert.save_pretrained(folder)
    _save_tokenizer(folder)
    return ModelConfig(name="tiny-bert", family="bert", path=str(folder))


SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
IDS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 3, "initializer_range": 0.3}


@pytest.fixture(scope="session", params=["llama", "gpt2"])
def decoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    """Rotated keys in groups, or a table of positions."""
    torch.manual_seed(0)  # else the weights depend on the tests before
    folder, size = tmp_path_factory.mktemp(request.param), len(WORDS)
    if request.param == "llama":
        more = {"num_key_value_heads": 2, "max_position_embeddings": 80}
        LlamaForCausalLM(LlamaConfig(**SIZES, **IDS, **more, vocab_size=size)).save_pretrained(folder)
    else:
        config = GPT2Config(**IDS, n_embd=16, n_layer=2, n_head=4, n_positions=80, vocab_size=size)
        GPT2LMHeadModel(config).save_pretrained(folder)
    _save_tokenizer(folder)
    return ModelConfig(name=f"tiny-{request.param}", family=request.param, path=str(folder))


@pytest.fixture(scope="session", params=["bert", "roberta"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    """With a mask token; RoBERTa counts positions from the padding's number on."""
    torch.manual_seed(0)  # else the weights depend on the tests before
    folder, words = tmp_path_factory.mktemp(request.param), [*WORDS, "<mask>"]
    kinds = {"bert": (BertConfig, BertForMaskedLM), "roberta": (RobertaConfig, RobertaForMaskedLM)}
    settings, model = kinds[request.param]
    model(settings(**SIZES, **IDS, vocab_size=len(words), max_position_embeddings=40)).save_pretrained(folder)
    _save_tokenizer(folder, words, "<s> $A </s>")
    return ModelConfig(name=f"tiny-{request.param}", family=request.param, path=str(folder))


@pytest.fixture(scope="session")
def t5_text(t5: ModelConfig) -> Text:
    return tokenizer.load(t5)


def task(answer: str = "label", rows: int = 40) -> Task:
    """Rows say good or bad among noise words; "choice" rows have two or three options of unequal length."""
    draw = random.Random(answer)

    def example(i: int) -> Example:
        label = i % 2
        noise = draw.choices(WORDS[8:], k=draw.randrange(1, 12))
        words = " ".join([*noise, ("bad", "good")[label]])
        if answer == "choice":
            options = ("bad", "very good", "not very good")[: 2 + i % 2]
            return Example(str(i), {"text": words}, label=i % len(options), choices=options)
        if answer == "text":
            return Example(str(i), {"text": words}, target=("very bad", "good")[label])
        return Example(str(i), {"text": words}, label=label)

    examples = tuple(example(i) for i in range(rows * 3))
    splits = Splits(examples[:rows], examples[rows : 2 * rows], {"test": examples[2 * rows :]})
    words = ("bad", "very good") if answer == "label" else ()
    metric = "exact_match" if answer == "text" else "accuracy"
    return Task(f"toy-{answer}", "toy", "{text} :", metric, splits, words, answer, max_target_tokens=5)


@pytest.fixture(params=["label", "choice", "text"])
def any_task(request: pytest.FixtureRequest) -> Task:
    return task(request.param)


@pytest.fixture
def label_task() -> Task:
    return task("label")


@pytest.fixture
def choice_task() -> Task:
    return task("choice")
