"""Natural gradient descent as an optax transformation whose linear solves any solver does."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from optim.mapping import NO_DUAL_STATE, Mapping, solve_mapped
from solvers.solution import Solution, Solver, Statistics
from spu_circuit.errors import InputError
from spu_circuit.problem import GgnSystem


class NaturalGradientState(NamedTuple):
    """What the device keeps between steps.

    ``number`` counts the steps and makes each step's seed. ``voltages`` (N,) is g̃ of the last step, ``gradient`` (N,)
    and ``curvature`` (K, N) its system; each empty where it is not needed.
    """

    number: Array
    voltages: Array
    gradient: Array
    curvature: Array


def scale_by_natural_gradient(
    solver: Solver,
    damping: float,
    analog_time: float = inf,
    mapping: Mapping = "dual",
    warm_start: bool = False,
    delay: float = 0.0,
    seed: int = 0,
    observe: Callable[[GgnSystem, Solution], None] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Replace the gradient g by the solution of ``(BᵀB + λI) g̃ = g`` (arXiv 2405.13817).

    ``update`` takes the factor B (K, N) as the keyword ``curvature``; chain it with ``optax.sgd``, ``optax.adam``
    ("TNGD-Adam"), schedules or clipping. It runs on the host, since a solver is no JAX function: do not jit it.

    Args:
        solver: digital, ideal or an ``Spu``.
        damping: λ > 0.
        analog_time: t in τ. Infinite: the natural gradient. 0: g (primal), g / λ (dual).
        mapping: "primal" relaxes N cells, "dual" K cells.
        warm_start: the array keeps g̃ between steps instead of starting from g. Primal only.
        delay: t_d in τ: before the new gradient and curvature arrive, the array goes on relaxing under the last ones
            for this long. Needs ``warm_start``.
        seed: of the device's noise, together with the number of the step.
        observe: called with the system and its solution after each solve.

    Raises:
        InputError: damping not above zero; warm start or delay with the dual mapping; delay without warm start; a
            finite time or a delay asked of a digital solver.
    """
    if not damping > 0:
        raise InputError(f"damping is {damping}; it must be above zero")
    if mapping == "dual" and (warm_start or delay):
        raise InputError(NO_DUAL_STATE.format("warm_start" if warm_start else "delay"))
    if delay < 0:
        raise InputError(f"delay is {delay}; it must be 0 or more, in τ")
    if delay and not warm_start:
        raise InputError("delay needs warm_start=True: an array that starts afresh has no state to go on with")
    if not solver.analog and (analog_time != inf or delay):
        raise InputError("a digital solver knows no time: use analog_time=inf and delay=0, or an analog solver")

    def init(params: optax.Params) -> NaturalGradientState:
        del params
        return NaturalGradientState(jnp.zeros((), jnp.int32), jnp.zeros(0), jnp.zeros(0), jnp.zeros((0, 0)))

    def update(
        updates: optax.Updates,
        state: NaturalGradientState,
        params: optax.Params | None = None,
        *,
        curvature: Array | None = None,
        **extra: Any,
    ) -> tuple[optax.Updates, NaturalGradientState]:
        del params, extra
        if curvature is None:
            raise InputError("update needs the keyword curvature=B, the (K, N) factor from optim.curvature")
        flat, unravel = ravel_pytree(updates)
        system = GgnSystem(np.asarray(curvature), damping, np.asarray(flat))
        seeds = np.random.SeedSequence([seed, int(state.number)]).generate_state(2).tolist()
        start, waited = None, None
        if warm_start and state.voltages.size:
            start = np.asarray(state.voltages, dtype=float)
            if delay:
                last = GgnSystem(np.asarray(state.curvature), damping, np.asarray(state.gradient))
                waited = solve_mapped(solver, last, mapping, delay, start, seeds[1])
                start = waited.value
        solution = solve_mapped(solver, system, mapping, analog_time, start, seeds[0])
        if waited:
            solution = replace(solution, statistics=_together(waited.statistics, solution.statistics))
        if observe:
            observe(system, solution)
        natural = jnp.asarray(solution.value, flat.dtype)
        kept = NaturalGradientState(
            number=state.number + 1,
            voltages=natural if warm_start else state.voltages,
            gradient=flat if delay else state.gradient,
            curvature=jnp.asarray(curvature) if delay else state.curvature,
        )
        return unravel(natural), kept

    return optax.GradientTransformationExtraArgs(init, update)


def _together(first: Statistics, second: Statistics) -> Statistics:
    """The second solve's statistics, with what both took and all that went wrong in either."""
    return replace(
        second,
        saturated_nodes=max(first.saturated_nodes, second.saturated_nodes),
        clipped_codes=first.clipped_codes + second.clipped_codes,
        ngspice_runs=first.ngspice_runs + second.ngspice_runs,
        range_changes=first.range_changes + second.range_changes,
        analog_seconds=first.analog_seconds + second.analog_seconds,
        wall_seconds=first.wall_seconds + second.wall_seconds,
    )
