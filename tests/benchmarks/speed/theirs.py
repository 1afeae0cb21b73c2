"""The other side: PEFT's model of the same method, in a plain loop and in transformers' Trainer. Nothing of ours.

Everything that could be laid at the other side's door is spared it: rows are tokenised and joined beforehand, batches
are padded by slicing tensors, nothing is logged or saved, and the cache that T5 would fill in training is off.
"""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PrinterCallback, Seq2SeqTrainingArguments, Trainer, TrainerCallback, TrainingArguments

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # optional packages that peft looks for
    import peft

IGNORED = -100
TASKS = {"seq2seq": "SEQ_2_SEQ_LM", "causal": "CAUSAL_LM", "classifier": "SEQ_CLS"}


@dataclass(frozen=True)
class Plan:
    """What PEFT is to build. fields: of our method. hosts: modules that it changes. inner: those changed at the input.

    kind: seq2seq, causal or classifier.
    """

    method: str
    kind: str
    fields: Mapping[str, Any]
    hosts: Sequence[str] = ()
    inner: Sequence[str] = ()

    def config(self) -> Any:
        """Return PEFT's configuration; None for full fine-tuning."""
        own, task, hosts = self.fields, {"task_type": TASKS[self.kind]}, list(self.hosts)
        if self.method in ("lora", "dora"):
            return peft.LoraConfig(
                r=own["rank"], lora_alpha=2 * own["rank"] if own["alpha"] is None else own["alpha"], lora_dropout=0.0,
                target_modules=hosts, use_dora=self.method == "dora", **task,
            )  # fmt: skip
        if self.method == "vera":
            seed = own["projection_seed"]
            return peft.VeraConfig(
                r=own["rank"], d_initial=own["d_initial"], projection_prng_key=seed, target_modules=hosts, **task
            )
        if self.method == "ia3":
            return peft.IA3Config(target_modules=hosts, feedforward_modules=list(self.inner), **task)
        if self.method == "layernorm":
            return peft.LNTuningConfig(target_modules=hosts, **task)
        if self.method == "full":
            return None
        length = {"num_virtual_tokens": own["length"], **task}
        if self.method == "prefix":
            return peft.PrefixTuningConfig(**length)
        if self.method == "prompt":
            return peft.PromptTuningConfig(num_transformer_submodules=1, **length)
        return peft.PromptEncoderConfig(
            num_transformer_submodules=1, encoder_reparameterization_type="MLP", encoder_hidden_size=own["hidden"],
            **length,
        )  # fmt: skip

    def build(self, backbone: Any) -> nn.Module:
        """Return PEFT's model around a backbone, in training mode."""
        backbone.config.use_cache = False
        config = self.config()
        if config is None:
            return backbone.requires_grad_(True).train()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = peft.get_peft_model(backbone, config)
        if self.method == "prefix":  # PEFT counts the prefix as positions of the text, and ours does not
            backbone.get_decoder().register_forward_pre_hook(_from_zero, with_kwargs=True)
        return model.train()


def _from_zero(module: nn.Module, arguments: tuple[Any, ...], words: dict[str, Any]) -> Any:
    """Have a text's positions count from 0 behind a prefix. inputs_embeds: [B, T, D], input_ids: [B, T]."""
    given = words.get("input_ids") if words.get("input_ids") is not None else words["inputs_embeds"]
    return arguments, {**words, "position_ids": torch.arange(given.shape[1])[None]}


@dataclass(frozen=True)
class Rows:
    """Tokenised rows. inputs: [N, T], lengths: [N], labels: [N, U], [N, T] (causal) or [N] (classifier)."""

    kind: str
    inputs: torch.Tensor
    lengths: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def of(cls, kind: str, inputs: torch.Tensor, lengths: torch.Tensor, labels: torch.Tensor) -> "Rows":
        """Return the rows of a kind. inputs: [N, T]. labels: targets [N, U], or classes [N].

        For a decoder each row's answer is put right behind its prompt.
        """
        if kind != "causal":
            return cls(kind, inputs, lengths, labels)
        counts = (labels != IGNORED).sum(dim=1)
        ids = torch.cat((inputs, labels.clamp(min=0)), dim=1)
        wanted = torch.cat((torch.full_like(inputs, IGNORED), labels), dim=1)
        place = torch.arange(inputs.shape[1])
        there = torch.cat((place < lengths[:, None], labels != IGNORED), dim=1)
        order = torch.argsort((~there).long(), dim=1, stable=True)
        width = int((lengths + counts).max())
        ids = ids.gather(1, order)[:, :width]
        return cls(kind, ids, lengths + counts, wanted.gather(1, order)[:, :width])

    def collate(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return a batch padded to its longest row: input_ids, attention_mask [B, T], labels."""
        index = torch.as_tensor(rows)
        lengths, labels = self.lengths[index], self.labels[index]
        width = int(lengths.max())
        if self.kind == "causal":
            labels = labels[:, :width]
        elif self.kind == "seq2seq":
            labels = labels[:, : int((labels != IGNORED).sum(dim=1).max())]
        mask = (torch.arange(width) < lengths[:, None]).long()
        return {"input_ids": self.inputs[index, :width], "attention_mask": mask, "labels": labels}


@dataclass
class Clock:
    """The times at which steps ended: of the wall clock and of the processor (seconds); and the losses."""

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def tick(self) -> None:
        """Note that a step has ended."""
        self.walls.append(time.perf_counter())
        self.cpus.append(time.process_time())


@dataclass(frozen=True)
class Recipe:
    """steps, rows of a batch, learning rate, and the largest norm of the gradients."""

    steps: int
    rows: int
    rate: float
    clip: float


def bare(model: nn.Module, rows: Rows, order: Sequence[int], recipe: Recipe) -> Clock:
    """Train in a loop that one would write by hand. order: the row numbers, batch after batch."""
    clock = Clock()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.rate, weight_decay=0.0, fused=True)
    for batch in _batches(rows, order, recipe):
        loss = model(**batch).loss
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, recipe.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock.losses.append(loss.item())
        clock.tick()
    return clock


def _batches(rows: Rows, order: Sequence[int], recipe: Recipe) -> Iterator[dict[str, torch.Tensor]]:
    for step in range(recipe.steps):
        yield rows.collate(order[step * recipe.rows : (step + 1) * recipe.rows])


class Ticking(TrainerCallback):
    """Notes when the Trainer's steps end."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.clock.tick()


class Noting(Trainer):
    """Also notes each step's loss, for the comparison of the two sides; no time is taken of it."""

    losses: list[torch.Tensor]

    def compute_loss(self, *arguments: Any, **words: Any) -> Any:
        found = super().compute_loss(*arguments, **words)
        self.losses.append(found.detach())
        return found


def arguments(folder: Path, recipe: Recipe, **more: Any) -> Seq2SeqTrainingArguments:
    """Return the Trainer's arguments for the same recipe, with logging, saving and reports off."""
    return Seq2SeqTrainingArguments(
        output_dir=str(folder), max_steps=recipe.steps, per_device_train_batch_size=recipe.rows,
        learning_rate=recipe.rate, lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=recipe.clip,
        optim="adamw_torch_fused", train_sampling_strategy="sequential", remove_unused_columns=False, use_cpu=True,
        logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True, **more,
    )  # fmt: skip


def trainer(
    model: nn.Module, rows: Rows, order: Sequence[int], recipe: Recipe, folder: Path, note: bool = False
) -> Clock:
    """Train with transformers' Trainer. order: as of `bare`. note: whether losses are noted instead of times."""
    clock = Clock()
    settings: TrainingArguments = arguments(folder, recipe)
    words: dict[str, Any] = {"data_collator": rows.collate, "train_dataset": list(order)}
    made = (Noting if note else Trainer)(model, settings, callbacks=[Ticking(clock)], **words)
    made.remove_callback(PrinterCallback)
    if isinstance(made, Noting):
        made.losses = []
    made.train()
    if isinstance(made, Noting):
        clock.losses = [float(loss) for loss in made.losses]
    return clock
