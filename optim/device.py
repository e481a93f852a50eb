"""A device as a JAX function with derivatives: by what is solved on it, and by the values of its parts."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import optim.host  # noqa: F401  (settles how callbacks are dispatched)
from solvers.spu import Spu
from spu_circuit.problem import LinearSystems

Deviations = Mapping[str, Array]
"""Kind of part → (parts,): relative, or in volts or LSB where they add; see ``Spu.parts_of``."""


def device_solve(spu: Spu) -> Callable[..., Array]:
    """The settled solution on a device: ``(A, b)`` or ``(A, b, deviations)`` to x, with derivatives by all of them.

    The device solves on the host, once for all systems of a ``vmap``, and a gradient is one solve of the transposed
    equations of its circuit, linearised where it settled. So a backward pass knows the amplifiers that the forward pass
    had. Levels and codes count as continuous (straight through), scales as constant. What is symmetric has symmetric
    derivatives. An error of the host comes back as JAX's.

    Args:
        spu: engine "network", topology active or passive.
    """

    def forward_on_host(A: Array, b: Array, deviations: Deviations) -> tuple[Any, Any]:
        stack, dtype = np.shape(b)[:-1], b.dtype
        systems, off = _systems(A, b), _flat(deviations)
        values, scales = spu.settle(systems, off)
        return values.reshape(*stack, -1).astype(dtype), scales.reshape(stack)

    def backward_on_host(
        A: Array, b: Array, deviations: Deviations, scales: Array, gradient: Array
    ) -> tuple[Any, Any, Any]:
        stack, dtype = np.shape(b)[:-1], b.dtype
        systems, off = _systems(A, b), _flat(deviations)
        by_A, by_b, by_parts = spu.pull_back(
            systems, np.asarray(scales, float).reshape(-1), np.asarray(gradient, float).reshape(systems.b.shape), off
        )
        symmetric = (by_A + by_A.swapaxes(1, 2)) / 2
        shaped = {kind: by.reshape(*stack, -1).astype(deviations[kind].dtype) for kind, by in by_parts.items()}
        return symmetric.reshape(np.shape(A)).astype(dtype), by_b.reshape(np.shape(b)).astype(dtype), shaped

    def settled(A: Array, b: Array, deviations: Deviations) -> tuple[Array, Array]:
        scale = jnp.zeros((), jnp.result_type(float))
        shapes = jax.eval_shape(lambda: (jnp.zeros_like(b), scale))
        found: tuple[Array, Array] = jax.pure_callback(
            forward_on_host, shapes, A, b, deviations, vmap_method="broadcast_all"
        )
        return found

    @jax.custom_vjp
    def solve(A: Array, b: Array, deviations: Deviations) -> Array:
        return settled(A, b, deviations)[0]

    def forward(A: Array, b: Array, deviations: Deviations) -> tuple[Array, Any]:
        value, scale = settled(A, b, deviations)
        return value, (A, b, deviations, scale)

    def backward(kept: Any, gradient: Array) -> Any:
        shapes = jax.eval_shape(lambda: kept[:3])
        return jax.pure_callback(backward_on_host, shapes, *kept, gradient, vmap_method="broadcast_all")

    solve.defvjp(forward, backward)
    return lambda A, b, deviations=None: solve(A, b, {} if deviations is None else dict(deviations))


def _systems(A: Array, b: Array) -> LinearSystems:
    vectors = np.asarray(b, dtype=np.float64).reshape(-1, np.shape(b)[-1])
    n = vectors.shape[1]
    return LinearSystems(np.asarray(A, dtype=np.float64).reshape(-1, n, n), vectors)


def _flat(deviations: Deviations) -> dict[str, Any]:
    return {kind: np.asarray(off, np.float64).reshape(-1, np.shape(off)[-1]) for kind, off in deviations.items()}
