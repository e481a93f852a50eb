"""Natural gradient descent as an optax transformation whose linear solves any solver does."""

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from optim.errors import packed, unpacked
from optim.host import Time, on_host
from optim.mapping import NO_COORDINATES, Mapping
from optim.native import NATIVE
from optim.options import check_options, real
from optim.systems import Draw, Ggn, Relaxed, Solve, no_basis, no_error, no_statistics, product
from solvers.precision.rotated import Rotating
from solvers.sde import Sde
from solvers.solution import SUMS, Solver, StatisticsArrays
from spu_circuit.errors import InputError

Schedule = Callable[[Array], Any]
"""A function of the number of the step, as optax has them."""


class NaturalGradientState(NamedTuple):
    """What a run keeps between steps, in arrays whose shapes never change.

    ``seed`` () and ``number`` () of the step make the step's random numbers, ``copy`` () says which drawn copy of the
    device solves. ``voltages`` (N,) is where a warm array
    stands when the next gradient arrives; empty without warm start. ``remembered`` (N,) is the last natural gradient;
    empty without memory. ``basis`` (n, n) are the eigenvectors that the last solve was rotated into; empty where the
    solver does not rotate. ``damping`` () is the λ that the last solve took, ``doublings`` () how often it had to be
    doubled. ``statistics`` () are those of the last solve. ``error`` holds the first error of the run, zeros where
    there was none: see ``raise_failed``.
    """

    seed: Array
    number: Array
    copy: Array
    voltages: Array
    remembered: Array
    basis: Array
    damping: Array
    doublings: Array
    statistics: StatisticsArrays
    error: Array

    @property
    def failed(self) -> Array:
        """Whether this or an earlier step failed, ()."""
        return (self.error != 0).any(axis=-1)


def scale_by_natural_gradient(
    solver: Solver | Rotating,
    damping: float | Array | Schedule,
    analog_time: Time = inf,
    mapping: Mapping = "dual",
    warm_start: bool = False,
    delay: float = 0.0,
    seed: int | Array = 0,
    memory: float = 0.0,
    doublings: int = 0,
    noise_factor: Time = 1.0,
    rows: int | None = None,
    copy: int | Array = 0,
) -> optax.GradientTransformationExtraArgs:
    """Replace the gradient g by the solution of ``(BᵀB + λI) g̃ = g`` (arXiv 2405.13817).

    With memory μ it is the SPRING step (arXiv 2401.10190, Eq. 27): ``(BᵀB + λI) φ = g + λμ φ'`` with the step φ' before
    it. The array solves for what is new, ``(BᵀB + λI)(φ − μφ') = g − μ BᵀB φ'``, which is the same and puts the array's
    error on the change alone.

    ``update`` takes the factor B (K, N) as the keyword ``curvature``, for the kernel mapping ρ (K,) with ``g = Bᵀρ`` as
    the keyword ``coordinates``, and λ as the keyword ``damping`` where a rule of the training's own chooses it. Chain
    it with ``optax.sgd``, ``optax.adam`` ("TNGD-Adam"), schedules or clipping. It works under ``jax.jit``, ``jax.vmap``
    and ``jax.lax.scan``: Cholesky, Woodbury and the ideal device are JAX functions, every other solver is called on the
    host, once for all systems of a ``vmap``.

    Systems are formed in the type of the parameters, at least in single precision. Where the curvature reaches 10⁶ λ
    their rounding drowns λ: enable double precision there.

    A solve that fails raises its error in a call that is not compiled. Compiled code goes on with NaN and keeps the
    error in the state, for ``raise_failed``.

    Args:
        solver: digital, ideal or an ``Spu``, or what is made of one.
        damping: λ > 0; may be traced, as where an ensemble has several; or a function of the step's number.
        analog_time: t in τ, or a function of the step's number. Infinite: the natural gradient. 0: g (primal), g / λ
            (dual), 0 (kernel).
        mapping: "primal" relaxes N cells, "dual" and "kernel" K cells; see ``optim.mapping``.
        warm_start: the array keeps g̃ between steps instead of starting from g. Primal only.
        delay: t_d in τ: until the next gradient and curvature arrive, the array goes on relaxing under these for so
            long. Needs ``warm_start``.
        seed: of the device's noise, together with the number of the step, below 2³²; may be traced. It is kept in the
            state, where an ensemble may put others.
        memory: μ, from 0 to below 1.
        doublings: how often λ is doubled, at most, in a step whose matrix a device cannot hold: it cannot be
            programmed, or refinement with it does not converge. The state says which λ was taken.
        copy: number of the drawn copy of an ``Spu`` that solves, of those that the seed has; its hardware says how
            copies vary. 0: the nominal device. It is kept in the state, where an ensemble may put others.
        noise_factor: on κ₀ of the ideal device; or a function of the step's number. Other solvers have none.
        rows: K, of the curvature factor. What rotates the dual system needs it before the first step.

    Raises:
        InputError: damping not above zero; warm start or delay with another mapping than the primal one; delay without
            warm start; a finite time or a delay asked of a digital solver; a seed or a memory out of range; memory with
            warm start. In ``init``: a solver that rotates a dual system of unknown size. In ``update``: no curvature,
            or no coordinates for the kernel mapping.
    """
    check_options(
        solver,
        damping=None if callable(damping) or _traced(damping) else real("damping", damping),
        timed=callable(analog_time) or analog_time != inf,
        mapping=mapping,
        warm_start=warm_start,
        delay=delay,
        seed=None if _traced(seed) else int(seed),
        memory=memory,
    )
    function = NATIVE.get(type(solver), on_host)
    if callable(noise_factor) and type(solver) is not Sde:
        raise InputError("a schedule of the injected noise belongs to the ideal device, Sde; leave it out")
    further = {"noise_factor": noise_factor} if type(solver) is Sde else {}
    solve = function(solver, analog_time, doublings, **further)
    wait = function(solver, delay, doublings, **further)
    relaxes = solver.analog and analog_time != inf
    rotates = isinstance(solver, Rotating)

    @jax.jit
    def step(system: Ggn, coordinates: Array | None, state: NaturalGradientState) -> tuple[Array, NaturalGradientState]:
        kept = memory * state.remembered
        if memory:
            system = system.after(kept)
            coordinates = None if coordinates is None else coordinates - product(system.B, kept)
        start = None
        if mapping == "primal" and (relaxes or warm_start):
            start = system.gradient if relaxes else jnp.zeros_like(system.gradient)
            start = jnp.where(state.number == 0, start, state.voltages) if warm_start else start
        draw = Draw(state.seed, state.number, jnp.int32(0), state.copy)
        found = _relax(solve, system, mapping, start, draw, state.basis, coordinates)
        natural = found.value + kept if memory else found.value
        voltages = natural if warm_start else state.voltages
        if delay:
            draw = Draw(state.seed, state.number, jnp.int32(1), state.copy)
            waited = _relax(wait, system, mapping, natural, draw, found.basis)
            voltages, found = waited.value, _together(found, waited)
        return natural, state._replace(
            number=state.number + 1,
            voltages=voltages,
            remembered=natural if memory else state.remembered,
            basis=found.basis,
            damping=found.damping,
            doublings=jnp.round(jnp.log2(found.damping / system.damping)).astype(jnp.int32),
            statistics=found.statistics,
            error=jnp.where(state.failed, state.error, found.error),
        )

    def init(params: optax.Params) -> NaturalGradientState:
        flat = jax.eval_shape(lambda: ravel_pytree(params)[0])
        # Factorisations need single precision or better.
        dtype = jnp.promote_types(flat.dtype, jnp.float32)
        unknowns = flat.size if mapping == "primal" else rows
        if rotates and unknowns is None:
            raise InputError("a solver that rotates the dual system needs its size before the first step; give rows")
        return NaturalGradientState(
            seed=jnp.asarray(seed, jnp.uint32),
            number=jnp.zeros((), jnp.int32),
            copy=jnp.asarray(copy, jnp.int32),
            voltages=jnp.zeros(flat.size if warm_start else 0, dtype),
            remembered=jnp.zeros(flat.size if memory else 0, dtype),
            basis=jnp.zeros((unknowns, unknowns), dtype) if rotates else no_basis(dtype),
            damping=jnp.full((), jnp.nan, dtype),
            doublings=jnp.zeros((), jnp.int32),
            statistics=no_statistics(dtype),
            error=no_error(),
        )

    def update(
        updates: optax.Updates,
        state: NaturalGradientState,
        params: optax.Params | None = None,
        *,
        curvature: Array | None = None,
        coordinates: Array | None = None,
        damping: float | Array | Schedule = damping,
        **extra: Any,
    ) -> tuple[optax.Updates, NaturalGradientState]:
        del params, extra
        if curvature is None:
            raise InputError("update needs the keyword curvature=B, the (K, N) factor from optim.curvature")
        flat, unravel = ravel_pytree(updates)
        if curvature.ndim != 2 or curvature.shape[1] != flat.size:
            raise InputError(f"curvature has shape {curvature.shape}; for this gradient it must be (K, {flat.size})")
        dtype = state.voltages.dtype
        if mapping == "kernel":
            if coordinates is None:
                raise InputError(NO_COORDINATES)
            if coordinates.shape != curvature.shape[:1]:
                raise InputError(f"coordinates have shape {coordinates.shape}; they must be ({len(curvature)},)")
            coordinates = coordinates.astype(dtype)
        strength = jnp.asarray(damping(state.number) if callable(damping) else damping, dtype)
        system = Ggn(curvature.astype(dtype), strength, flat.astype(dtype))
        natural, kept = step(system, coordinates if mapping == "kernel" else None, state)
        if not _traced(kept.error):
            raise_failed(kept)
        return unravel(natural.astype(flat.dtype)), kept

    return optax.GradientTransformationExtraArgs(init, update)


def raise_failed(state: optax.OptState) -> None:
    """Raise the first error of a run, or of the first run that failed in a stack of them.

    Args:
        state: an optimizer state with natural gradient states in it, as a chain has; of one run or of many.

    Raises:
        InputError, MappingError, SimulationError: what the solver said, in its own words.
    """
    for kept in jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, NaturalGradientState)):
        if isinstance(kept, NaturalGradientState):
            errors = np.asarray(kept.error).reshape(-1, kept.error.shape[-1])
            for error in errors[errors.any(axis=1)]:
                raise unpacked(error)


def _relax(
    solve: Solve,
    system: Ggn,
    mapping: Mapping,
    start: Array | None,
    draw: Draw,
    basis: Array,
    coordinates: Array | None = None,
) -> Relaxed:
    """The solution in the N parameters, by one of the mappings; see ``optim.mapping.solve_mapped``."""
    if mapping == "dual":
        found = solve(system.dual(), None, draw, basis)
        value = system.from_dual(found.value, found.damping)
    elif coordinates is not None:
        found = solve(system.kernel(coordinates), None, draw, basis)
        value = product(system.B.T, found.value)
    else:
        found = solve(system, start, draw, basis)
        value = found.value
    sound = jnp.isfinite(value).all() & (system.damping > 0)
    said = (found.error != 0).any()
    return Relaxed(
        value=jnp.where(sound, value, jnp.nan),
        damping=found.damping,
        statistics=found.statistics._replace(residual=system.residual(value)),
        error=jnp.where(said | sound, found.error, NOT_FINITE),
        basis=found.basis,
    )


NOT_FINITE = packed(
    InputError(
        "the solve of this step has no finite result: curvature or gradient is not finite, or the matrix not positive "
        "definite; lower the learning rate or raise the damping"
    )
)


def _together(solved: Relaxed, waited: Relaxed) -> Relaxed:
    """A solve, with what the delay after it took and all that went wrong in either."""
    first, second = solved.statistics, waited.statistics
    sums = {name: getattr(first, name) + getattr(second, name) for name in SUMS}
    statistics = first._replace(saturated_nodes=jnp.maximum(first.saturated_nodes, second.saturated_nodes), **sums)
    error = jnp.where((solved.error != 0).any(), solved.error, waited.error)
    return solved._replace(statistics=statistics, error=error)


def _traced(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)
