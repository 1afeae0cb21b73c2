"""Checks before training: the device, each method on each backbone, and each task's text in its vocabulary.

Methods are attached to backbones without weights (meta device), so that a bad target costs no training.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from harness.config.schema import MethodConfig, ModelConfig, RecipeConfig, TaskConfig
from harness.errors import UsageError
from harness.execution import weight_check
from harness.models import answer_tokens, backbone, tokenizer, unknown_tokens
from harness.models.text_tokens import Text
from harness.training import optimizers
from harness.training.objectives import registry as objectives
from harness.training.updating import awake
from methods import registry as methods
from tasks import registry as tasks
from tasks.base import Splits, Task

DEVICES = ("cpu", "cuda", "mps", "xpu")


Attachment = tuple[MethodConfig, ModelConfig, str] | tuple[MethodConfig, ModelConfig, str, int]
ReadingOf = tuple[ModelConfig, str, TaskConfig]
Room = tuple[MethodConfig, ModelConfig, str, TaskConfig]


def preflight(checks: Sequence[Attachment | ReadingOf | Room], device: str = "auto") -> list[str | None]:
    """Return the errors that a person has to correct: of the device, then of each check; None where there is none.

    A check is (method, model, objective), with the number of awake layers where they take turns; (model, objective,
    task); or (method, model, objective, task), for the positions that the method leaves to the text.
    """
    return [_no_device(device), *map(_error, checks)]


def _error(check: Attachment | ReadingOf | Room) -> str | None:
    """Return the UsageError's text of one check; None without one.

    Another error is no fault of the words. The cell meets it again and records it, and the other cells run.
    """
    try:
        match check:
            case [MethodConfig(), _, _, TaskConfig()]:
                _leave_room(*check)
            case [MethodConfig(), *_]:
                _attach(*check)
            case _:
                _read(*check)
    except UsageError as error:
        return str(error)
    except Exception:
        return None
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
    head = objectives.head(objective, weight_check.PLACEHOLDER_LABELS)
    made, outline = methods.make(method), backbone.outline(model, head)
    weight_check.check(model, outline, objective)
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
    _encode(objective, whole, words)
    unread = unknown_tokens.count(whole, objective, words.tokenizer, words.controls.unknown)
    unknown_tokens.check(whole, unread, task.max_unknown_share, words.model)


def _leave_room(method: MethodConfig, model: ModelConfig, objective: str, task: TaskConfig) -> None:
    """Check that a method which takes positions for itself leaves enough of them for the task's text."""
    if added := methods.make(method).tokens_added():
        _encode(objective, tasks.load(task), tokenizer.load(model, added))


def _encode(objective: str, task: Task, words: Text) -> None:
    """Raise UsageError where the model has no room for a row of the task. One row of each split is tried."""
    built = objectives.make(objective, task, words)
    for rows in task.splits.named().values():
        built.encode(rows[:1])


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
