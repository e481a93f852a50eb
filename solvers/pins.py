"""Whether a library's amplifier follows with the pins as they are named: exchanged ones are noticed by a follower."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations
from time import monotonic

from netlists.amplifier_bench import bench_deck, instance
from netlists.deck import Numerics
from solvers.ngspice_attempts import searches
from solvers.ngspice_process import NgspiceConvergenceError, run_deck
from spu_circuit.amplifier import Amplifier
from spu_circuit.amplifiers.fields import Role
from spu_circuit.amplifiers.pin_names import named_roles
from spu_circuit.errors import InputError, SimulationError
from spu_circuit.library import lines_of, used_part

Pins = tuple[Role, ...]

DRIVE = 0.1
"""Of the supply, or of 5 V without one: what drives followers and open amplifiers."""
OFF = 0.3
"""Of the drive: a follower's output that is further away does not follow."""
FEW = 5
"""Pins of which all orders are tried, 120 at most."""
TIMEOUT = 30.0
"""Seconds that ngspice has for one test; it takes 0.02 to 0.2."""
HINT = 2.0
"""The same for one of the orders that are tried, of which wrong ones may never converge."""
HINTS = 30.0
"""Seconds after which no further order is tried: what is found is only a hint."""

TESTS = (("f", "high"), ("f", "low"), ("o", "high"), ("o", "low"))
"""Followers and open amplifiers, and what drives them."""


@dataclass(frozen=True)
class Check:
    """What a part's pins are found to be.

    Args:
        follows: they are right.
        why: they are not: what is wrong.
        better: roles of the pins with which the amplifier follows; None: not known, or not needed.
    """

    follows: bool
    why: str = ""
    better: Pins | None = None


@lru_cache(maxsize=256)
def check(amplifier: Amplifier) -> Check:
    """Whether an amplifier follows, and if not, whether it does with its pins in another order."""
    try:
        if follows(amplifier):
            return Check(True)
        why = "a follower does not follow"
    except SimulationError as error:
        why = f"a follower has no operating point: {error}"
    return Check(False, why, exchanged(amplifier))


def follows(amplifier: Amplifier) -> bool:
    """Whether followers rest at ± the drive, and open amplifiers go the way of their plus input.

    The second tells a follower from one with exchanged inputs, which rests there, too, though not for long.

    Raises:
        SimulationError: ngspice finds no operating point even where each stands alone.
    """
    try:
        return _right(amplifier, _outputs(amplifier, TESTS, TIMEOUT))
    except SimulationError:
        # Four together can fail where each alone does not.
        found: dict[tuple[str, str], float] = {}
        for test in TESTS:
            found |= _outputs(amplifier, (test,), TIMEOUT)
        return _right(amplifier, found)


def _drive(amplifier: Amplifier) -> float:
    return DRIVE * min(amplifier.supply or 5.0, 5.0)


def _outputs(amplifier: Amplifier, tests: Sequence[tuple[str, str]], timeout: float) -> dict[tuple[str, str], float]:
    """Volts at the outputs of some of ``TESTS``."""
    drive = _drive(amplifier)
    lines = [f"Vhigh high 0 DC {drive!r}", f"Vlow low 0 DC {-drive!r}"]
    for kind, level in tests:
        out = f"{kind}{level}"
        lines += [instance(out, level, out if kind == "f" else "0", out), f"R{out} {out} 0 10000.0"]
    saved = [f"v({kind}{level})" for kind, level in tests]
    for numerics in searches(Numerics()):
        try:
            plot = run_deck(bench_deck(amplifier, lines, ".op", saved, numerics), timeout)[0]
        except NgspiceConvergenceError as error:
            last = error
            continue
        return {test: float(plot[name][0]) for test, name in zip(tests, saved, strict=True)}
    raise last


def _right(amplifier: Amplifier, volts: Mapping[tuple[str, str], float]) -> bool:
    drive = _drive(amplifier)
    off = max(abs(volts["f", "high"] - drive), abs(volts["f", "low"] + drive))
    return off < OFF * drive and volts["o", "high"] - volts["o", "low"] > drive


def exchanged(amplifier: Amplifier) -> Pins | None:
    """The roles of the pins with which the amplifier follows, where it does not as they are; None: nothing is known.

    First by the names of the pins. Of the orders of few pins all are tried, and of many those in which two have
    changed places.
    """
    pins = amplifier.pins
    orders: list[Pins]
    if len(pins) <= FEW:
        orders = sorted(set(permutations(pins)), key=lambda order: (_moved(order, pins), order))
    else:
        orders = [_swapped(pins, *pair) for pair in combinations(range(len(pins)), 2)]
    lines = lines_of(amplifier.library_text or "", str(amplifier.library))
    _, names = used_part(lines, str(amplifier.subcircuit))
    named = named_roles(names)
    if named is not None and sorted(named) == sorted(pins):
        orders.insert(0, named)
    until = monotonic() + HINTS
    for order in orders:
        if order == pins or monotonic() > until:
            continue
        other = amplifier.model_copy(update={"pins": order})
        with suppress(SimulationError):
            high = _outputs(other, TESTS[:1], HINT)[TESTS[0]]
            if abs(high - _drive(other)) < OFF * _drive(other) and follows(other):
                return order
    return None


def _moved(order: Pins, pins: Pins) -> int:
    return sum(one != other for one, other in zip(order, pins, strict=True))


def _swapped(pins: Pins, first: int, second: int) -> Pins:
    order = list(pins)
    order[first], order[second] = order[second], order[first]
    return tuple(order)


def check_pins(amplifier: Amplifier) -> None:
    """Raises InputError where a library's amplifier follows with two of its pins exchanged, and not as they are."""
    if amplifier.library_text is None or (better := check(amplifier).better) is None:
        return
    wrong = [role for role, other in zip(amplifier.pins, better, strict=True) if role != other]
    raise InputError(
        f"pins: {' and '.join(wrong)} of {amplifier.subcircuit} look exchanged: as they are a follower does not "
        f"follow, and it does with pins = [{', '.join(repr(role) for role in better)}]"
    )
