"""Checks before training: the device, each method on each backbone, and each task's text in its vocabulary.

Methods are attached to backbones without weights (meta device), so that a bad target costs no training.
"""

from collections.abc import Iterable, Sequence

import torch
from transformers import PreTrainedModel

from harness.config.schema import MethodConfig, ModelConfig, RecipeConfig, TaskConfig
from harness.errors import UsageError
from harness.models import answer_tokens, backbone, digest, tokenizer, unknown_tokens, weight_files
from harness.training import optimizers
from harness.training.objectives import registry as objectives
from harness.training.updating import awake
from methods import registry as methods
from tasks import registry as tasks
from tasks.base import Splits, Task

PLACEHOLDER_LABELS = 2
DEVICES = ("cpu", "cuda", "mps", "xpu")


Attachment = tuple[MethodConfig, ModelConfig, str] | tuple[MethodConfig, ModelConfig, str, int]
ReadingOf = tuple[ModelConfig, str, TaskConfig]


def preflight(pairs: Sequence[Attachment | ReadingOf], device: str = "auto") -> list[str | None]:
    """Return the errors that a person has to correct: of the device, then of each pair; None where there is none.

    A pair is (method, model, objective), with the number of awake layers where they take turns, or (model, objective,
    task).
    """
    return [_no_device(device), *map(_error, pairs)]


def _error(pair: Attachment | ReadingOf) -> str | None:
    """Return the UsageError's text of one pair; None without one."""
    try:
        if isinstance(pair[0], MethodConfig):
            _attach(*pair)
        else:
            _read(*pair)
    except UsageError as error:
        return str(error)
    return None


def _no_device(wanted: str) -> str | None:
    """Return why the device cannot be used; None where it can."""
    if wanted == "auto":
        return None
    try:
        if torch.device(wanted).type not in DEVICES:
            raise ValueError(f"a cell runs on one of {', '.join(DEVICES)}")
        torch.empty(0, device=wanted)
    except Exception as error:  # the kind depends on the reason: no driver, no build, no such number
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return f"device={wanted}: it cannot be used here ({reason:.150}). Choose device=auto or device=cpu."
    return None


def _attach(method: MethodConfig, model: ModelConfig, objective: str, layers: int | None = None) -> None:
    """Attach a method to a backbone without weights, and check that backbone's files and the number of layers."""
    head = objectives.head(objective, PLACEHOLDER_LABELS)
    made, outline = methods.make(method), backbone.outline(model, head)
    _check_weights(model, outline, objective)
    _check_tokenizer(model, outline, made.tokens_added())
    made.attach(outline)
    optimizers.check_groups(outline, made.groups(outline))
    awake.layers(outline, RecipeConfig(awake_layers=layers))


def _read(model: ModelConfig, objective: str, task: TaskConfig) -> None:
    """Build the objective without the rows, and check that the model can read the text and distinguish the answers."""
    row = tasks.row(task)
    bare = Task(
        name=task.name, category=row.category, template=row.template, metric=row.metric, splits=Splits((), (), {}),
        label_words=row.label_words, answer=row.answer, cloze=row.cloze, cloze_words=row.cloze_words,
        max_target_tokens=row.max_target_tokens,
    )  # fmt: skip
    words = tokenizer.load(model)
    objectives.make(objective, bare, words)
    whole = tasks.load(task)
    if answer_tokens.compared(objective, row.answer):
        spell = answer_tokens.speller(words.encode, objective)
        longest = words.longest(row.max_target_tokens)
        limit = longest if objective in answer_tokens.LIKELIHOOD else whole.max_input_tokens
        answer_tokens.check_rows(whole, spell, limit, words.model)
    unread = unknown_tokens.count(whole, objective, words.tokenizer, words.controls.unknown)
    unknown_tokens.check(whole, unread, task.max_unknown_share, words.model)


def _check_weights(config: ModelConfig, model: PreTrainedModel, objective: str) -> None:
    """Raise UsageError unless the files hold the architecture's tensors in its shapes. A head is drawn, so it may be
    absent.
    """
    if config.weights != "pretrained":
        return
    wanted = {name: tuple(p.shape) for name, p in model.named_parameters() if not p.requires_grad}
    present = digest.shapes(weight_files.folder(config))
    if lacking := _lacking(model, wanted, present):
        raise UsageError(
            f"model {config.name}: its weights lack {len(lacking)} tensors that objective {objective} needs, e.g. "
            f"{lacking[0]}. Take another objective, or a checkpoint that holds them."
        )
    for name, shape in present.items():
        expected = wanted.get(name, wanted.get(f"{model.base_model_prefix}.{name}", shape))
        if expected != shape:
            raise UsageError(
                f"model {config.name}: {name} is {shape} in its files and {expected} by its config.json. "
                "Use the configuration that the weights were saved with."
            )


def _lacking(model: PreTrainedModel, wanted: Iterable[str], present: Iterable[str]) -> list[str]:
    """Return the tensors outside the blocks (a pooler, a language model's head) of which the files hold nothing.

    Where a file uses other names, transformers' loader translates them. Then the blocks' tensors have other names, too,
    or the module has tensors under other names, and nothing is reported. The output layer is never reported, since old
    files use another name for it.
    """
    start = f"{model.base_model_prefix}."
    names = {name.removeprefix(start) for name in present}
    modules = {name.rpartition(".")[0] for name in names}
    output = model.get_output_embeddings()
    output_ids = {id(p) for p in output.parameters()} if output is not None else set()
    loose = {name for pair in model.all_tied_weights_keys.items() for name in pair}
    loose |= {name for name, p in model.named_parameters() if id(p) in output_ids}
    absent = [name for name in wanted if name not in loose and name.removeprefix(start) not in names]
    if any(part.isdigit() for name in absent for part in name.split(".")):
        return []
    return [name for name in absent if name.removeprefix(start).rpartition(".")[0] not in modules]


def _check_tokenizer(config: ModelConfig, model: PreTrainedModel, added: int) -> None:
    """Raise UsageError unless the tokenizer can be read and every token has an embedding."""
    try:
        tokens = tokenizer.load(config, added).tokenizer.get_vocab_size(with_added_tokens=False)
    except UsageError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exception
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"model {config.name}: its tokenizer cannot be read ({reason:.150}).") from error
    rows = model.get_input_embeddings().weight.shape[0]
    if tokens > rows:
        raise UsageError(
            f"model {config.name}: its tokenizer has {tokens} tokens and its embedding {rows} rows. "
            "Save the tokenizer that the model was trained with in its folder."
        )
