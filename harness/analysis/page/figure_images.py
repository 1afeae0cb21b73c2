"""Our figures inside the page: SVG as an image that follows a dark page, with a text in its place. Torch-free."""

import re

from harness.analysis.output import method_looks

DARK_PAGE, DARK_INK, DARK_GRID = "#14171c", "#e4e7eb", "#343a43"
_LONG = re.compile(r"(?<![\d.])(\d*[1-9]\d*\.\d)\d+")
"""Numbers from 1 on, such as places. Factors below 1 keep their digits."""
_REFERENCE = re.compile(r"""(?:href="|url\()#([\w.-]+)""")
_INK = ("#000000", "#222222", "#555555")
_GREY = (
    ("#8c8c8c", "#9a9a9a"),
    ("#777777", "#a8a8a8"),
    ("#a00000", "#ff8a80"),
    ("#d00000", "#ff8a80"),
    ("#b00000", "#ff8a80"),
)


def image(svg: str) -> str:
    """Return an SVG for an image of the page: shortened, and with a dark variant inside."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = _short_names(re.sub(r"\s*\n\s*", " ", _LONG.sub(r"\1", text)).replace("> <", "><"))
    start = text.index(">") + 1
    return f"{text[:start]}<style>{_dark(text)}</style>{text[start:]}"


def _short_names(svg: str) -> str:
    """Return the SVG with short names for what it refers to, mostly letters, and without the other names."""
    used = dict.fromkeys(_REFERENCE.findall(svg))
    named = {name: f"n{place:x}" for place, name in enumerate(used)}
    svg = re.sub(r' id="([\w.-]+)"', lambda match: f' id="{named[match[1]]}"' if match[1] in named else "", svg)
    svg = _REFERENCE.sub(lambda match: match[0].replace(match[1], named[match[1]]), svg)
    return svg.replace("xlink:href", "href")


def _dark(svg: str) -> str:
    """Return the rules for a dark page: of each colour that the figure has, the one that is bright enough there."""
    pairs = [("#ffffff", DARK_PAGE), ("#e6e6e6", DARK_GRID), *((ink, DARK_INK) for ink in _INK), *_GREY]
    pairs += [(light.lower(), dark) for light, dark in method_looks.COLOURS]
    rules = [f"svg{{fill:{DARK_INK}}}"]
    for light, dark in pairs:
        for what in ("fill", "stroke"):
            if f"{what}: {light}" in svg:
                rules.append(f"[style*='{what}: {light}']{{{what}:{dark}!important}}")
    return f"@media (prefers-color-scheme:dark){{{''.join(rules)}}}"


def alternative(name: str, title: str, findings: list[str]) -> str:
    """Return what stands for a figure where it is not seen: what it shows, and what its claims came to."""
    kind = name.removesuffix("-figure").replace("-", " ")
    outcome = f" Its claims: {'; '.join(findings)}." if findings else ""
    return f"Figure ({kind}) of {title}. The tables below have its numbers.{outcome}"
