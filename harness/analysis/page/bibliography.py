"""The papers behind the exhibits as BibTeX. Torch-free."""

import re

from harness import assets
from harness.files import plain_files

FILE = "sources.bib"
_ENTRY = re.compile(r"^@\w+\{.*?^\}", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"arXiv (\d{4}\.\d{4,5})")


def of(source: str) -> str:
    """Return the BibTeX entries of the papers that a source names by their arXiv number; "" where it names none."""
    numbers = dict.fromkeys(_NUMBER.findall(source))
    entries = _ENTRY.findall(plain_files.read_text(assets.published() / FILE)) if numbers else []
    return "\n\n".join(entry for number in numbers for entry in entries if f"{{{number}}}" in entry)
