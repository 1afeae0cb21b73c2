"""Figures say which rows are untuned or at an edge of their rates."""

from harness.analysis import report
from harness.analysis.figures import ranking_figure
from harness.analysis.output import figure_style
from harness.analysis.study import study
from harness.experiments import exhibits


def test_names_in_figures_have_the_marks_of_their_rates(make_grid):
    grid = make_grid(methods=("full", "lora"), rates=(1e-4, 1e-3))
    [here] = study.studies(exhibits.load("delta-ranking"), [*grid, *make_grid(methods=("adapter",))])
    assert figure_style.named([here], "lora") == "lora ↑3"
    assert figure_style.named([here, here], "lora") == "lora ↑"
    assert figure_style.named([here], "adapter") == "adapter (untuned)"
    assert "↑" in figure_style.marked([here])
    assert "untuned: only one learning rate" in figure_style.marked([here])
    assert figure_style.marked([here], ["lora"]).count("\n") == 0
    with figure_style.style():
        drawn = ranking_figure.ranking([here])
    names = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert set(names) == {"full ↑3", "lora ↑3", "adapter (untuned)"}
    assert len(drawn.axes[1].get_yticklabels()) == 2  # what is untuned has no rank


def test_a_panel_of_ranks_that_would_be_empty_is_not_drawn(make_grid):
    [here] = study.studies(exhibits.load("delta-ranking"), make_grid(seeds=(1, 2)))
    with figure_style.style():
        assert len(ranking_figure.ranking([here]).axes) == 1
    order, share = report.judge(exhibits.load("delta-ranking"), here)
    assert not any("whatever their scores" in found.sentence for found in (order, share))
    assert "(only one learning rate was tried)" in share.sentence
    assert any("over seeds alone" in note for note in share.notes)
