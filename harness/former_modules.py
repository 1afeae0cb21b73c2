"""Modules that a plug-in may import by the name they had before: the error gives the new name. For one version."""

import importlib
from types import ModuleType

from harness.errors import UsageError

NEW_NAMES = {
    "harness.cell": "harness.store.identity",
    "harness.config": "harness.config.schema",
    "harness.schema": "harness.store.record",
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
    "tasks.files": "tasks.data.split_files",
    "tasks.hub": "tasks.data.hub",
    "tasks.local": "tasks.data.row_files",
    "tasks.metrics": "tasks.metrics.label_metrics",
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
        if error.name not in NEW_NAMES:
            raise
        raise UsageError(
            f"{module} imports from {error.name}, which has moved: import from {NEW_NAMES[error.name]} instead."
        ) from error
