"""Where tangents of amplifiers do not hold: at rest far from zero input, and on the way when they slew."""

from collections.abc import Callable, Mapping
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from solvers.network.blocks import add
from solvers.network.newton import Bias, drive, intercepts_at, newton, sources_of
from solvers.network.operating_point import SMALLEST, Rest
from solvers.network.relaxation import charges, split
from solvers.network.structure import Structure, limited
from spu_circuit.errors import InputError

Array = NDArray[np.float64]

NOTICED = 1e-3
"""Of the largest voltage at rest: what limits move by more is told."""
NOTICED_RATE, REFUSED_RATE = 2e-3, 0.06
"""Errors of rates on the way that are told, and those of which no transient is computed. Of the tests' amplifiers 0.001
is 5e-5 of the voltages half a time constant later, 0.04 is 4 %, and 0.09 more than all."""
STEP = 0.1
"""Of the array's time constant."""


def bent_at_rest(structure: Structure, coefficients: Mapping[str, Array], rest: Rest, still: Bias) -> Array:
    """How far outputs are from where the slopes without inputs lead, of the largest, (batch,); of linear ones zeros."""
    batch = len(rest.found)
    if not structure.behavioural:
        return np.zeros(batch)
    right = sources_of(structure, coefficients)
    drive(structure, right, intercepts_at(structure, still.slopes, structure.at_controls(still.volts)))
    flat = structure.factors(structure.blocks({**coefficients, **still.slopes}), batch)
    outputs = structure.volts(flat.solve(right, structure.read))[:, :, 0]
    off = np.abs(structure.volts(rest.volts)[:, :, 0] - outputs).max(axis=1)
    return np.asarray(off / np.maximum(np.abs(outputs).max(axis=1), SMALLEST) * np.ones(batch))


def rates_off(
    structure: Structure, coefficients: Mapping[str, Array], rest: Rest, away: Array, time_constant: Array
) -> Array:
    """``rate_error`` of arrays with these time constants, s, from charges ``away`` from rest; of linear ones zeros.

    Raises:
        InputError: tangents of sources as steep as junctions say nothing of the way.
    """
    if not structure.behavioural:
        return np.zeros(len(away))
    length = STEP * np.reshape(time_constant, (-1, 1)) * np.ones((len(away), 1))
    start = charges(structure, rest.volts, len(away)) + away
    found = rate_error(structure, coefficients, rest, start, length)
    if structure.steep and (worst := float(found.max())) > REFUSED_RATE:
        raise InputError(
            f"amplifiers slew or saturate on the way: by their tangents rates are off by {worst:.2g} of themselves "
            "at first; use ngspice, or lower the voltages (rail)"
        )
    return found


def rate_error(
    structure: Structure, coefficients: Mapping[str, Array], rest: Rest, start: Array, length: Array
) -> Array:
    """How far tangents at rest are off in the first implicit step of a transient, of how far it leads, (batch,).

    Args:
        coefficients: values and sources.
        start: voltages of the capacitors at time 0, (batch, states, 1).
        length: of the step, s, (batch, 1).
    """
    batch = len(length)
    held = structure.shares(coefficients, length)
    history: dict[int, Array] = {}
    for key, before in split(structure, start).items():
        group = next(group for group in structure.capacitors if group.key == key)
        # C/h times the voltage before enters the first node.
        structure.inject(history, group.nodes[:2], -held[key][:, :, None] * before)
    right = sources_of(structure, coefficients)
    for family, value in history.items():
        add(right, family, value)
    resting = structure.at_controls(rest.volts)
    drive(structure, right, intercepts_at(structure, rest.slopes, resting))
    blocks = structure.stepped(structure.blocks({**coefficients, **rest.slopes}), held)
    wanted = structure.read | structure.controlling
    first = structure.factors(blocks, batch).solve(right, wanted)
    at = limited(structure, resting, structure.at_controls(first))
    exact, found = newton(structure, coefficients, batch, wanted, first, 1.0, at, held, history)
    straight, resting_volts = structure.volts(first), structure.volts(rest.volts)
    off = np.abs(straight - (structure.volts(exact) if exact else straight))[:, :, 0].max(axis=1)
    way = np.abs(straight - resting_volts)[:, :, 0].max(axis=1) * STEP
    return np.where(found, off / np.maximum(way, SMALLEST), np.inf)


def notes_of(bent: Array | None, off: Callable[[], Array] | None) -> tuple[str, ...]:
    """What a user must know of each of a batch; "": nothing.

    Args:
        bent: see ``Rest``.
        off: see ``rate_error``; None: nothing moves.
    """
    if bent is None:
        return ()
    found = np.zeros(len(bent)) if off is None else off()
    return tuple(_note(float(one), float(other)) for one, other in zip(bent, found, strict=True))


def _note(bent: float, off: float) -> str:
    said = []
    if bent > NOTICED:
        said.append(
            f"amplifiers rest {bent:.2g} of the largest voltage away from where they would without limits: a current "
            "or a rail is near; lower the voltages (rail, current_limit)"
        )
    if off > NOTICED_RATE:
        by = f"{off:.2g} of themselves" if isfinite(off) else "more than themselves"
        said.append(
            f"amplifiers slew or saturate on the way: rates are off by {by} at first; use ngspice, or lower the "
            "voltages (rail)"
        )
    return "; ".join(said)
