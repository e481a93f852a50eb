"""The exact linear network as an engine: the netlist that ngspice runs, element by element, solved in closed form."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from netlists.build import build_netlist
from netlists.collection import paused_collection
from netlists.deck import elements
from netlists.netlist import Netlist
from solvers.bordered import BorderedStateSpace
from solvers.circuit_reader import read_lines
from solvers.engine import Reading
from solvers.mna import NodalAnalysis, Reduced, settled
from solvers.moments import moments
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from solvers.solution import Waveform
from solvers.state_space import StateSpace
from spu_circuit.errors import InputError
from spu_circuit.program import Device

Array = NDArray[np.float64]

LARGE = 256
"""Capacitors from which on equations are kept in factors, where that is possible: below, dense ones are faster."""
CACHED = 2**20
"""Bytes of one matrix per draw of a chunk. Half and twice as much are slower, measured at 64 cells."""


@dataclass(frozen=True)
class NetworkEquations:
    """What all draws of a netlist share, with its noise.

    Args:
        analysis: the circuit's structure.
        temperature: kelvin of the resistors; None: they are noiseless.
        densities: one-sided, A²/Hz, of the netlist's noise currents.
        precharged: see ``Netlist``.
    """

    analysis: NodalAnalysis
    temperature: float | None
    densities: Array
    precharged: bool = False

    def start(self, reduced: Reduced) -> Array:
        """Voltages of the capacitors at time 0, (draws, n).

        Those that no line gives are 0. In a precharged circuit those outside subcircuits are given, and the others at
        rest beside them: ``M_rr z_r = u_r − M_rg z_g``.

        Raises:
            InputError: a precharged circuit's other capacitors do not come to rest.
        """
        given = ~np.isnan(self.analysis.start)
        start = np.where(given, self.analysis.start, 0.0) + np.zeros_like(reduced.rate)
        given &= np.array(["." not in name for name in self.analysis.states])
        if self.precharged and not given.all():
            M, rest = reduced.drift, np.flatnonzero(~given)
            push = reduced.rate[:, rest] - (M[:, rest][:, :, given] @ start[:, given, None])[:, :, 0]
            start[:, rest] = settled(M[:, rest][:, :, rest], push)
        return start

    @property
    def quiet(self) -> bool:
        return self.temperature is None and not self.densities.any()

    @property
    def bordered(self) -> bool:
        """The circuit is large, and its capacitors act on each other through few unknowns. See ``solvers.bordered``."""
        states = len(self.analysis.states)
        return not self.precharged and states >= LARGE and self.analysis.kept <= states**2 / 2

    def state_space(self, linearise: bool = False, readout_bandwidth: float | None = None) -> StateSpace:
        """The law of the circuit as it is. See ``StateSpace`` and ``NodalAnalysis.reduce`` for arguments and errors."""
        reduced = self.analysis.reduce(None, self.temperature, self.densities, linearise)
        return StateSpace(
            OrnsteinUhlenbeck(reduced.drift[0], reduced.rate[0], reduced.diffusion[0]),
            self.start(reduced)[0],
            reduced.output[0],
            reduced.offset[0],
            reduced.noise[0],
            self.analysis.states,
            self.analysis.outputs,
            readout_bandwidth,
        )


def read_netlist(netlist: Netlist, temperature: float | None) -> NetworkEquations:
    """The equations of a netlist.

    Args:
        temperature: kelvin of all resistors; None: they are noiseless.

    Raises:
        InputError: an element is unknown, a loop, or a node floats; see ``read_lines`` and ``NodalAnalysis``.
    """
    nodes = [node for node, _ in netlist.noise_currents]
    with paused_collection():
        analysis = NodalAnalysis(read_lines(elements(netlist)), netlist.outputs, nodes)
    densities = np.array([density for _, density in netlist.noise_currents])
    return NetworkEquations(analysis, temperature, densities, netlist.precharged)


def read_device(device: Device) -> NetworkEquations:
    """The equations of a device's circuit, with thermal noise where its hardware has it."""
    hardware = device.hardware
    return read_netlist(build_netlist(device), hardware.temperature if hardware.noise.thermal else None)


def moments_of_draws(
    equations: NetworkEquations,
    values: Array,
    time: float,
    covariance: bool = True,
    linearise: bool = False,
    chunk: int | None = None,
    threads: int | None = None,
) -> tuple[Array, Array | None]:
    """Mean and covariance of the outputs at one time, for many draws of one netlist.

    The noise is that of the capacitors' voltages; see ``StateSpace.readout_bandwidth`` for what passes them.

    Args:
        values: (draws, elements) in the order of ``equations.analysis.circuit.values``.
        time: seconds since the circuit's initial charges.
        covariance: False: the mean only.
        chunk: draws that a thread works on at once; each takes about (3 elements + 15 n²) · 8 bytes. None: as many as
            keep a matrix of each in a megabyte, which caches hold.
        threads: None: one per core.

    Returns:
        (draws, m) in V, and (draws, m, m) in V² or None.
    """
    if not covariance and equations.bordered:
        spaces = (equations.analysis.bordered(draw, linearise) for draw in values)
        return np.stack([space.trajectory(np.array([time]))[0] for space in spaces]), None
    size = chunk or max(1, CACHED // (8 * len(equations.analysis.states) ** 2))
    temperature, densities = (equations.temperature, equations.densities) if covariance else (None, None)

    def of_part(part: Array) -> tuple[Array, Array | None]:
        reduced = equations.analysis.reduce(part, temperature, densities, linearise)
        diffusion = reduced.diffusion if covariance else None
        mean, spread = moments(reduced.drift, reduced.rate, diffusion, equations.start(reduced), time)
        volts = (reduced.output @ mean[:, :, None])[:, :, 0] + reduced.offset
        return volts, None if spread is None else reduced.output @ spread @ reduced.output.transpose(0, 2, 1)

    # Threads share the draws, so BLAS gets one each: its own, on small matrices, would only wait for each other.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        first = of_part(values[:size])  # plans the elimination, which all others share
        rest = pool.map(of_part, [values[k : k + size] for k in range(size, len(values), size)])
        means, covariances = zip(first, *rest, strict=True)
    return np.concatenate(means), np.concatenate(covariances) if covariance else None


@dataclass(frozen=True)
class Network:
    """A device's circuit, exactly, where it is linear.

    Args:
        points: of the waveform.
        linearise: take behavioural sources by their tangents at the operating point; False: refuse them by name. The
            tangents hold where no amplifier comes near its rails on the way, which is for the user to see to.
        readout_bandwidth: Hz, see ``StateSpace``.
    """

    points: int = 100
    linearise: bool = False
    readout_bandwidth: float | None = None
    name: str = "network"

    def simulate(self, device: Device, law: OrnsteinUhlenbeck, seconds: float, seed: int) -> Reading:
        """An exact sample where the device has noise, else the mean; see ``Engine``.

        Operating points and means of large factored arrays keep the array's factors; with noise in a transient the
        equations of all capacitors are dense, which takes 20 s at 1,000 cells and grows with their cube.

        Raises:
            InputError: the circuit is not linear, or a mode grows; see also ``StateSpace``.
        """
        equations = read_device(device)
        space: StateSpace | BorderedStateSpace
        if (equations.quiet or seconds == inf) and equations.bordered:
            space = equations.analysis.bordered(None, self.linearise)
        else:
            space = equations.state_space(self.linearise, self.readout_bandwidth)
        _refuse_growth(space, device, law)
        if seconds == inf:
            return Reading(space.operating_point())
        times = np.linspace(0, seconds, self.points + 1)
        if isinstance(space, StateSpace) and space.noisy:
            volts, noisy = space.sample(times, np.random.default_rng(seed)), space
            return Reading(volts[-1], Waveform(times, volts), lambda: noisy.covariance(seconds))
        volts = space.trajectory(times)
        return Reading(volts[-1], Waveform(times, volts))


def _refuse_growth(space: StateSpace | BorderedStateSpace, device: Device, law: OrnsteinUhlenbeck) -> None:
    first = space.growing
    if first is None:
        return
    growth = -float(np.min(np.real(law.rates)))
    if growth >= 0:
        needed = max(growth, -first.rate.real) * device.time_constant
        cure = f"add a damping λ above {needed:.3g} to the matrix"
    else:
        cure = (
            "the matrix decays, so its amplifiers are too slow for it: take more gain_bandwidth or a larger capacitance"
        )
        if device.hardware.amplifier.model == "subckt":
            cure = "the matrix decays, so the amplifier is too slow for it, or pins exchange its plus and minus"
    raise InputError(
        f"the array is unstable: 1 of {len(space.capacitors)} modes, mostly {first.capacitor}, grows at "
        f"{-first.rate.real:.3g} 1/s; {cure}"
    )
