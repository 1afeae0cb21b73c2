"""An exhibit rendered: every number followable, nothing hidden, the same bytes for the same records."""

import csv
import io
import json
import re

import numpy as np
import pytest
import yaml
from rich.console import Console

from harness.analysis import report
from harness.analysis.output import figure_style
from harness.analysis.output.table import MISSING
from harness.analysis.study import study
from harness.analysis.views import convergence, rates
from harness.config import conf_files
from harness.experiments import exhibits, view_registry

# What cells train for: forecasts have their own laws, and what is published only has no cells.
LOADED = exhibits.catalogue()
NAMES = [name for name, one in LOADED.items() if one.grids and one.forecast is None]
SCORED = [name for name in NAMES if not LOADED[name].probes]  # a probe's numbers are not in made records
RATES = (3e-4, 1e-3, 3e-3)
FORMATS = report.FIGURES


@pytest.fixture(autouse=True)
def _few_dots(monkeypatch):
    """One format, and pictures of few dots: what is in them does not depend on how finely they are drawn."""
    monkeypatch.setitem(figure_style.SETTINGS, "savefig.dpi", 50)
    monkeypatch.setattr(report, "FIGURES", ("svg",))


def each_view_once():
    """Few exhibits that have every view and every set of rows among them: those of the others are drawn the same."""
    parts = {name: {*LOADED[name].views, LOADED[name].sets} for name in NAMES}
    left, chosen = set().union(*parts.values()), []
    while left:
        chosen.append(max(NAMES, key=lambda name: len(parts[name] & left)))
        left -= parts[chosen[-1]]
    return chosen


EACH_VIEW_ONCE = each_view_once()


def usual(chosen, names=NAMES):
    """Exhibits as parameters, of which a usual run draws the chosen ones."""
    return [pytest.param(name, marks=() if name in chosen else pytest.mark.slow) for name in names]


def runs_for(exhibit, make_grid, **options):
    seeds = (100, 101) if exhibit.sets == "validation" else (0, 1, 2)
    return make_grid(methods=exhibit.methods(), seeds=seeds, **options)


def index_of(folder):
    return json.loads((folder / report.INDEX).read_text())


def read_csv(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def shown(folder, width=140):
    stream = io.StringIO()
    report.show(folder, Console(file=stream, width=width))
    return stream.getvalue()


@pytest.mark.parametrize("name", usual(EACH_VIEW_ONCE, SCORED))
def test_every_number_leads_to_cells_that_were_run(name, make_grid, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_draw", lambda *_: ([], {}))  # the numbers are those of the tables
    exhibit = exhibits.load(name)
    runs = runs_for(exhibit, make_grid, rates=RATES)
    report.render(exhibit, "quick", runs, tmp_path)
    keys = {run.record["key"] for run in runs}
    index, page = index_of(tmp_path), (tmp_path / "README.md").read_text()
    assert len(index["findings"]) == len(exhibit.claims)
    assert all(finding["sentence"] in page for finding in index["findings"])
    followed = 0
    for content in index["tables"]:
        for row in content["rows"]:
            known = row[0]["text"] != "guessing"
            for column, entry in zip(content["columns"], row, strict=True):
                assert set(entry.get("keys", ())) <= keys
                computed = isinstance(entry.get("value"), float | int) and column not in NOT_COMPUTED
                if known and computed:
                    assert entry["keys"], (content["name"], column, entry)
                    followed += 1
    assert followed >= min(10, 4 * len(exhibit.methods()))


def figures_with_cut_legends(monkeypatch):
    """Return a list to which each legend, caption and label of an axis is added that leaves its picture."""
    outside, settle = [], figure_style.settle

    def looked_at(figure):
        settle(figure)
        edges = [legend.get_window_extent() for legend in figure.legends]
        labels = [axes.yaxis.label for axes in figure.axes if axes.get_ylabel()]
        if any(box.x0 < 0 or box.x1 > figure.bbox.x1 for box in edges):
            outside.append([legend.get_title().get_text() for legend in figure.legends])
        heights = {label.get_text(): label.get_window_extent() for label in labels}
        outside.extend(text for text, box in heights.items() if box.y0 < 0 or box.y1 > figure.bbox.y1)

    monkeypatch.setattr(figure_style, "settle", looked_at)
    return outside


BEGINNINGS = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}
NOT_COMPUTED = ("published", "trains", "chosen", "p (Holm)")


@pytest.mark.parametrize("name", usual(EACH_VIEW_ONCE))
def test_everything_is_written_and_the_page_shows_it(name, make_grid, tmp_path, monkeypatch):
    if name == EACH_VIEW_ONCE[0]:
        monkeypatch.setattr(report, "FIGURES", FORMATS)
    exhibit, outside = exhibits.load(name), figures_with_cut_legends(monkeypatch)
    report.render(exhibit, "quick", runs_for(exhibit, make_grid), tmp_path)
    index, page = index_of(tmp_path), (tmp_path / "README.md").read_text()
    for table in index["tables"]:
        for ending in ("csv", "md", "tex"):
            assert (tmp_path / f"{table['name']}.{ending}").stat().st_size > 0
        assert read_csv(tmp_path / f"{table['name']}.csv")
    for figure in index["figures"]:
        for kind in report.FIGURES:
            assert BEGINNINGS[kind] in (tmp_path / f"{figure}.{kind}").read_bytes()
        assert f"({figure}.svg)" in page
    assert not outside
    assert "microworld" in page
    assert "microworld" in shown(tmp_path)


@pytest.mark.parametrize("name", usual(EACH_VIEW_ONCE[1::6]))
def test_the_same_records_give_the_same_bytes(name, make_grid, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        report.render(exhibits.load(name), "quick", runs_for(exhibits.load(name), make_grid), folder)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_the_terminal_ends_with_a_sentence_per_claim_and_the_figure(make_grid, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", FORMATS)
    exhibit = exhibits.load("delta-ranking")
    report.render(exhibit, "quick", runs_for(exhibit, make_grid), tmp_path)
    text = " ".join(shown(tmp_path).split())
    for finding in index_of(tmp_path)["findings"]:
        assert " ".join(finding["sentence"].split()) in text
    assert text.index("Ranking: micro-t5-nano") < text.index("ranking-figure.png")


def test_two_models_have_a_table_each_and_one_csv(make_grid, tmp_path):
    exhibit = exhibits.load("delta-ranking")
    report.render(exhibit, "embedded", make_grid(models=("one", "two")), tmp_path)
    rows = read_csv(tmp_path / "ranking.csv")
    assert [row["model"] for row in rows] == ["one"] * 6 + ["two"] * 6
    assert "two: The methods" in shown(tmp_path)


def test_test_scores_cannot_reach_a_tuning_exhibit(make_grid, tmp_path):
    """Whatever the test sets say, the rendering is the same."""
    exhibit = exhibits.load("lr-tuning")
    texts = []
    for name, spoil in (("first", 0.0), ("second", 1.0)):
        runs = runs_for(exhibit, make_grid, rates=RATES)
        for run in runs:
            for point in run.record["scores"].values():
                point["sets"]["test"]["accuracy"] = spoil
            for point in run.curve:
                point["scores"]["test"] = spoil
        report.render(exhibit, "quick", runs, tmp_path / name)
        texts.append([(tmp_path / name / file).read_bytes() for file in ("exhibit.json", "rates-figure.svg")])
    assert texts[0] == texts[1]


def test_the_tuned_rates_are_a_recipe_line(make_grid, tmp_path):
    exhibit = exhibits.load("lr-tuning")
    report.render(exhibit, "quick", runs_for(exhibit, make_grid, rates=RATES, best_rate=3e-4), tmp_path)
    lines = (tmp_path / "recipe-lines.yaml").read_text()
    tuned = yaml.safe_load(lines)["learning_rate"]
    assert set(tuned) == set(exhibit.methods())  # the records' recipe is none of ours, so it has no default
    assert all(value in RATES for value in tuned.values())
    assert tuned["full"] == 3e-4
    known = yaml.safe_load(conf_files.files("recipe")["micro"].read_text())["learning_rate"]
    assert rates._default("micro") == {"default": float(known["default"])}
    assert "full at the lowest rate tried" in lines
    assert re.search(r"3e-4 ↓", shown(tmp_path))


def recipes(runs):
    """Return the recipes that lr-tuning writes from these records, each with its first comment."""
    text = "\n".join(rates.recipe_lines(study.studies(exhibits.load("lr-tuning"), runs)))
    return [(part.strip().splitlines()[0], yaml.safe_load(part)["learning_rate"]) for part in text.split("---")]


def test_each_backbone_has_a_recipe_of_its_own(make_grid):
    exhibit = exhibits.load("lr-tuning")
    runs = runs_for(exhibit, make_grid, rates=RATES, best_rate=1e-3)
    runs += runs_for(exhibit, make_grid, rates=RATES, best_rate=3e-3, models=("micro-llama-nano",))
    first, second = recipes(runs)
    assert (first[0], first[1]["lora"]) == ("# recipe micro-t5: chosen on micro-t5-nano", 1e-3)
    assert (second[0], second[1]["lora"]) == ("# recipe micro-t5: chosen on micro-llama-nano", 3e-3)


def test_a_rate_at_which_one_task_diverged_is_in_no_recipe(make_grid):
    runs = runs_for(exhibits.load("lr-tuning"), make_grid, rates=RATES, best_rate=1e-3)
    broken = next(run.record for run in runs if run.record["cell"]["method"]["name"] == "lora"
                  and run.record["cell"]["recipe"]["learning_rate"] == 1e-3)  # fmt: skip
    broken |= {"status": "diverged", "scores": {}, "error": {"type": "Diverged", "message": "loss is not finite"}}
    [(_, chosen)] = recipes(runs)
    assert chosen["lora"] != chosen["adapter"] == 1e-3


def test_the_edge_of_the_grid_is_flagged_in_the_table(make_grid, tmp_path):
    exhibit = exhibits.load("delta-ranking")
    report.render(exhibit, "quick", make_grid(rates=(3e-4, 1e-3), best_rate=1e-2), tmp_path)
    text = (tmp_path / "tasks.md").read_text()
    assert "↑" in text
    assert "a better one may lie beyond" in text
    none = next(line for line in text.splitlines() if line.startswith("| none"))
    assert "↑" not in none
    assert "↓" not in none


@pytest.mark.parametrize("beside", [1, 2])
def test_no_claim_about_seconds_when_cells_ran_side_by_side(make_grid, beside):
    made = convergence.table(study.studies(exhibits.load("delta-convergence"), make_grid(beside=beside))[0])
    assert any("no claim is about seconds" in note for note in made.notes) == (beside > 1)


SHAPES = (
    {"seeds": (100,)},
    {"methods": ("lora",), "tasks": ("micro/qa",), "seeds": (100,)},
    {"methods": ("full", "a_method_with_a_very_long_name_" + "x" * 60), "seeds": (100, 101)},
    {"seeds": range(100, 111), "methods": ("none", "full", "lora"), "tasks": [f"t/{i}" for i in range(4)]},
)


def shapes_of_exhibits():
    """Yield every exhibit with every shape; a usual run takes one of every second exhibit, each shape somewhere."""
    for place, name in enumerate(EACH_VIEW_ONCE):
        for number, shape in enumerate(SHAPES):
            taken = place % (2 * len(SHAPES)) == 2 * number
            yield pytest.param(name, shape, marks=() if taken else pytest.mark.slow, id=f"{name}-{number}")


@pytest.mark.parametrize(("name", "shape"), list(shapes_of_exhibits()))
def test_partial_and_odd_shapes_render(name, shape, make_grid, tmp_path):
    report.render(exhibits.load(name), "quick", make_grid(**shape), tmp_path)
    assert shown(tmp_path, width=80)


def test_failures_are_shown_and_missing_stays_missing(make_grid, make_run, tmp_path):
    exhibit = exhibits.load("delta-ranking")
    failed = [make_run("prompt", "micro/qa", seed, status="diverged") for seed in (0, 1, 2)]
    whole = [run for run in make_grid() if run.record["key"] not in {bad.record["key"] for bad in failed}]
    report.render(exhibit, "quick", whole + failed, tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "3 attempted cells have no score" in page
    assert "prompt on micro/qa seed 0 diverged" in page
    row = next(line for line in (tmp_path / "ranking.md").read_text().splitlines() if line.startswith("| prompt"))
    assert row.count(MISSING) >= 3


def test_a_rendering_is_current_until_something_it_depends_on_changes(make_grid, tmp_path):
    exhibit = exhibits.load("delta-ranking")
    rows = ["a 1 done", "b 1 done"]
    first = report.digest(exhibit, "quick", rows)
    assert first == report.digest(exhibit, "quick", rows[::-1])
    others = [report.digest(exhibit, "quick", ["a 2 done", "b 1 done"]), report.digest(exhibit, "embedded", rows)]
    assert first not in others
    assert not report.current(tmp_path, first)
    report.render(exhibit, "quick", make_grid(), tmp_path, first)
    assert report.current(tmp_path, first)
    assert not report.current(tmp_path, others[0])


def test_a_method_has_one_look_in_every_table_of_every_exhibit(make_grid):
    from harness.analysis.output import figure_style, method_looks

    shown = {}
    for name, methods in (("delta-ranking", ("none", "full", "lora", "prompt")), ("delta-methods", ("prompt", "mine"))):
        studies = study.studies(exhibits.load(name), make_grid(methods=methods))
        for arm, look in figure_style.looks(studies).items():
            assert shown.setdefault(arm, look) == look
    assert {arm: (look["color"], look["marker"]) for arm, look in shown.items()} == {
        name: (method_looks.of(name).color, method_looks.of(name).marker) for name in shown
    }
    assert len({(look["color"], look["marker"]) for look in shown.values()}) == 5


def test_names_do_not_overlap_in_the_ranking_figure(make_grid):
    from harness.analysis.figures import ranking_figure
    from harness.analysis.output import figure_style

    methods = ("none", "full", "lora", *(f"another_quite_long_method_name_{i}" for i in range(9)))
    with figure_style.style():
        figure = ranking_figure.ranking(study.studies(exhibits.load("delta-ranking"), make_grid(methods=methods)))
        figure.canvas.draw()
        for axes in figure.axes:
            boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
            tops = np.sort([(box.y0, box.y1) for box in boxes], axis=0)
            assert (tops[1:, 0] >= tops[:-1, 1] - 1).all()


def test_a_users_matplotlibrc_changes_no_figure(make_grid, tmp_path, monkeypatch):
    import matplotlib

    monkeypatch.setattr(report, "FIGURES", FORMATS)
    name = "delta-ranking"
    records = runs_for(exhibits.load(name), make_grid)
    report.render(exhibits.load(name), "quick", records, tmp_path / "plain")
    dark = {"text.usetex": True, "text.color": "white", "axes.facecolor": "black", "savefig.transparent": True}
    with matplotlib.rc_context({**dark, "savefig.dpi": 30, "axes.unicode_minus": False}):
        report.render(exhibits.load(name), "quick", records, tmp_path / "dark")
    drawn = list((tmp_path / "plain").glob("*.png"))
    assert drawn
    for figure in drawn:
        assert figure.read_bytes() == (tmp_path / "dark" / figure.name).read_bytes()


def test_a_figure_that_fails_costs_only_itself(make_grid, tmp_path, monkeypatch):
    name = "delta-ranking"
    figures = [one for one in exhibits.load(name).views if view_registry.VIEWS[one].kind == "figure"]

    def fail(view, studies, stale, *made):
        made[0].write_text("half")
        raise RuntimeError("no `font` here")

    monkeypatch.setattr(report, "_draw_one", fail)
    report.render(exhibits.load(name), "quick", runs_for(exhibits.load(name), make_grid), tmp_path, inputs="these")
    page = (tmp_path / "README.md").read_text()
    assert f"The figure {figures[0]} could not be drawn: `RuntimeError: no font here`." in page
    assert "## Claims" in page
    assert not list(tmp_path.glob("*.svg"))
    assert not report.current(tmp_path, "these")


def test_every_exhibit_can_load_what_its_report_needs() -> None:
    for exhibit in LOADED.values():
        report.load(exhibit)
