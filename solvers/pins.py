"""Whether a library's amplifier follows with the pins as they are named: exchanged ones are noticed by a follower."""

from functools import lru_cache
from itertools import combinations, permutations

from netlists.amplifier_bench import bench_deck, instance
from netlists.deck import Numerics
from solvers.ngspice_process import run_deck
from spu_circuit.amplifier import Amplifier, Role
from spu_circuit.errors import InputError, SimulationError

Pins = tuple[Role, ...]

DRIVE = 0.1
"""Of the supply, or of 5 V without one: what drives followers and open amplifiers."""
OFF = 0.3
"""Of the drive: a follower's output that is further away does not follow."""
FEW = 5
"""Pins of which all orders are tried, 120 at most."""
TIMEOUT = 30.0
"""Seconds that ngspice has for one test; it takes 0.02."""


@lru_cache(maxsize=256)
def follows(amplifier: Amplifier) -> bool:
    """Whether followers rest at ± the drive, and open amplifiers go the way of their plus input.

    The second tells a follower from one with exchanged inputs, which rests there, too, though not for long.
    """
    drive = DRIVE * min(amplifier.supply or 5.0, 5.0)
    lines = [
        f"Vhigh high 0 DC {drive!r}",
        f"Vlow low 0 DC {-drive!r}",
        instance("fh", "high", "a", "a"),
        instance("fl", "low", "b", "b"),
        instance("oh", "high", "0", "c"),
        instance("ol", "low", "0", "d"),
        *(f"R{node} {node} 0 10000.0" for node in "abcd"),
    ]
    deck = bench_deck(amplifier, lines, ".op", [f"v({node})" for node in "abcd"], Numerics())
    try:
        plot = run_deck(deck, TIMEOUT)[0]
    except SimulationError:
        return False
    high, low, above, below = (float(plot[f"v({node})"][0]) for node in "abcd")
    return max(abs(high - drive), abs(low + drive)) < OFF * drive and above - below > drive


def exchanged(amplifier: Amplifier) -> Pins | None:
    """The roles of the pins with which the amplifier follows, where it does not as they are; None: nothing is known.

    Of the orders of few pins all are tried, and of many those in which two have changed places.
    """
    if follows(amplifier):
        return None
    pins = amplifier.pins
    if len(pins) <= FEW:
        orders = sorted(set(permutations(pins)), key=lambda order: (_moved(order, pins), order))
    else:
        orders = [_swapped(pins, *pair) for pair in combinations(range(len(pins)), 2)]
    others = (order for order in orders if order != pins)
    return next((order for order in others if follows(amplifier.model_copy(update={"pins": order}))), None)


def _moved(order: Pins, pins: Pins) -> int:
    return sum(one != other for one, other in zip(order, pins, strict=True))


def _swapped(pins: Pins, first: int, second: int) -> Pins:
    order = list(pins)
    order[first], order[second] = order[second], order[first]
    return tuple(order)


def check_pins(amplifier: Amplifier) -> None:
    """Raises InputError where a library's amplifier follows with two of its pins exchanged, and not as they are."""
    if amplifier.library_text is None or (better := exchanged(amplifier)) is None:
        return
    wrong = [role for role, other in zip(amplifier.pins, better, strict=True) if role != other]
    raise InputError(
        f"pins: {' and '.join(wrong)} of {amplifier.subcircuit} look exchanged: as they are a follower does not "
        f"follow, and it does with pins = [{', '.join(repr(role) for role in better)}]"
    )
