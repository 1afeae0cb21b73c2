"""The page as a file: whole, small, and with every text of a record as text."""

import base64
import gzip
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.page import attempt_rows, html_file, packed, sources
from harness.store import archive
from harness.store.store import Store
from tests.harness import made_runs
from tests.harness.analysis.page.made_pages import EVERYTHING, HOSTILE, fill, put, unfolded


def unpacked(page: str, name: str) -> Any:
    [text] = re.findall(rf'<script type="application/gzip" id="{name}">([^<]*)</script>', page)
    return json.loads(gzip.decompress(base64.b64decode(text)))


def page_of(store: Store) -> str:
    return html_file.render(sources.from_store(Store(store.path, read_only=True)))


def rows_of(page: str) -> dict[str, list[Any]]:
    """Return column -> its values."""
    packed_rows = unpacked(page, "rows")
    columns = [values if isinstance(values, list) else [values["distinct"][at] for at in values["at"]]
               for values in packed_rows["values"]]  # fmt: skip
    return dict(zip((column["name"] for column in packed_rows["columns"]), columns, strict=True))


@pytest.fixture
def page(store: Store) -> str:
    fill(store)
    return page_of(store)


def test_every_attempt_is_a_row_and_has_its_details(page: str, store: Store) -> None:
    rows, details = rows_of(page), unfolded(unpacked(page, "details-0"))
    assert sorted(rows["status"]) == ["done"] * 5 + ["failed", "oom"]
    assert rows["counts"].count(False) == 1
    assert len(details) == len(rows["key"])
    for at, one in enumerate(details):
        record = store.record(rows["key"][at], rows["attempt"][at])
        assert record is not None
        assert one["status"] == record["status"] == rows["status"][at]
        if record["status"] == "done":
            assert rows["test"][at] == pytest.approx(record["scores"]["best"]["sets"]["test"]["accuracy"], rel=1e-5)
            assert len(one["curve"]) == 9


class Elements(HTMLParser):
    """The elements of a page, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def check_elements(page: str) -> None:
    """Check that no text has become an element, an attribute or the result of a template."""
    elements = Elements(page).seen
    assert len(elements) > 100
    assert not [(tag, name) for tag, attributes in elements for name in attributes if name.startswith("on")]
    assert {tag for tag, attributes in elements if attributes.get("src") == "x"} == set()
    scripts = [attributes for tag, attributes in elements if tag == "script"]
    assert sum(not attributes for attributes in scripts) == len(html_file.SCRIPTS)
    assert all(attributes.get("type", "") in ("", "application/json", "application/gzip") for attributes in scripts)


def test_a_hostile_text_is_nowhere_markup(page: str) -> None:
    check_elements(page)
    details = unfolded(unpacked(page, "details-0"))
    assert details[rows_of(page)["status"].index("failed")]["error"]["message"] == EVERYTHING


def test_a_hostile_name_in_a_static_table_is_escaped(store: Store) -> None:
    made = made_runs.run("lora", "micro/qa", 0).record
    for place, text in enumerate(HOSTILE.values()):
        if text.isprintable():
            cell = {**made["cell"], "task": {**made["cell"]["task"], "name": text}}
            put(store, {**made, "key": f"{place:064x}", "cell": cell})
    page = page_of(store)
    check_elements(page)
    static = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert html.escape(HOSTILE["html"]) in static.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")
    assert HOSTILE["html"] not in static
    assert "{{ 7 * 7 }}" in static


def test_only_our_scripts_may_run_and_nothing_is_fetched(page: str) -> None:
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy.replace("&#39;", "'")
    named = set(re.findall(r"'sha256-([^']+)'", policy))
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    libraries = unpacked(page, "libraries")
    assert {html_file._digest(text) for text in (*scripts, *libraries)} == named
    assert len(scripts) == len(html_file.SCRIPTS)
    assert len(libraries) == len(html_file.LIBRARIES)
    markup = re.sub(r"<script.*?</script>|<style>.*?</style>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', markup)


def test_numbers_keep_six_digits_and_what_is_not_finite_is_null() -> None:
    value = {"a": [1 / 3, float("nan"), float("inf")], "b": (2, "\ud800")}
    assert packed.shortened(value) == {"a": [0.333333, None, None], "b": [2, "\ud800"]}
    assert json.loads(gzip.decompress(base64.b64decode(packed.pack(value)))) == {
        "a": [0.333333, None, None],
        "b": [2, "\ud800"],
    }


def test_the_command_of_a_cell_is_made_once_for_all_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(attempt_rows, "_command", lambda cell: made.append(cell) or "deltabench run method=a seed=5")
    commands = attempt_rows.Commands()
    texts = [commands.of({"method": "a", "seed": seed}) for seed in (5, 6)]
    assert texts == ["deltabench run method=a seed=5", "deltabench run method=a seed=6"]
    assert len(made) == 1


def test_a_record_of_another_version_has_a_page(store: Store) -> None:
    made = made_runs.run("lora", "micro/qa", 0).record
    put(store, {**made, "cell": {**made["cell"], "method": {"name": "of-a-later-version", "unknown": [1]}}})
    [one] = unfolded(unpacked(page_of(store), "details-0"))
    assert one["command"].startswith("no command: ")
    assert one["fields"]["method.unknown"] == [1]


def test_every_vendored_library_has_its_licence_and_its_version() -> None:
    folder = html_file.HERE / "vendor"
    licences = {path.name.partition(".")[0] for path in folder.glob("*.LICENSE")}
    libraries = {
        path.name.partition(".")[0].partition("_")[0] for path in folder.iterdir() if path.suffix != ".LICENSE"
    }
    assert libraries == licences == {"d3", "plot", "tabulator"}
    heads = "".join((folder / f"{name}.min.js").read_text()[:200] for name in ("d3", "plot.umd", "tabulator"))
    for version in re.findall(r"\d+\.\d+\.\d+", " ".join(html_file.VENDORED)):
        assert f"v{version}" in heads


@pytest.mark.slow
def test_the_page_of_all_reference_runs_is_small(tmp_path: Path) -> None:
    content = sources.from_reference()
    text = html_file.render(content)
    assert len(text.encode()) < 5_000_000
    archived = {run.record["key"] for path in _archives() for run in archive.from_archive(path)}
    assert {attempt.record["key"] for attempt in content.attempts} == archived
    assert len(archived) > 1000


def _archives() -> list[Path]:
    from harness import assets

    return sorted(assets.reference().glob(f"*/{archive.ARCHIVE}"))


def test_rows_are_whole_after_they_were_packed_by_columns() -> None:
    rows = [
        {"a": 1, "b": {"c": [1, 2], "d": None}, "curve": [{"step": 0}, {"step": 5, "loss": 0.25}]},
        {"a": None, "b": {}, "curve": []},
        {"b": {"c": "text", "__proto__": {"x": 1}}, "curve": [{"step": 0, "loss": 0.5}]},
        {"a": {"deep": 1}, "curve": "none", "constructor": 3},
        {},
    ]
    text = base64.b64decode(packed.pack_rows(rows))
    assert unfolded(json.loads(gzip.decompress(text))) == rows
    assert unfolded(json.loads(gzip.decompress(base64.b64decode(packed.pack_rows([]))))) == []


def test_backticks_are_code_and_nothing_in_them_is_markup() -> None:
    assert html_file.coded("run `a=<b>` & `c`") == "run <code>a=&lt;b&gt;</code> &amp; <code>c</code>"
    assert html_file.coded("one ` alone") == "one ` alone"
