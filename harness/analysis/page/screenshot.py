"""Write the picture of the page that the README shows: `python -m harness.analysis.page.screenshot`.

It needs Playwright (`pip install "deltabench[browser]"`) and Chromium.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from harness import assets
from harness.analysis.page import html_file, sources

WIDTH, HEIGHT = 1280, 900
VIEW = "verdicts"


def write(path: Path, view: str = VIEW) -> None:
    """Write a view of the page over our reference runs as a PNG."""
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_path is None:
        raise SystemExit("No Chromium is installed: install the package chromium, and run this again.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        page_file = Path(folder) / "report.html"
        page_file.write_text(html_file.render(sources.from_reference()), encoding="utf-8")
        browser = started.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(f"{page_file.as_uri()}#{view}")
        page.screenshot(path=str(path))
        browser.close()


if __name__ == "__main__":
    write(assets.reference() / "report.png", *sys.argv[1:2])
