"""The views of an exhibit by name: tables, figures and lines of text. Torch-free and pandas-free."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

OVER_MODELS = "models-table"
"""The kind of a table that is made once, from the studies of all models."""
TABLES = ("table", OVER_MODELS)
"""The kinds of views that are tables."""


@dataclass(frozen=True)
class View:
    """A view and the function that makes it.

    kind: table, models-table, figure or text.
    target: "module:function". The function of a table takes a Study and returns a Table. That of a models-table or of a
    figure takes all studies of an exhibit, one per model, and returns a Table or a matplotlib Figure. That of a text
    returns lines.
    """

    name: str
    kind: str
    target: str

    def function(self) -> Callable[..., Any]:
        """Return the function that makes the view."""
        module, name = self.target.split(":")
        return getattr(importlib.import_module(module), name)


VIEWS = {
    view.name: view
    for view in (
        View("ranking", "table", "harness.analysis.views.ranking:ranking"),
        View("tasks", "table", "harness.analysis.views.ranking:tasks"),
        View("suite", "table", "harness.analysis.views.suite:table"),
        View("likelihood", "table", "harness.analysis.views.suite:by_likelihood"),
        View("published", "table", "harness.analysis.views.published:table"),
        View("times", "table", "harness.analysis.views.convergence:table"),
        View("gap", "table", "harness.analysis.generalisation.gap:table"),
        View("combination", "table", "harness.analysis.combining.combination_table:table"),
        View("combination-figure", "figure", "harness.analysis.combining.combination_figure:draw"),
        View("stages-figure", "figure", "harness.analysis.combining.orders:draw"),
        View("scale", OVER_MODELS, "harness.analysis.scaling.model_size:table"),
        View("scale-figure", "figure", "harness.analysis.scaling.model_size_figure:draw"),
        View("multitask", "table", "harness.analysis.combining.multitask:table"),
        View("transfer-ratios", "table", "harness.analysis.combining.transfer_matrix:table"),
        View("transfer-figure", "figure", "harness.analysis.combining.transfer_figure:draw"),
        View("structure", "table", "harness.analysis.scaling.structure:table"),
        View("loss-and-score", OVER_MODELS, "harness.analysis.scaling.loss_and_score:table"),
        View("loss-figure", "figure", "harness.analysis.scaling.loss_and_score:draw"),
        View("in-context", "table", "harness.analysis.scaling.in_context:table"),
        View("dimension", OVER_MODELS, "harness.analysis.scaling.dimension:table"),
        View("cost", "table", "harness.analysis.views.cost:table"),
        View("rates", "table", "harness.analysis.views.rates:table"),
        View("recipe-lines", "text", "harness.analysis.views.rates:recipe_lines"),
        View("memory", "table", "harness.analysis.views.forecast_memory:table"),
        View("memory-split", "table", "harness.analysis.views.forecast_memory:split"),
        View("forecast-accuracy", "table", "harness.analysis.views.forecast_memory:accuracy"),
        View("memory-figure", "figure", "harness.analysis.figures.memory_figure:draw"),
        View("samples", "table", "harness.analysis.views.samples:table"),
        View("samples-figure", "figure", "harness.analysis.figures.samples_figure:draw"),
        View("peaks", "table", "harness.analysis.views.measured_memory:table"),
        View("latency", "table", "harness.analysis.views.latency:table"),
        View("latency-figure", "figure", "harness.analysis.figures.latency_figure:draw"),
        View("decomposition", "table", "harness.analysis.views.decomposition:table"),
        View("decomposition-figure", "figure", "harness.analysis.figures.decomposition_figure:draw"),
        View("spectrum", "table", "harness.analysis.views.spectrum:table"),
        View("spectrum-figure", "figure", "harness.analysis.figures.spectrum_figure:draw"),
        View("forgetting", "table", "harness.analysis.forgetting.views:table"),
        View("other-tasks", "table", "harness.analysis.forgetting.views:other_tasks"),
        View("forgetting-figure", "figure", "harness.analysis.forgetting.figures:draw"),
        View("learns-less-figure", "figure", "harness.analysis.forgetting.figures:of_claims"),
        View("learns-less", "table", "harness.analysis.forgetting.views:with_ranks"),
        View("intruders-down", "table", "harness.analysis.forgetting.intruders:table"),
        View("intruders-down-figure", "figure", "harness.analysis.forgetting.intruders:figure"),
        View("intruders-in-sequence", "table", "harness.analysis.forgetting.accumulation:table"),
        View("soups", "table", "harness.analysis.combining.soups:table"),
        View("pscp", "table", "harness.analysis.tradeoffs.pscp_views:table"),
        View("pscp-winners", "table", "harness.analysis.tradeoffs.pscp_views:winners"),
        View("pscp-figure", "figure", "harness.analysis.tradeoffs.pscp_views:figure"),
        View("pareto", "table", "harness.analysis.tradeoffs.pareto:table"),
        View("pareto-figure", "figure", "harness.analysis.tradeoffs.pareto:figure"),
        View("ranking-figure", "figure", "harness.analysis.figures.ranking_figure:ranking"),
        View("steps-figure", "figure", "harness.analysis.figures.convergence_figure:against_steps"),
        View("seconds-figure", "figure", "harness.analysis.figures.convergence_figure:against_seconds"),
        View("share-figure", "figure", "harness.analysis.views.cost:against_share"),
        View("field-figure", "figure", "harness.analysis.figures.field_values_figure:draw"),
        View("best-rates", "table", "harness.analysis.tuning.best_rates:table"),
        View("best-rates-figure", "figure", "harness.analysis.figures.best_rates_figure:draw"),
        View("operations", "table", "harness.analysis.tuning.operations:table"),
        View("operations-figure", "figure", "harness.analysis.figures.operations_figure:draw"),
        View("tuned-variants", "table", "harness.analysis.tuning.equivalence:table"),
        View("tuned-variants-figure", "figure", "harness.analysis.figures.equivalence_figure:draw"),
        View("losses", "table", "harness.analysis.tuning.loss_differences:table"),
        View("batch-losses", "table", "harness.analysis.tuning.batch_cost:table"),
        View("loss-lines", "table", "harness.analysis.tuning.loss_lines:table"),
        View("loss-lines-figure", "figure", "harness.analysis.figures.loss_lines_figure:steps"),
        View("batch-figure", "figure", "harness.analysis.figures.loss_lines_figure:sizes"),
        View("rates-figure", "figure", "harness.analysis.figures.rates_figure:draw"),
    )
}


def names() -> tuple[str, ...]:
    """Return the names of all views."""
    return tuple(VIEWS)
