"""Tables in Markdown, and the results in ``docs/data`` that they show."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def number(value: float) -> str:
    """Two digits, or three where the first is a one; thousands apart; a power of ten where it is small."""
    digits = 3 if f"{value:e}".lstrip("-").startswith("1") else 2
    if value and abs(value) < 1e-3:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return f"{float(mantissa):g}e{int(power)}"
    return f"{float(f'{value:.{digits}g}'):,.10g}"


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def keep(target: Path, found: Any) -> None:
    """Write a JSON file of results."""
    target.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def result(name: str) -> Any:
    """What a JSON file holds."""
    return json.loads((DATA / name).read_text(encoding="utf-8"))
