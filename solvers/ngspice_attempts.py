"""Settings by which ngspice tries again where it does not converge, in their order, and what they cost.

Macromodels with inductors of picohenries, diodes without capacitance or limits with corners stop the trapezoidal rule:
"timestep too small". Each further setting asks less of them. What the one that worked costs is measured: a run with ten
times its tolerance and capacitance shows how far the voltages depend on them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from netlists.deck import Numerics
from solvers.ngspice_process import NgspiceConvergenceError, NgspiceUnsettledError, parse_raw

Array = NDArray[np.float64]

SHUNT = 1e-14
"""From every node to ground where nothing else converges, F. An op-amp's own nodes have picofarads."""
LOOSEST = 1e-2
"""Relative tolerance beyond which nothing is tried."""
SEARCHES = ("", "noopiter", "pivrel=0.01 pivtol=1e-20")
"""Of operating points: ngspice's own order; stepping gmin from the start; other pivots, where gains of 1e6 leave few
digits."""
LARGEST_ERROR = 1e-3
"""Of the largest voltage: what depends more on the settings is refused."""

NEAR, FAR = 1e-3, 0.1
"""Of the largest voltage, how far outputs may be from the charges at time 0 where ngspice found nothing at rest: nearer
nothing further is looked for, farther the transient is refused."""
SMALLEST = 1e-9
"""Volts, below which nothing is compared."""

TENFOLD = "ten times its tolerance and capacitance"


@dataclass(frozen=True)
class Converged:
    """What a run found.

    Args:
        volts: (points, nodes); the last row is the result.
        numerics: the settings that worked.
        runs: of ngspice.
        failed: how many settings did not work.
        error: change of the result, relative to its largest voltage, when tolerance and capacitance are ten times as
            large; None: the first settings worked, or those do not.
    """

    times: Array | None
    volts: Array
    numerics: Numerics
    runs: int = 1
    failed: int = 0
    error: float | None = None

    @property
    def note(self) -> str:
        """What a user is told of settings that are not those asked for; "" where there is nothing to tell."""
        if not self.failed:
            return ""
        cost = (
            "whose own error could not be measured"
            if self.error is None
            else f"{TENFOLD} changes the voltages by {self.error:.1g} of the largest"
        )
        return f"ngspice converged only with {self.numerics}, after {self.failed} other settings failed; {cost}"


def attempts(own: Numerics, moves: bool) -> tuple[Numerics, ...]:
    """The settings in the order in which they are tried.

    Of a transient one's own, Gear, a looser tolerance, and both with a capacitor at every node; of an operating point
    the looser tolerance alone.
    """
    gear = replace(own, method="gear")
    looser = max(own.reltol, min(10 * max(own.reltol, 1e-4), LOOSEST))
    if not moves:
        return tuple(dict.fromkeys((own, replace(own, reltol=looser))))
    loose = replace(gear, reltol=looser)
    return tuple(dict.fromkeys((own, gear, loose, replace(gear, shunt=SHUNT), replace(loose, shunt=SHUNT))))


def searches(own: Numerics) -> tuple[Numerics, ...]:
    """Settings for an operating point of one amplifier: of arrays these searches take longer than a transient."""
    return tuple(replace(one, search=search) for one in attempts(own, moves=False) for search in SEARCHES)


def begun(
    run: Callable[[str, bool], dict[str, Array]], volts_of: Callable[[dict[str, Array]], Array], begins: Array
) -> dict[str, Array]:
    """A transient that begins with amplifiers at rest, or near: what ngspice begins with by a transient of its own may
    be anywhere.

    Args:
        run: makes the plot by one of ``SEARCHES``; its second argument: refuse it where it does not begin at rest.
        volts_of: outputs of a plot, (points, n).
        begins: V, where they must be at time 0, but for offsets, (n,).

    Raises:
        NgspiceConvergenceError: no search finds a beginning.
    """
    far, nearest = inf, dict[str, Array]()
    for search in SEARCHES:
        try:
            return run(search, True)
        except NgspiceUnsettledError as error:
            plot = parse_raw(error.data)[0]
        except NgspiceConvergenceError:
            if not nearest:
                raise
            continue
        volts = volts_of(plot)
        off = float(np.abs(volts[0] - begins).max()) / max(float(np.abs(volts).max()), SMALLEST)
        if off < far:
            far, nearest = off, plot
        if far < NEAR:
            break
    if far > FAR:
        raise NgspiceConvergenceError(
            f"ngspice finds no operating point with the cells at their charges, but begins {far:.2g} of the largest "
            "voltage away; check the amplifier and its supply"
        )
    return nearest


def converged(order: Sequence[Numerics], run: Callable[[Numerics], tuple[Array | None, Array]]) -> Converged:
    """The first run that converges.

    Args:
        order: the settings, see ``attempts``.
        run: makes times and volts (points, nodes) of a setting.

    Raises:
        NgspiceConvergenceError: none of the settings converges, or what the one that does finds is not the same at ten
            times its tolerance.
    """
    for failed, numerics in enumerate(order):
        try:
            times, volts = run(numerics)
        except NgspiceConvergenceError as error:
            last = error
            continue
        found = Converged(times, volts, numerics, failed + 1, failed)
        return _measured(found, run) if failed else found
    raise NgspiceConvergenceError(
        f"none of {len(order)} settings converged ({'; '.join(map(str, order))}); lower the condition number of the "
        f"matrix (more damping) or check the amplifier. {last}"
    )


def _measured(found: Converged, run: Callable[[Numerics], tuple[Array | None, Array]]) -> Converged:
    numerics = found.numerics
    looser = replace(numerics, reltol=min(10 * numerics.reltol, 0.5), shunt=10 * numerics.shunt)
    try:
        _, volts = run(looser)
    except NgspiceConvergenceError:
        return replace(found, runs=found.runs + 1)
    largest = float(np.abs(found.volts).max())
    error = float(np.abs(volts[-1] - found.volts[-1]).max()) / largest if largest else 0.0
    if error > LARGEST_ERROR:
        raise NgspiceConvergenceError(
            f"ngspice converged only with {numerics}, and {TENFOLD} changes the voltages by {error:.2g} of the "
            "largest, so they cannot be trusted; take another model of the amplifier"
        )
    return replace(found, runs=found.runs + 1, error=error)
