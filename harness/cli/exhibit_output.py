"""A rendered exhibit on standard output in one of several forms, and as a page in a browser."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from harness import terminal
from harness.analysis import report
from harness.analysis.output import table
from harness.errors import UsageError, near
from harness.experiments.exhibits import Exhibit
from harness.files import atomic_files, plain_files, strict_json
from harness.store.store import Store

TEXT = "text"
FORMS = (TEXT, "csv", "md", "latex", "json")
PAGE = "report.html"


@dataclass(frozen=True)
class Output:
    """How a finished exhibit is shown. form: one of FORMS. opened: whether a browser shows its page, too."""

    form: str
    stream: TextIO
    opened: bool = False

    def show(self, folder: Path, exhibit: Exhibit, store: Store | None = None, keys: Sequence[str] = ()) -> None:
        """Show the exhibit that was written into a folder. keys: of its cells in the store."""
        if self.form == TEXT:
            # A pipe or a file has no width of its own: 80 columns would cut the headings.
            report.show(folder, terminal.console(width=None if sys.stdout.isatty() else 160))
        else:
            self.stream.write(written(folder, self.form))
        if self.opened:
            _open(folder, exhibit, store, keys)


@contextlib.contextmanager
def chosen(form: str, opened: bool) -> Iterator[Output]:
    """Return how an exhibit is shown. In a form for programs, all else that is printed goes to the error stream."""
    if form not in FORMS:
        raise UsageError(f"--format {form}: it must be one of {', '.join(FORMS)}.{near(form, FORMS)}")
    output = Output(form, sys.stdout, opened)
    with contextlib.nullcontext() if form == TEXT else contextlib.redirect_stdout(sys.stderr):
        yield output


def written(folder: Path, form: str) -> str:
    """Return the tables of a rendered exhibit in a form for programs; as JSON with verdicts and keys."""
    content = plain_files.read_text(folder / report.INDEX)
    tables = [table.from_json(made) for made in strict_json.parse(content)["tables"]]
    names = dict.fromkeys(made.name for made in tables)
    if form == "json":
        return content
    if form == "csv":
        return "\n".join(table.to_csv([made for made in tables if made.name == name]) for name in names)
    write = table.to_markdown if form == "md" else table.to_latex
    return "\n".join(map(write, tables))


def _open(folder: Path, exhibit: Exhibit, store: Store | None, keys: Sequence[str]) -> None:
    """Write the page of an exhibit into its folder, and open it in a browser."""
    import webbrowser

    from harness.analysis.page import html_file, sources

    path = folder / PAGE
    atomic_files.write_text(path, html_file.render(sources.from_folder(folder, exhibit, store, keys)))
    remark = "" if webbrowser.open(path.resolve().as_uri()) else "; no browser can be opened here"
    print(f"page: {path}{remark}", file=sys.stderr)
