"""The derivative of what a device reads before it is settled: the steps of its relaxation, transposed and backwards.

At time t a reading is ``c·(x + Σ_k a_k v_k)`` with ``S v_k = B z_k`` and the Chebyshev recurrence
``z_{k+1} = 4 E v_k − 2 z_k − z_{k−1}`` of the charges' distance from rest; see ``solvers.network.relaxation``.
Backwards, ``Sᵀ λ_k`` is what v_k does to the reading and to later charges, so every step has a law like that at rest.
What is left of z_0 acts on the operating point, from which it is counted, and so do behavioural sources, whose slopes
in S are those at rest.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netlists.device import Device
from solvers.network.adjoint import Adjoint, Pin, across
from solvers.network.blocks import add
from solvers.network.groups import Group
from solvers.network.operating_point import Rest
from solvers.network.parameters import IMAGINARY
from solvers.network.relaxation import GROWTH, STEP, TERMS, charges, series_of, split
from spu_circuit.errors import InputError

if TYPE_CHECKING:
    from solvers.network.programmed import ProgrammedNetwork

Array = NDArray[np.float64]
States = dict[str, Array]
"""Voltages of each group of capacitors, (batch, elements, k)."""


class RelaxationAdjoint(Adjoint):
    """A batch of devices after some time, without noise.

    Args:
        seconds: how long each relaxes, (batch,).

    Raises:
        InputError: the circuit is precharged, or capacitors bend; SimulationError: one of the batch has no operating
            point.
    """

    def __init__(self, programmed: "ProgrammedNetwork", device: Device, seconds: Array) -> None:
        super().__init__(programmed, device)
        structure = self.structure
        if structure.table.precharged:
            raise InputError(
                "derivatives at a finite time are for amplifiers whose inner state is known, and subckt amplifiers are "
                "precharged; leave analog_time out, or take a macromodel"
            )
        if programmed.bending is not None:
            raise InputError(
                "derivatives at a finite time are for capacitors that keep their capacitance; leave analog_time out, "
                "or the cell's voltage coefficients"
            )
        self.step = STEP * np.reshape(seconds, (-1, 1))
        self.shares = structure.shares(self.coefficients, self.step)
        blocks = structure.blocks({**self.coefficients, **self.rest.slopes})
        self.moving = structure.factors(structure.stepped(blocks, self.shares), programmed.batch)
        self.series = series_of(1 / STEP, 1, TERMS)
        start = programmed.away(device, self.coefficients, Rest(structure, self.unknowns, self.rest.found))
        here = split(structure, start)
        self.states: list[States] = [here]
        self.steps: list[dict[int, Array]] = []
        for k in range(TERMS):
            right: dict[int, Array] = {}
            for group in structure.capacitors:
                current = self.shares[group.key][:, :, None] * here[group.key]
                structure.inject(right, (group.nodes[1], group.nodes[0]), current)
            solved = self.moving.solve(right, range(len(structure.all_sizes)))
            self.steps.append(solved)
            stepped = split(structure, charges(structure, solved, programmed.batch))
            was = self.states[max(k - 1, 0)]
            if k == 0:
                here = {key: 2 * stepped[key] - own for key, own in here.items()}
            else:
                here = {key: 4 * stepped[key] - 2 * own - was[key] for key, own in here.items()}
            self.states.append(here)
        if (_size(self.states[-2]) > GROWTH * _size(self.states[0])).any():
            raise InputError(
                "a mode of the array grows or turns, for which this series has no derivatives; leave analog_time out, "
                "or take amplifiers with more gain_bandwidth"
            )

    @property
    def volts(self) -> Array:
        """Of the cells at that time, (batch, n)."""
        moved = sum(a * self.structure.volts(v)[:, :, 0] for a, v in zip(self.series, self.steps, strict=True))
        return np.asarray(super().volts + moved)

    def by_coefficient(self, gradient: Array) -> dict[str, Array]:
        """See ``Adjoint``; by capacitances too, in farads."""
        structure, wide = self.structure, gradient.shape[2]
        outputs = self._outputs(gradient)
        total: dict[str, Array] = {}
        slopes: dict[str, Array] = {}
        nothing: States = {g.key: np.zeros((1, g.count, wide)) for g in structure.capacitors}
        later, last = nothing, nothing  # what z_{k+1} and z_{k+2} do to the reading
        for k in reversed(range(TERMS)):
            right = {family: self.series[k] * own for family, own in outputs.items()}
            if k + 1 < TERMS:
                self._charge(right, later, 2.0 if k == 0 else 4.0)
            adjoint = self.moving.solve(right, range(len(structure.all_sizes)), transposed=True)
            for group in structure.groups:
                if group.kind not in ("C", "V", "I", "BV", "BI"):
                    own = self._by_group(group, adjoint, self.steps[k], wide)
                    total[group.key] = total[group.key] + own if group.key in total else own
            for wired in structure.wired:
                own = self._by_wired(wired, adjoint, self.steps[k], wide)
                total[wired.key] = total[wired.key] + own if wired.key in total else own
            for key, own in self._by_slopes(adjoint, self.steps[k], wide).items():
                slopes[key] = slopes[key] + own if key in slopes else own
            now: States = {}
            for group in structure.capacitors:
                left = across(adjoint, group.nodes[1], group.nodes[0], wide)
                lost = self.states[k][group.key] - across(self.steps[k], group.nodes[0], group.nodes[1], 1)
                own = left * lost / self.step[:, :, None]
                total[group.key] = total[group.key] + own if group.key in total else own
                before = 1.0 if k == 0 else 2.0
                share = self.shares[group.key][:, :, None]
                now[group.key] = share * left - before * later[group.key] - last[group.key]
            later, last = now, later
        right = dict(outputs)
        self._charge(right, later, -1.0)
        self._bend(right, slopes)
        found = self._at_rest(right, wide)
        return {key: own + total[key] if key in total else own for key, own in found.items()}

    def _charge(self, right: dict[int, Array], states: States, factor: float) -> None:
        """Add what the voltages of capacitors do, by those of nodes."""
        for group in self.structure.capacitors:
            self._between(right, group.nodes[0], group.nodes[1], factor * states[group.key])

    def _between(self, right: dict[int, Array], first: Pin, second: Pin, value: Array) -> None:
        """Add what the voltages between two nodes of each element do, (batch, elements, k), by those of nodes."""
        for (family, index), sign in ((first, 1.0), (second, -1.0)):
            if family >= 0:
                part = sign * self.structure.gathered(value, family, index)
                add(right, family, part)

    def _by_slopes(self, adjoint: dict[int, Array], unknowns: dict[int, Array], wide: int) -> dict[str, Array]:
        """By the slopes of behavioural sources, (batch, elements, k) each."""
        structure, found = self.structure, {}
        for group in structure.behavioural:
            if group.kind == "BV":
                left = adjoint.get(structure.branch(group.key), np.zeros((1, group.count, wide)))
            else:
                left = across(adjoint, group.nodes[0], group.nodes[1], wide)
            for k, control in enumerate(group.controls):
                found[f"{group.key}'{k}"] = left * structure.control(control, unknowns)[:, :, None]
        return found

    def _bend(self, right: dict[int, Array], slopes: dict[str, Array]) -> None:
        """Add what the operating point does to the slopes."""
        structure = self.structure
        for group in structure.behavioural:
            for j, control in enumerate(group.controls):
                curvature = self._curvature(group, j)
                own = sum(slopes[f"{group.key}'{k}"] * c[:, :, None] for k, c in enumerate(curvature))
                if isinstance(control, str):
                    row = structure.branch(control)
                    part = structure.unit * np.asarray(own)
                    add(right, row, part)
                else:
                    self._between(right, control[0], control[1], np.asarray(own))

    def _curvature(self, group: Group, which: int) -> list[Array]:
        """Derivatives of a behavioural source's slopes by one of its controls at rest, (batch, elements) each."""
        assert group.expression is not None
        controls: list[Any] = [self.structure.control(c, self.unknowns) + 0j for c in group.controls]
        controls[which] = controls[which] + 1j * IMAGINARY
        _, nonlinear = group.expression.linearised(controls)
        return [np.atleast_2d(np.asarray(np.imag(slope)) / IMAGINARY + np.zeros(group.count)) for slope in nonlinear]


def _size(states: States) -> Array:
    return np.sqrt(sum((own**2).sum(axis=(1, 2)) for own in states.values()))
