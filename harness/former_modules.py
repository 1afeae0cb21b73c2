"""Modules that a plug-in may import by the name they had before: the error gives the new name. For one version."""

import importlib
import re
from types import ModuleType

from harness.errors import UsageError

NEW_NAMES = {
    "harness.analysis.study.looks": "harness.analysis.study.more_seeds.looks",
    "harness.analysis.study.next_steps": "harness.analysis.study.more_seeds.next_steps",
    "harness.analysis.study.power": "harness.analysis.study.more_seeds.power",
    "harness.analysis.views.fields": "harness.analysis.views.field_values",
    "harness.atomic_files": "harness.files.atomic_files",
    "harness.cell": "harness.store.identity",
    "harness.config": "harness.config.schema",
    "harness.experiments.declared_types": "harness.experiments.grids.declared_types",
    "harness.experiments.grid": "harness.experiments.grids.grid",
    "harness.experiments.holes": "harness.experiments.grids.holes",
    "harness.experiments.labels": "harness.experiments.grids.labels",
    "harness.experiments.options": "harness.experiments.grids.options",
    "harness.experiments.parent_order": "harness.experiments.grids.parent_order",
    "harness.experiments.rate_choice": "harness.experiments.rates.rate_choice",
    "harness.experiments.rate_search": "harness.experiments.rates.rate_search",
    "harness.experiments.rate_tuning": "harness.experiments.rates.rate_tuning",
    "harness.experiments.several_axes": "harness.experiments.rates.several_axes",
    "harness.schema": "harness.store.record",
    "harness.strict_json": "harness.files.strict_json",
    "harness.training.parallel": "harness.training.step_parts",
    "methods": "methods.registry",
    "methods.anatomy": "methods.base",
    "methods.attention": "methods.base",
    "methods.insertion": "methods.base",
    "methods.kept": "methods.base",
    "methods.overlay": "methods.base",
    "methods.part": "methods.base",
    "methods.quantised": "methods.base",
    "methods.shape": "methods.base",
    "methods.values": "methods.base",
    "methods.backbone.delta": "methods.base",
    "methods.budget": "methods.attachment.budget",
    "methods.families": "methods.backbone.families",
    "methods.matrix": "methods.backbone.applicability",
    "methods.exchange": "methods.peft_files.export",
    "methods.foreign": "methods.peft_files.detect",
    "methods.adapter_files": "methods.peft_files.export",
    "methods.sparse": "methods.lt_sft and methods.diff_pruning",
    "methods.subset": "methods.layernorm, methods.last_layer, methods.selective and methods.hft",
    "tasks": "tasks.registry",
    "tasks.bleu": "tasks.metrics.bleu",
    "tasks.checks": "tasks.data.checks",
    "tasks.choose": "tasks.data.splits",
    "tasks.data.hub": "tasks.data.hub_rows",
    "tasks.files": "tasks.data.split_files",
    "tasks.hub": "tasks.data.hub_rows",
    "tasks.local": "tasks.data.row_files",
    "tasks.metrics": "tasks.metrics.label_metrics",
    "tasks.microworld.overlap": "tasks.microworld.repeated_rows",
    "tasks.microworld.questions": "tasks.microworld.world_questions",
    "tasks.own": "tasks.data.user_task",
    "tasks.published": "tasks.data.dataset",
    "tasks.reading": "tasks.data.row_reader",
    "tasks.roots": "tasks.data.data_root",
    "tasks.shots": "tasks.data.few_shot",
    "tasks.text_metrics": "tasks.metrics.text_metrics",
}
"""A name that is a package now is here for what lay in the module of that name."""


def import_plugin(module: str) -> ModuleType:
    """Return the imported module. Raise UsageError where it imports a module of ours by a former name."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        wanted = next((name for name in _names(error) if name in NEW_NAMES), None)
        if wanted is None:
            raise
        raise UsageError(
            f"{module} imports from {wanted}, which has moved: import from {NEW_NAMES[wanted]} instead."
        ) from error


def _names(error: ImportError) -> list[str]:
    """Return the modules that a failed import may have meant: `from a import b` means a.b or what lies in a."""
    inner = re.match(r"cannot import name '(\w+)'", str(error))
    return [f"{error.name}.{inner[1]}", str(error.name)] if inner else [str(error.name)]
