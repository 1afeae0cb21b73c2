"""A curve as text, for a terminal. Torch-free."""

from collections.abc import Sequence

from harness.cli.record_text import number

WIDTH, HEIGHT = 56, 8


def plot(points: Sequence[tuple[float, float]], mark: str = "•", width: int = WIDTH, height: int = HEIGHT) -> list[str]:
    """Lines of a small plot of (x, y) points in order of x, with the ends of both axes; [] for no point."""
    if not points:
        return []
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high = min(ys), max(ys)
    screen = [[" "] * width for _ in range(height)]
    for x, y in points:
        column = _place(x, min(xs), max(xs), width)
        screen[height - 1 - _place(y, low, high, height)][column] = mark
    labels = [number(high), *[""] * (height - 2), number(low)]
    margin = max(map(len, labels))
    rows = [f"{label:>{margin}} |{''.join(row).rstrip()}" for label, row in zip(labels, screen, strict=True)]
    first, last = f"{min(xs):g}", f"{max(xs):g}"
    axis = f"{'':>{margin}} +{'-' * width}"
    ends = f"{'':>{margin}}  {first}{last:>{max(width - len(first), len(last) + 1)}}"
    return [*rows, axis, ends]


def _place(value: float, low: float, high: float, cells: int) -> int:
    share = 0.0 if high == low else (value / 2 - low / 2) / (high / 2 - low / 2)  # halves: no overflow
    return round(share * (cells - 1))
