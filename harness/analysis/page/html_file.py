"""The page as one HTML file: nothing is fetched, and no text of a record can become markup or code. Torch-free.

The template escapes every text. Records travel as base64, and scripts write them with `textContent`. The policy in the
head lets only the scripts run whose digests it names, so an injected script would not run even if it were one.
"""

import base64
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.output import method_looks
from harness.analysis.page import attempt_rows, exhibit_parts, normal_scores, packed
from harness.analysis.page.attempt_rows import Attempt, Commands
from harness.analysis.page.sources import Content
from harness.files import plain_files
from harness.store.provenance import own_version

if TYPE_CHECKING:
    from markupsafe import Markup

HERE = Path(__file__).parent
_CODE = re.compile(r"`([^`]+)`")
LIBRARIES = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "vendor/tabulator.min.js")
"""The scripts that run when a view first needs them. They travel packed, in a third of their size."""
SCRIPTS = ("page_address.js", "page_records.js", "page_explore.js", "page_cells.js", "page_start.js")
STYLES = ("vendor/tabulator_simple.min.css", "page.css")
VENDORED = ("Tabulator 6.5.3 (MIT)", "D3 7.9.0 (ISC)", "Observable Plot 0.6.17 (ISC)")
CHUNK = 512
"""The number of attempts that the browser unpacks together when one of them is opened."""
SECTIONS = (
    ("verdicts", "Verdicts"),
    ("exhibits", "Exhibits"),
    ("explore", "Explore"),
    ("curves", "Curves"),
    ("cells", "Cells"),
)
STATUSES = (
    ("done", "finished"),
    ("oom", "out of memory, which is a result"),
    ("diverged", "its loss was not finite"),
    ("failed", "an error of the cell"),
    ("timeout", "ended after its time"),
    ("interrupted", "cut off"),
    ("blocked", "a parent failed"),
    ("stale", "finished by other code than today's"),
)


def render(content: Content, live: bool = False, version: str = "", every: float = 3.0) -> str:
    """Return the page. live: it asks its server every `every` seconds what runs. version: of what it shows."""
    import jinja2

    scripts, libraries = ([_script(HERE / name) for name in names] for names in (SCRIPTS, LIBRARIES))
    boot = {"looks": _looks(content.attempts), "chunk": CHUNK, "live": live, "version": version, "every": every}
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["coded"] = coded
    template = environment.from_string(plain_files.read_text(HERE / "page.html.j2"))
    claims = exhibit_parts.claims(content.exhibits)
    values: dict[str, Any] = {
        "origin": content.origin,
        "title": f"Delta tuning, rerun: {content.origin}",
        "live": live,
        "hashes": [f"'sha256-{_digest(text)}'" for text in (*scripts, *libraries)],
        "styles": [plain_files.read_text(HERE / name) for name in STYLES],
        "scripts": scripts,
        "sections": SECTIONS,
        "facts": _facts(content),
        "microworld": any(name.startswith(("micro-", "micro2-")) for name in _models(content)),
        "notes": content.notes,
        "claims": claims,
        "claim_filters": [
            (name, name, sorted({str(claim[name]) for claim in claims})) for name in ("paper", "verdict", "model")
        ],
        "exhibits": exhibit_parts.exhibits(content.exhibits),
        "statuses": STATUSES,
        "version": own_version(),
        "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "vendored": VENDORED,
        "libraries": packed.pack(libraries),
        "rows": packed.pack(_rows(content)) if content.attempts else "",
        "files": packed.pack(exhibit_parts.files(content.exhibits)),
        "chunks": _chunks(content.attempts),
        "boot": _safe_json(boot),
    }
    return template.render(values)


def coded(text: str) -> "Markup":
    """Return a text as HTML in which what stands between backticks is code, and nothing is markup."""
    from markupsafe import Markup, escape

    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


def _rows(content: Content) -> dict[str, Any]:
    roles = {shown.group: (shown.floor, shown.ceiling) for shown in content.exhibits if shown.ceiling}
    return attempt_rows.rows(content.attempts, normal_scores.of(content.attempts, roles))


def _chunks(attempts: Sequence[Attempt]) -> list[str]:
    commands = Commands()
    return [
        packed.pack_rows([attempt_rows.details(attempt, commands) for attempt in attempts[at : at + CHUNK]])
        for at in range(0, len(attempts), CHUNK)
    ]


def _looks(attempts: Sequence[Attempt]) -> dict[str, list[str]]:
    """Return method -> its colour on a light page, on a dark page, and its marker."""
    names = dict.fromkeys(str(attempt.record["cell"]["method"]["name"]) for attempt in attempts)
    looks = {name: method_looks.of(name) for name in names}
    return {name: [look.color, look.dark, look.marker] for name, look in looks.items()}


def _models(content: Content) -> dict[str, None]:
    named = [str(attempt.record["cell"]["model"]["name"]) for attempt in content.attempts]
    drawn = [made.model for shown in content.exhibits for made in shown.tables]
    return dict.fromkeys([*named, *drawn])


def _facts(content: Content) -> list[tuple[str, str]]:
    """Return what a reader should know first: scale, device, and how many cells finished and failed."""
    scales = Counter(str(shown.index["scale"]) for shown in content.exhibits if shown.index["scale"])
    devices = Counter(
        str(
            (attempt.record.get("device") or {}).get("name")
            or (attempt.record.get("notes") or {}).get("device")
            or "not recorded"
        )
        for attempt in content.attempts
    )
    states = Counter(str(attempt.record["status"]) for attempt in content.attempts if attempt.counts)
    other = {status: count for status, count in states.items() if status != "done"}
    repeated = sum(not attempt.counts for attempt in content.attempts)
    cells = f"{states['done']} done" + "".join(f", {count} {status}" for status, count in other.items())
    stale = sum(attempt.stale for attempt in content.attempts)
    facts = [("cells", cells + (f", {stale} of them stale" if stale else "")), ("claims", _verdicts(content))]
    facts += [("attempts that do not count", str(repeated))] if repeated else []
    return [*facts, ("scale", _listed(scales)), ("device", _listed(devices))]


def _verdicts(content: Content) -> str:
    counts = Counter(str(finding["verdict"]) for shown in content.exhibits for finding in shown.index["findings"])
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()) or "none judged"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(counts) or "none"


def _script(path: Path) -> str:
    """Return a script for the inside of an HTML file. Raise ValueError where it would end its own element."""
    lines = plain_files.read_text(path).splitlines()
    text = "\n".join(line for line in lines if not line.startswith("//# sourceMappingURL="))
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError(f"{path.name} cannot stand inside an HTML file")
    return text


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _safe_json(value: Any) -> str:
    """Return JSON in which no character means anything in HTML."""
    text = json.dumps(value)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
