"""What can be known to go wrong before anything is trained: the device, each method on each backbone, and each task's
label words in its vocabulary.

Methods are attached to backbones without weights (meta device), so that a bad target costs no training.
"""

from collections.abc import Iterable, Sequence

import torch
from transformers import PreTrainedModel

from harness.config.schema import MethodConfig, ModelConfig, TaskConfig
from harness.errors import UsageError
from harness.models import answer_tokens, digest, tokenizer, weight_files
from harness.models import backbone as models
from harness.training.objectives import registry as objectives
from methods import registry as methods
from tasks import registry as tasks
from tasks.base import Splits, Task

PLACEHOLDER_LABELS = 2
DEVICES = ("cpu", "cuda", "mps", "xpu")


Attachment = tuple[MethodConfig, ModelConfig, str]
ReadingOf = tuple[ModelConfig, str, TaskConfig]


def preflight(pairs: Sequence[Attachment | ReadingOf], device: str = "auto") -> list[str | None]:
    """For the device, then for each (method, model, objective) and each (model, objective, task): what a person has to
    put right, or None.
    """
    return [_no_device(device), *map(_told, pairs)]


def _told(pair: Attachment | ReadingOf) -> str | None:
    try:
        if isinstance(pair[0], MethodConfig):
            _attach(*pair)
        else:
            _read(*pair)
    except UsageError as error:
        return str(error)
    return None


def _no_device(wanted: str) -> str | None:
    if wanted == "auto":
        return None
    try:
        if torch.device(wanted).type not in DEVICES:
            raise ValueError(f"a cell runs on one of {', '.join(DEVICES)}")
        torch.empty(0, device=wanted)
    except Exception as error:  # another kind for each way of not being there: no driver, no build, no such number
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return f"device={wanted}: it cannot be used here ({reason:.150}). Choose device=auto or device=cpu."
    return None


def _attach(method: MethodConfig, model: ModelConfig, objective: str) -> None:
    head = objectives.head(objective, PLACEHOLDER_LABELS)
    made, backbone = methods.make(method), models.outline(model, head)
    _check_weights(model, backbone, objective)
    _check_tokenizer(model, backbone, made.tokens_added())
    made.attach(backbone)


def _read(model: ModelConfig, objective: str, task: TaskConfig) -> None:
    """As the objective would be made, but without the rows."""
    row = tasks.row(task)
    bare = Task(
        name=task.name, category=row.category, template=row.template, metric=row.metric, splits=Splits((), (), {}),
        label_words=row.label_words, answer=row.answer, cloze=row.cloze, cloze_words=row.cloze_words,
        max_target_tokens=row.max_target_tokens,
    )  # fmt: skip
    words = tokenizer.load(model)
    objectives.make(objective, bare, words)
    if row.answer != "label":
        spell = answer_tokens.speller(words.encode, objective)
        answer_tokens.check_rows(tasks.load(task), spell, words.longest(row.max_target_tokens), words.model)


def _check_weights(config: ModelConfig, backbone: PreTrainedModel, objective: str) -> None:
    """The files' tensors are those of the architecture, in its shapes; a head (all that trains yet) is drawn anew."""
    if config.weights != "pretrained":
        return
    wanted = {name: tuple(p.shape) for name, p in backbone.named_parameters() if not p.requires_grad}
    held = digest.shapes(weight_files.folder(config))
    if lacking := _lacking(backbone, wanted, held):
        raise UsageError(
            f"model {config.name}: its weights lack {len(lacking)} tensors that objective {objective} needs, e.g. "
            f"{lacking[0]}. Take another objective, or a checkpoint that holds them."
        )
    for name, shape in held.items():
        wants = wanted.get(name, wanted.get(f"{backbone.base_model_prefix}.{name}", shape))
        if wants != shape:
            raise UsageError(
                f"model {config.name}: {name} is {shape} in its files and {wants} by its config.json. "
                "Use the configuration that the weights were saved with."
            )


def _lacking(backbone: PreTrainedModel, wanted: Iterable[str], held: Iterable[str]) -> list[str]:
    """Tensors outside the blocks (a pooler, a cloze's head) of which the files hold nothing.

    A file of other names than the architecture's, which transformers translates, is left to its loader: there the
    blocks' tensors have other names, too, or the module has tensors under other names. So is the output layer, which
    old files call otherwise.
    """
    start = f"{backbone.base_model_prefix}."
    names = {name.removeprefix(start) for name in held}
    modules = {name.rpartition(".")[0] for name in names}
    output = backbone.get_output_embeddings()
    left = {id(p) for p in output.parameters()} if output is not None else set()
    loose = {name for pair in backbone.all_tied_weights_keys.items() for name in pair}
    loose |= {name for name, p in backbone.named_parameters() if id(p) in left}
    absent = [name for name in wanted if name not in loose and name.removeprefix(start) not in names]
    if any(part.isdigit() for name in absent for part in name.split(".")):
        return []
    return [name for name in absent if name.removeprefix(start).rpartition(".")[0] not in modules]


def _check_tokenizer(config: ModelConfig, backbone: PreTrainedModel, added: int) -> None:
    """It can be read, and every token it makes has an embedding."""
    try:
        tokens = tokenizer.load(config, added).tokenizer.get_vocab_size(with_added_tokens=False)
    except UsageError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exception
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"model {config.name}: its tokenizer cannot be read ({reason:.150}).") from error
    rows = backbone.get_input_embeddings().weight.shape[0]
    if tokens > rows:
        raise UsageError(
            f"model {config.name}: its tokenizer has {tokens} tokens and its embedding {rows} rows. "
            "Save the tokenizer that the model was trained with beside it."
        )
