"""What a solution owes to each part of the device: derivatives, and shares of its error to first order."""

from dataclasses import dataclass
from functools import partial
from math import log

import numpy as np
from numpy.typing import NDArray

from netlists.board import Board
from netlists.device import Device, input_gain
from solvers.engine import Programmed
from solvers.network.adjoint import Adjoint
from solvers.network.adjoint_relaxation import RelaxationAdjoint
from solvers.network.programmed import ProgrammedNetwork
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware
from spu_circuit.sampling import Parts, Samples, varying
from spu_circuit.variation import KINDS, CurrentVariation

Array = NDArray[np.float64]

CELLS = 16
"""Whose derivatives by all parts are formed at once: 16 of 256 cells hold 130,000 resistors' in 17 MB."""


@dataclass(frozen=True)
class Sensitivity:
    """Derivatives of a scalar φ of a solution.

    Args:
        value: the solution, (n,).
        parts: kind → dφ by each of its parts, (parts,): by a relative change of resistors, capacitors, gains and
            bandwidths, per volt of offsets, per LSB of converters' non-linearity.
        b: dφ/db, (n,).
        matrix: field of the system that the array holds → dφ by it: "A" (n, n), or "B" (K, N) and "damping".
        board: what the parts are.
        device: what solved it.
    """

    value: Array
    parts: dict[str, Array]
    b: Array
    matrix: dict[str, Array]
    board: Board
    device: Device

    def names(self, kind: str) -> list[str]:
        """Of the parts of a kind."""
        return self.board.names(kind)

    @property
    def places(self) -> dict[str, Parts]:
        """Kind → where its parts are."""
        return self.board.places


def adjoint_of(programmed: Programmed, device: Device, seconds: Array | None = None) -> Adjoint:
    """The transposed equations of a batch.

    Args:
        seconds: how long each relaxes, (batch,); None: it is settled.

    Raises:
        InputError: the engine has none.
    """
    if not isinstance(programmed, ProgrammedNetwork):
        raise InputError(
            "derivatives need the equations of the circuit, which only engine 'network' has; take engine = 'network'"
        )
    return Adjoint(programmed, device) if seconds is None else RelaxationAdjoint(programmed, device, seconds)


def sensitivity_of(adjoint: Adjoint, board: Board, device: Device, value: Array, gradient: Array) -> Sensitivity:
    """Of a scalar of the first device of a batch.

    Args:
        gradient: dφ/dx, (n,).
    """
    own = own_board(board, device[0])
    found = adjoint.derivatives(own, (gradient * device.unknowns_per_volt[0])[None, :, None])
    b = found.dac_volts[0, :, 0] * input_gain(device)[0]
    matrix = device.array.by_matrix({key: value[:1, :, 0] for key, value in found.conductances.items()})
    return Sensitivity(
        value,
        {kind: by_part[0, :, 0] for kind, by_part in found.parts.items()},
        b,
        {key: value[0] for key, value in matrix.items()},
        own,
        device[0],
    )


@dataclass(frozen=True)
class Contributions:
    """What each part adds to the variance of the solution between samples, to first order.

    All are shares of ``E‖δx‖² / ‖x‖²``, the mean square of the relative error that the variation makes.

    Args:
        value: the x that shares are relative to, (n,).
        local: kind → what mismatch of each of its parts adds, and a temperature coefficient of its own, (parts,).
        common: kind → what its lot, gradient and shared temperature coefficient add; "temperature" among them, by the
            mean coefficients. Correlated lots share what they add together, which can be below zero.
        moved: δx of each of the samples that were given, (samples, n).
        board: what the parts are.
    """

    value: Array
    local: dict[str, Array]
    common: dict[str, float]
    moved: Array
    board: Board

    @property
    def kinds(self) -> dict[str, float]:
        """Kind → all that it adds, "temperature" among them; only what varies."""
        names = dict.fromkeys((*self.local, *self.common))
        return {
            kind: float(self.local[kind].sum() if kind in self.local else 0) + self.common.get(kind, 0.0)
            for kind in names
        }

    @property
    def total(self) -> float:
        """The mean square of the relative error."""
        return sum(self.kinds.values())

    def largest(self, count: int) -> list[tuple[str, str, float]]:
        """Kind, name and addition of the parts whose own mismatch adds most."""
        ranked = [(float(own[k]), kind, int(k)) for kind, own in self.local.items() for k in np.argsort(-own)[:count]]
        ranked.sort(key=lambda entry: -entry[0])
        return [(kind, self.board.names(kind)[k], addition) for addition, kind, k in ranked[:count]]


def contributions_of(
    adjoint: Adjoint, board: Board, device: Device, value: Array, samples: Samples | None
) -> Contributions:
    """Of the first device of a batch, whose parts are nominal.

    Args:
        value: the x that shares are relative to, (n,).
        samples: of which the first-order changes of the solution are wanted; their parts are those of the device.
    """
    own, n = own_board(board, device[0]), len(value)
    variation, places = own.hardware.variation, own.places
    kinds = [kind for kind in varying(variation) if kind != "temperature"]
    drifts = {kind: getattr(variation, kind).temperature_coefficient for kind in kinds}
    local = {
        kind: np.zeros(len(places[kind].slots))
        for kind in kinds
        if getattr(variation, kind).mismatch or drifts[kind].own
    }
    shared_drifts = {kind: 0.0 for kind in kinds if drifts[kind].common}
    warm = _mean_square_rise(own.hardware)
    lots = {kind: np.zeros(n) for kind in kinds if getattr(variation, kind).drawn_lot}
    slopes = {kind: 0.0 for kind in kinds if getattr(getattr(variation, kind), "gradient", None)}
    warmed = partial(_warmed, own.hardware)
    heat, moved = np.zeros(n), np.zeros((0 if samples is None else samples.count, n))
    for start in range(0, n, CELLS):
        cells = np.arange(start, min(start + CELLS, n))
        gradient = np.zeros((1, n, len(cells)))
        gradient[0, cells, cells - start] = device.unknowns_per_volt[0, cells]
        for kind, found in adjoint.derivatives(own, gradient).parts.items():
            by_part = found[0]
            of_kind = getattr(variation, kind)
            if kind in local:
                variance = (warmed(kind) * of_kind.mismatch.standard_deviation) ** 2 if of_kind.mismatch else 0.0
                if drifts[kind].own:
                    variance += warm * drifts[kind].own.standard_deviation ** 2
                local[kind] += (by_part**2).sum(axis=1) * variance
            if kind in shared_drifts:
                variance = warm * drifts[kind].common.standard_deviation ** 2
                shared_drifts[kind] += float((by_part.sum(axis=0) ** 2).sum()) * variance
            if kind in lots:
                lots[kind][cells] = by_part.sum(axis=0) * warmed(kind) * of_kind.drawn_lot.standard_deviation
            if kind in slopes:
                across = np.stack([places[kind].x, places[kind].y]) @ by_part
                slopes[kind] += float((across**2).sum()) * of_kind.gradient.standard_deviation**2
            if variation.temperature is not None:
                heat[cells] += by_part.sum(axis=0) * _per_kelvin(own.hardware, kind, places[kind])
            if samples is not None:
                if kind in samples.relative:
                    moved[:, cells] += (samples.relative[kind] - 1) @ by_part
                elif kind in samples.absolute:
                    moved[:, cells] += samples.absolute[kind] @ by_part
    common: dict[str, float] = {}
    if lots:
        chosen = [KINDS.index(kind) for kind in lots]
        vectors = np.stack(list(lots.values()))
        shared = (variation.lot_correlation[np.ix_(chosen, chosen)] * (vectors @ vectors.T)).sum(axis=1)
        common = dict(zip(lots, shared.tolist(), strict=True))
    for kind, addition in (*slopes.items(), *shared_drifts.items()):
        common[kind] = common.get(kind, 0.0) + addition
    if variation.temperature is not None:
        common["temperature"] = float(heat @ heat) * variation.temperature.standard_deviation**2
    unit = float(value @ value) or 1.0
    return Contributions(
        value,
        {kind: own_share / unit for kind, own_share in local.items()},
        {kind: addition / unit for kind, addition in common.items()},
        moved,
        own,
    )


def _warmed(hardware: Hardware, kind: str) -> float:
    """What deviations of a kind are multiplied by at the hardware's temperature."""
    of_kind = getattr(hardware.variation, kind)
    return float(of_kind.warmed(np.array(_rise(hardware)))) if isinstance(of_kind, CurrentVariation) else 1.0


def _per_kelvin(hardware: Hardware, kind: str, places: Parts) -> float:
    """How parts of a kind follow the temperature in the mean."""
    of_kind = getattr(hardware.variation, kind)
    found: float = of_kind.temperature_coefficient.mean
    if isinstance(of_kind, CurrentVariation) and of_kind.doubling is not None:
        found += places.nominal * _warmed(hardware, kind) * log(2) / of_kind.doubling
    return found


def _rise(hardware: Hardware) -> float:
    return hardware.temperature - (hardware.variation.reference_temperature or hardware.temperature)


def _mean_square_rise(hardware: Hardware) -> float:
    """Of the temperature above the parts' reference, K²: coefficients about zero move parts by its root."""
    spread = hardware.variation.temperature
    return _rise(hardware) ** 2 + (spread.standard_deviation**2 if spread else 0.0)


def own_board(board: Board, device: Device) -> Board:
    """The board with this device's resistors, which say what parts there are."""
    return Board(board.hardware, board.table.filled(device.array.values()))
