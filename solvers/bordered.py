"""The noise-free law of a large circuit whose capacitors act on each other through few unknowns, never formed densely.

With the currents into the capacitors ``i = (S − P A⁻¹ Q) (z, 1)``, S sparse and A small, the drift
``M = −(S − P A⁻¹ Q) / C`` is a sparse matrix and one of low rank. So is ``I + γM``, which the Woodbury identity
inverts, and Krylov spaces of that inverse give ``e^{−Mt}`` on a vector, also where amplifiers make M stiff (van den
Eshof and Hochbruck, SIAM J. Sci. Comput. 27:1438, 2006). Where S / C is a multiple of the identity the space ends after
rank + 1 steps and is exact.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm, lu_factor, lu_solve
from scipy.sparse import csc_array, csr_array, diags_array
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs, splu
from threadpoolctl import ThreadpoolController

from solvers.state_space import Mode
from spu_circuit.errors import InputError, SimulationError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Inverse = Callable[[Array], Array]

PRECISION = 1e-12
"""Change of the result, relative to its start, at which a Krylov space is large enough."""
STEPS = 240
"""Of a Krylov space. Where these are too few the time is cut in two."""
BETWEEN_CHECKS = 8
HALVINGS = 40
OUTERMOST, ITERATED = 4, 60
"""Modes that are asked for, and vectors of the iteration: more of either than needed, for modes that lie close."""


@dataclass(frozen=True)
class BorderedStateSpace:
    """``C dz/dt = i`` and ``V``, functionals ``f = (i, V, others) = (S − P A⁻¹ Q) (z, 1)``.

    Args:
        core: A, (k, k).
        inner: Q, (k, used).
        outer: P, (functionals, k).
        direct: S, (functionals, used), sparse.
        used: which of the inputs (z, 1) the columns of Q and S belong to.
        capacitances: C, (n,), F.
        start: z at time 0, (n,), V.
        outputs: how many of the functionals are voltages V, behind the n currents.
        capacitors: names of the n states.
    """

    core: Array
    inner: Array
    outer: Array
    direct: csr_array
    used: Indices
    capacitances: Array
    start: Array
    outputs: int
    capacitors: tuple[str, ...]

    def operating_point(self) -> Array:
        """The outputs at rest, (m,), V. Raises InputError where a capacitor keeps its charge for ever."""
        with _one_thread():
            return self._volts(self._rest[None])[0]

    def functionals_at_rest(self) -> Array:
        """All functionals at the operating point."""
        return self._functionals(self._rest[None])[0]

    def trajectory(self, times: Array) -> Array:
        """V(t) from the circuit's initial charges, (T, m), V; times ascend from 0 or above."""
        with _one_thread():
            return self._volts(self._rest + self._decayed(self.start - self._rest, np.asarray(times, dtype=float)))

    @cached_property
    def growing(self) -> Mode | None:
        """The mode that grows, or one of several; None where all decay.

        The Cayley transform ``(r − a) / (r + a)`` of a rate r lies inside the unit circle exactly if r decays, so a
        mode that grows, however fast it turns, is outside, and iteration finds the outermost ones first.

        Raises:
            SimulationError: the iteration does not converge.
        """
        diagonal = np.abs(self._square.diagonal() - np.einsum("nk,kn->n", *self._factors)) / self.capacitances
        typical = float(np.sqrt(diagonal[diagonal > 0].min() * diagonal.max()))
        inverse = self._inverse(1.0, 1 / typical)
        size = len(self.start)

        def transformed(vector: Array) -> Array:
            return vector - 2 * inverse(self.capacitances * vector)

        operator = LinearOperator((size, size), matvec=transformed, dtype=float)
        begin = np.random.default_rng(0).standard_normal(size)
        try:
            with _one_thread():
                found, vectors = eigs(operator, k=OUTERMOST, which="LM", v0=begin, tol=1e-6, ncv=min(ITERATED, size))
        except ArpackNoConvergence:
            raise SimulationError("whether the circuit's modes decay is not found in 10 n steps; use ngspice") from None
        k = int(np.argmax(np.abs(found)))
        if np.abs(found[k]) <= 1:
            return None
        rate = typical * (1 + found[k]) / (1 - found[k])
        return Mode(complex(rate), self.capacitors[int(np.argmax(np.abs(vectors[:, k])))])

    @cached_property
    def _coupling(self) -> Array:
        """``A⁻¹ Q`` over all inputs (z, 1), (k, n + 1)."""
        wide = np.zeros((len(self.core), len(self.start) + 1))
        if len(self.core):
            wide[:, self.used] = np.linalg.solve(self.core, self.inner)
        return wide

    @cached_property
    def _direct(self) -> csr_array:
        """S over all inputs."""
        found = self.direct.tocoo()
        shape = found.shape[0], len(self.start) + 1
        return csr_array((found.data, (found.coords[0], self.used[found.coords[1]])), shape=shape)

    @cached_property
    def _square(self) -> csc_array:
        """S of the currents and z."""
        n = len(self.start)
        return self._direct[:n, :n].tocsc()

    @cached_property
    def _factors(self) -> tuple[Array, Array]:
        """P of the currents, (n, r), and ``A⁻¹ Q`` of z, (r, n), for what of the core reaches the currents."""
        n = len(self.start)
        reaching = self.outer[:n].any(axis=0)
        return np.ascontiguousarray(self.outer[:n, reaching]), np.ascontiguousarray(self._coupling[reaching, :n])

    def _functionals(self, states: Array) -> Array:
        inputs = np.concatenate([states, np.ones((len(states), 1))], axis=1)
        return (self._direct @ inputs.T).T - (inputs @ self._coupling.T) @ self.outer.T

    def _volts(self, states: Array) -> Array:
        n = len(self.start)
        return self._functionals(states)[:, n : n + self.outputs]

    @cached_property
    def _rest(self) -> Array:
        n = len(self.start)
        driven = self._functionals(np.zeros((1, n)))[0, :n]
        try:
            return self._inverse(0.0, 1.0)(driven)
        except (RuntimeError, np.linalg.LinAlgError):
            raise InputError(
                "the circuit has no DC operating point: a capacitor keeps its charge; give it a path that discharges it"
            ) from None

    def _inverse(self, share: float, step: float) -> Inverse:
        """``(share C + step C M)⁻¹``, on vectors.

        ``T + step P X`` with the sparse ``T = share C − step S``; RuntimeError where T has no inverse.
        """
        outer, coupling = self._factors
        sparse = splu(csc_array(diags_array(share * self.capacitances) - step * self._square))
        spread = sparse.solve(step * outer)
        inside = lu_factor(np.eye(len(coupling)) + coupling @ spread)

        def apply(vector: Array) -> Array:
            alone = sparse.solve(vector)
            return alone - spread @ lu_solve(inside, coupling @ alone)

        return apply

    def _decayed(self, vector: Array, times: Array) -> Array:
        """``e^{−Mt}`` of a vector at ascending times, (T, n)."""
        found = np.empty((len(times), len(vector)))
        now, done, state, span = 0.0, 0, vector, float(times[-1])
        for _ in range(HALVINGS):
            while done < len(times) and times[done] <= now:
                found[done], done = state, done + 1
            if done == len(times) or not state.any():
                found[done:] = 0.0
                return found
            span = min(span, float(times[-1]) - now)
            inside = times[done:][times[done:] <= now + span * (1 + 1e-12)] - now
            wanted = inside if len(inside) else np.array([span])
            part = self._krylov(state, wanted)
            if part is None:
                span /= 2
                continue
            found[done : done + len(inside)] = part[: len(inside)]
            done += len(inside)
            now, state, span = now + float(wanted[-1]), part[-1], 2 * span
        raise SimulationError(f"the circuit is too stiff for its waveform after {now:.3g} s; use ngspice")

    def _krylov(self, vector: Array, times: Array) -> Array | None:
        """``e^{−Mt}`` of a vector at ascending times above 0 from one Krylov space; None where it stays too small."""
        step = float(times[-1]) / 10
        inverse = self._inverse(1.0, step)
        size, length = min(STEPS, len(vector)), float(np.linalg.norm(vector))
        basis, projected = np.zeros((size + 1, len(vector))), np.zeros((size + 1, size))
        basis[0] = vector / length
        last = np.zeros((2, 0))
        for k in range(size):
            following = inverse(self.capacitances * basis[k])
            reach = float(np.linalg.norm(following))
            for _ in range(2):  # once more takes away what rounding left
                share = basis[: k + 1] @ following
                projected[: k + 1, k] += share
                following -= share @ basis[: k + 1]
            rest = float(np.linalg.norm(following))
            ended = rest <= 1e-14 * reach or k + 1 == len(vector)
            if ended or (k + 1) % BETWEEN_CHECKS == 0:
                drift = (np.linalg.inv(projected[: k + 1, : k + 1]) - np.eye(k + 1)) / step
                ends = np.stack([expm(-drift * t)[:, 0] for t in (times[0], times[-1])])
                change = ends.copy()
                change[:, : last.shape[1]] -= last
                if ended or np.abs(change).max() <= PRECISION:
                    return length * _propagated(drift, times) @ basis[: k + 1]
                last = ends
            projected[k + 1, k] = rest
            basis[k + 1] = following / rest
        return None


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _one_thread() -> AbstractContextManager[object]:
    """A matrix on a vector is over before a second thread is awake: on a busy machine they wait for each other."""
    return _libraries().limit(limits=1, user_api="blas")


def _propagated(drift: Array, times: Array) -> Array:
    """First columns of ``e^{−drift t}``, (T, m), with one exponential for each spacing of the times."""
    state = np.eye(len(drift))[0]
    found, steps, now = [], {}, 0.0
    for time in times.tolist():
        gap = float(f"{time - now:.12g}")
        if gap not in steps:
            steps[gap] = expm(-drift * gap)
        state, now = steps[gap] @ state, time
        found.append(state)
    return np.array(found)
