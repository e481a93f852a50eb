"""What must be bought for a board: every part with its value, how many, and what it costs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from experiments.design.choices import Choice
from experiments.design.search import Candidate
from spu_circuit.catalogue import ResistorClass
from spu_circuit.quantity import shown


@dataclass(frozen=True)
class Line:
    """One kind of package.

    Args:
        place: on the board.
        value: of a part that comes in several, as people read it.
        used: parts on the board.
        packages: that hold them.
        price: of a package; ``total`` of all.
        area: of all packages, m²; None: not known.
        power: of all parts, amplifiers at idle and converters that convert, W; what outputs drive comes on top.
    """

    place: str
    part: str
    value: str
    used: int
    packages: int
    price: float
    total: float
    area: float | None
    power: float
    source: str


HEAD = ("place", "part", "value", "used", "packages", "price", "total", "area [m²]", "power [W]", "source")


def bill(board: Candidate) -> list[Line]:
    """Of a board; fixed resistors of the array value by value."""
    nominal = board.sheet.nominal
    lines: list[Line] = []
    for choice in board.chosen:
        count = nominal.counts[choice.slot]
        if choice.slot == "array_resistor" and isinstance(choice.part, ResistorClass):
            values = Counter(f"{value:.9g}" for value in nominal.values.tolist())
            lines += (
                _line(choice, shown(float(text), "Ω"), used) for text, used in sorted(values.items(), key=_number)
            )
        else:
            lines.append(_line(choice, _value(choice), count))
    return lines


def rows(lines: Sequence[Line]) -> Iterator[tuple[Any, ...]]:
    """For CSV."""
    return map(astuple, lines)


def area(lines: Sequence[Line]) -> float | None:
    """Of all packages, m²; None where one is not known."""
    found = [line.area for line in lines]
    return None if None in found else sum(each for each in found if each is not None)


def _number(entry: tuple[str, int]) -> float:
    return float(entry[0])


def _value(choice: Choice) -> str:
    if choice.bits:
        return f"{choice.bits} bits, ±{shown(choice.number, 'V')}"
    if not choice.number:
        return ""
    return shown(choice.number, "F" if choice.slot == "capacitor" else "Ω")


def _line(choice: Choice, value: str, used: int) -> Line:
    packages, part = choice.packages(used), choice.part
    total = packages * part.price
    own = None if part.area is None else packages * part.area
    place, power = choice.slot.replace("_", " "), choice.power * used
    return Line(place, choice.name, value, used, packages, part.price, total, own, power, part.source)
