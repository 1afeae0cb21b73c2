"""The page in a real browser, from the disk: what a reader does, and what must never happen."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.page import html_file, serve, sources
from harness.analysis.page.attempt_rows import Attempt
from harness.cli.commands import view as view_command
from harness.store import archive
from harness.store.store import Store
from tests.harness import made_runs
from tests.harness.analysis.page.made_pages import EVERYTHING, HOSTILE, fill, put, write

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
REFERENCE, TUNING_SEED = archive.from_archive(archive.reference("dora-table15")), 200
ATTEMPTS = len(REFERENCE) + 7
"""The attempts of the page: those of the reference run, and those that `fill` makes."""
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return the file of a store with hostile texts beside one reference run, and the keys of the store's cells."""
    folder = tmp_path_factory.mktemp("page")
    store = Store(folder / "store")
    keys = fill(store)
    return write(folder / "page.html", store, lambda: sources.from_reference(["dora-table15"])), keys


@pytest.fixture
def visit(browser: Any, pages: tuple[Path, list[str]]) -> Iterator[Open]:
    """Return a function that opens a view. Errors and requests of the page fail the test at its end."""
    wrong: list[str] = []
    contexts = []

    def visit(view: str = "", width: int = 1200, before: str = "", **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)  # where every core is busy, a browser starts slowly
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda one: wrong.append(one.url) if not one.url.startswith(("file:", "data:")) else None)
        if before:
            page.add_init_script(before)
        page.goto(f"{pages[0].as_uri()}#{view}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


@contextmanager
def moved(page: Any) -> Iterator[None]:
    """Wait until the address has changed."""
    before = page.url
    yield
    page.wait_for_function("before => location.href !== before", arg=before)


def count(page: Any) -> str:
    return str(page.locator("#cell-count").text_content())


def test_cells_are_sorted_filtered_searched_compared_and_have_addresses(visit: Open, pages: Any) -> None:
    page = visit("cells")
    page.wait_for_selector(".tabulator-row")
    assert count(page) == f"{ATTEMPTS} of {ATTEMPTS} attempts"
    page.select_option("#filters [name=status]", "failed")
    page.wait_for_function("document.getElementById('cell-count').textContent.startsWith('1 of')")
    assert "status=failed" in page.url
    page.select_option("#filters [name=status]", "")
    page.fill("#filters [name=q]", "micro/qa full")
    page.wait_for_function("document.getElementById('cell-count').textContent.startsWith('2 of')")
    with moved(page):
        page.locator(".tabulator-col", has_text="test score").click()
    scores = page.locator(".tabulator-row [tabulator-field=test]").all_text_contents()
    assert scores == sorted(scores, key=float)
    for box in page.locator(".tabulator-row input[type=checkbox]").all():
        box.click()
    with moved(page):
        page.click("#compare-button")
    page.wait_for_selector("#differences")
    differing = page.locator("#differences tbody th[scope=row]").all_text_contents()
    assert differing[:2] == ["seed", "test score"]
    page.go_back()
    page.wait_for_selector("#cell-table .tabulator-row")
    assert "q=micro" in page.url
    assert count(page).startswith("2 of")
    page.reload()
    page.wait_for_selector(".tabulator-row")
    assert count(page).startswith("2 of")


def test_a_cell_and_an_exhibit_and_a_claim_have_addresses(visit: Open, pages: Any) -> None:
    key = pages[1][0]
    page = visit(f"cell={key[:8]}")
    page.wait_for_selector("#section-cell h1")
    assert page.locator("#section-cell h1").text_content() == "full, micro-t5-nano, micro/qa, seed 0"
    assert page.locator("#section-cell code").first.text_content().startswith("deltabench run method=full")
    page.click("nav >> text=Exhibits")
    page.click("text=Robustness towards the rank")
    page.wait_for_selector("article:visible")
    article = page.locator("article:visible")
    assert article.count() == 1
    assert article.locator("img").get_attribute("alt").startswith("Figure (field)")
    page.wait_for_function("image => image.complete", arg=article.locator("img").element_handle())
    assert article.locator("img").evaluate("image => image.naturalWidth") > 100
    seeds = {run.record["cell"]["seed"] for run in REFERENCE if run.record["cell"]["seed"] != TUNING_SEED}
    article.locator(".numbers td a").first.click()
    page.wait_for_selector("#cell-table .tabulator-row")
    assert count(page) == f"{len(seeds)} of {ATTEMPTS} attempts", "a number's cells are its seeds"
    page.go_back()
    page.wait_for_selector("article:visible")
    page.go_back()
    page.wait_for_selector("#section-exhibits:visible")
    assert page.locator("article:visible").count() == 0
    page.goto(page.url.partition("#")[0] + "#claim=dora-table15/at-least-at-half/micro-llama-nano")
    page.wait_for_selector("tr.chosen")
    page.select_option("#claim-filters [name=verdict]", "inconclusive")
    assert page.locator("#claim-count").text_content() == "3 claims"
    page.click("#claims button >> text=claim")
    assert page.locator("#claims th[aria-sort=ascending]").count() == 1


def test_texts_of_records_stay_texts(visit: Open, pages: Any) -> None:
    page = visit(f"cell={pages[1][4][:8]}")
    page.wait_for_selector("#section-cell .notice")
    assert (
        EVERYTHING.replace("\x1b", "").replace("\x07", "")[:40] in page.locator("#section-cell .notice").text_content()
    )
    assert HOSTILE["html"] in page.locator("#section-cell h1").text_content()
    for view in ("cells", "explore", f"compare={pages[1][0][:8]},{pages[1][4][:8]}"):
        shown(page, view, pages[1])
    assert page.evaluate("window.broken") is None
    saved = page.evaluate("(() => { let text; page.save = (_, all) => { text = all; }; page.csv(); return text; })()")
    assert f"'{HOSTILE['formula']}" in saved
    assert f",{HOSTILE['formula']}" not in saved
    assert page.evaluate("page.whole('a\\ud800b\\udc00 \\ud83d\\ude00')") == "a\ufffdb\ufffd \U0001f600"


def test_keys_alone_are_enough(visit: Open) -> None:
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main-content"
    page.focus("nav a[data-section=cells]")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tabulator-row")
    for direction in ("asc", "desc"):
        page.focus(".tabulator-col[tabulator-field=seed]")
        page.keyboard.press("Enter")
        page.wait_for_function("text => location.hash.includes(text)", arg=f"sort=seed%3A{direction}")
    page.focus(".tabulator-row input[type=checkbox] >> nth=0")
    page.keyboard.press("Space")
    assert page.locator(".tabulator-row.tabulator-selected").count() == 1
    page.focus(".tabulator-row a >> nth=0")
    page.keyboard.press("Enter")
    page.wait_for_selector("#section-cell h1")


def test_a_point_of_the_scatter_says_what_it_is_and_opens_its_cells(visit: Open, pages: Any) -> None:
    page = visit("explore")
    page.wait_for_selector("#scatter svg")
    assert page.locator("#scatter [stroke-dasharray]").count() > 0, "the Pareto front is drawn"
    names = page.locator("#axes [name=x] option").all_text_contents()
    assert {"trainable share", "stored bytes", "peak memory", "step time", "learning rate"} <= set(names)
    page.select_option("#axes [name=x]", label="learning rate")
    page.check("#axes [name=logy]")
    assert "x=rate" in page.url
    assert "logy=1" in page.url
    page.select_option("#filters [name=method]", "lora")
    page.wait_for_function("() => document.getElementById('scatter-note').textContent.includes(' of ')")
    box = page.locator("#scatter svg[role=img] g[aria-hidden] circle, #scatter svg[role=img] path").last.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("() => [...document.querySelectorAll('#scatter svg')].some(one => one.value)")
    with moved(page):
        page.mouse.down()
        page.mouse.up()
    page.wait_for_selector("#cell-table .tabulator-row, #section-cell h1")


def test_the_page_follows_a_store_that_is_written(browser: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "LOOK_S", 0.2)
    fill(store)

    def render(version: str, every: float) -> str:
        content = sources.from_store(Store(store.path, read_only=True))
        return html_file.render(content, live=True, version=version, every=every)

    server = serve.Server(serve.Pages(lambda: view_command.news(store), render), 0)
    thread = threading.Thread(target=serve.run, args=(server,))
    thread.start()
    page = browser.new_context().new_page()
    try:
        page.goto(f"{server.url}#cells")
        page.wait_for_function("() => document.getElementById('cell-count').textContent === '7 of 7 attempts'")
        assert "4 done" in page.locator("#live").text_content() or "5 done" in page.locator("#live").text_content()
        again = made_runs.run("adapter", "micro/qa", 3)
        put(store, again.record, again.curve)
        page.wait_for_function("() => document.getElementById('cell-count').textContent === '8 of 8 attempts'")
        assert page.url.endswith("#cells"), "the view stays"
        # A cell and its curve may be two pieces of news: the page loads itself again after each, until one is selected.
        page.wait_for_function("version => page.boot.version === version", arg=view_command.news(store)["version"])
        page.set_viewport_size({"width": 800, "height": 300})
        page.check(".tabulator-row input[type=checkbox] >> nth=0")
        page.evaluate("window.scrollTo(0, 120)")
        put(store, made_runs.run("adapter", "micro/qa", 4).record)
        page.wait_for_selector("#live button", state="attached")
        assert count(page) == "8 of 8 attempts", "the selected cells stay"
        page.evaluate("document.querySelector('#live button').click()")
        page.wait_for_function("() => document.getElementById('cell-count').textContent === '9 of 9 attempts'")
        page.wait_for_function("() => window.scrollY > 60")  # the line of news above is longer for a while
    finally:
        page.context.close()
        server.shutdown()
        thread.join()


def test_a_cell_of_a_store_and_of_a_reference_run_has_two_addresses(browser: Any, store: Store, tmp_path: Path) -> None:
    made = made_runs.run("lora", "micro/qa", 0)
    key = put(store, made.record, made.curve)
    ours = sources.Content("our reference runs", [], [Attempt(made.record, made.curve, "delta-ranking")])
    path = write(tmp_path / "page.html", store, lambda: ours)
    page = browser.new_context().new_page()
    page.goto(f"{path.as_uri()}#cells")
    page.wait_for_selector(".tabulator-row")
    names = page.locator(".tabulator-row [tabulator-field=id]").all_text_contents()
    assert sorted(names) == [key[:8], f"{key[:8]}.reference"]
    page.click(f"text={key[:8]}.reference")
    page.wait_for_selector("#section-cell a[href*=group]")
    assert "delta-ranking" in page.locator("#section-cell p").first.text_content()
    page.click("#section-cell >> text=attempt 1 (done)")
    page.wait_for_function("() => !location.hash.includes('reference')")
    page.wait_for_selector("#section-cell >> text=reference attempt 1")
    page.context.close()


VIEWS = ("verdicts", "exhibits", "exhibit=dora-table15", "explore", "curves", "cells", "cell={}", "compare={},{}")
READY = {"verdicts": "#claims tbody tr", "exhibits": "#section-exhibits", "exhibit": "article:not([hidden])",
         "explore": "#scatter svg", "curves": "#curves svg", "cells": ".tabulator-row", "cell": "#section-cell h1",
         "compare": "#differences"}  # fmt: skip


def shown(page: Any, view: str, keys: list[str]) -> str:
    """Show a view of the open page, and wait for it; return its address."""
    address = view.format(keys[0][:8], keys[2][:8])
    page.evaluate("view => { location.hash = view; }", address)
    page.wait_for_selector(READY[view.partition("=")[0]])
    return address


def test_a_narrow_screen_never_scrolls_sideways_and_figures_are_described(visit: Open, pages: Any) -> None:
    page = visit(width=400)
    for view in VIEWS:
        shown(page, view, pages[1])
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, view
        bare = page.locator("img:not([alt]):visible, main svg:visible:not([aria-label]):not([aria-hidden])").count()
        assert bare == 0, view


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_no_serious_finding(visit: Open, pages: Any, scheme: str) -> None:
    page = visit(color_scheme=scheme, bypass_csp=True)
    page.add_script_tag(content=AXE)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
    assert dark == (scheme == "dark")
    for view in VIEWS:
        shown(page, view, pages[1])
        result = page.evaluate("axe.run('body', {resultTypes: ['violations']})")
        serious = [(one["id"], one["nodes"][0]["html"][:200]) for one in result["violations"]
                   if one["impact"] in ("serious", "critical")]  # fmt: skip
        assert serious == [], view


def test_a_browser_that_cannot_unpack_says_so_and_shows_the_verdicts(visit: Open) -> None:
    page = visit("cells", before="delete window.DecompressionStream;")
    page.wait_for_selector("#trouble:visible")
    assert "This browser cannot unpack the records" in page.locator("#trouble").text_content()
    page.click("nav >> text=Verdicts")
    page.wait_for_selector("#claims tbody tr")  # the view changes after the click has returned
    assert page.locator("#claims tbody tr:visible").count() == 3
