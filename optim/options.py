"""What a natural gradient may be asked for, whichever framework asks."""

from operator import index
from typing import Any

from optim.mapping import NO_DUAL_STATE, check_mapping
from solvers.precision.rotated import Rotating
from solvers.solution import Solver
from spu_circuit.errors import InputError


def check_options(
    solver: Solver | Rotating,
    damping: float | None,
    timed: bool,
    mapping: str,
    warm_start: bool,
    delay: float,
    seed: int | None,
    memory: float,
) -> None:
    """Refuse options that are out of range, or that exclude each other.

    Args:
        damping: λ; None: it is known later.
        timed: whether a time other than infinity is asked for, or one known later.
        seed: None: it is known later.

    Raises:
        InputError: names the option and the cure.
    """
    if isinstance(solver, type) or not hasattr(solver, "analog"):
        given = f"the class {solver.__name__}" if isinstance(solver, type) else f"a {type(solver).__name__}"
        raise InputError(
            f"solver is {given}; give a solver, as Digital(), Sde(), or Spu(load_hardware('bench'), Network())"
        )
    if damping is not None and not damping > 0:
        raise InputError(f"damping is {damping}; it must be above zero")
    if not 0 <= real("memory", memory) < 1:
        raise InputError(f"memory is {memory}; it must be from 0 to below 1, as 0.9")
    if memory and warm_start:
        raise InputError("memory and warm_start are two memories of the last step; choose one")
    check_mapping(mapping)
    if mapping != "primal" and (warm_start or delay):
        raise InputError(NO_DUAL_STATE.format("warm_start" if warm_start else "delay"))
    if delay < 0:
        raise InputError(f"delay is {delay}; it must be 0 or more, in τ")
    if delay and not warm_start:
        raise InputError("delay needs warm_start=True: an array that starts afresh has no state to go on with")
    if not solver.analog and (timed or delay):
        raise InputError("a digital solver knows no time: use analog_time=inf and delay=0, or an analog solver")
    if seed is not None and not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}; it must be from 0 to 2³² − 1")


def real(name: str, value: Any) -> float:
    """An option that is a number. Raises InputError where it is none."""
    try:
        if not isinstance(value, str):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise InputError(f"{name} is {value!r:.60}; give a number")


def whole(name: str, value: Any) -> int:
    """An option that counts. Raises InputError where it is no whole number."""
    try:
        return index(value)
    except TypeError:
        raise InputError(f"{name} is {value!r:.60}; give a whole number") from None


def at_least(least: int, name: str, value: float) -> None:
    """Raises InputError where an option is less."""
    if not value >= least:
        raise InputError(f"{name} is {value:g}; it must be {least} or more")
