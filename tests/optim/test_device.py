"""A device inside JAX: its solves and their derivatives."""

import numpy as np
import pytest

from solvers.network import Network
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import LinearSystems
from tests.solvers.network.test_adjoint import exact, system_of


def test_jax_sees_the_derivatives_of_the_device() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    from optim.device import device_solve

    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        system, spu = system_of(4), Spu(exact("bench"), Network())
        gradient = np.array([1.0, -1.0, 2.0, 0.5])
        found = spu.sensitivity(system, gradient)
        solve = device_solve(spu)
        value = jax.jit(solve)(system.A, system.b)
        np.testing.assert_allclose(value, spu.solve(system).value, rtol=1e-12)
        by_A, by_b = jax.grad(lambda A, b: gradient @ solve(A, b), argnums=(0, 1))(system.A, system.b)
        np.testing.assert_allclose(by_b, found.b, rtol=1e-9)
        np.testing.assert_allclose(by_A, (found.matrix["A"] + found.matrix["A"].T) / 2, rtol=1e-9, atol=1e-12)
        count = spu.parts_of(4)
        off = {kind: jnp.zeros(count[kind]) for kind in ("array_resistor", "input_resistor", "amplifier_offset")}
        by = jax.grad(lambda off: gradient @ solve(system.A, system.b, off))(off)
        np.testing.assert_allclose(by["input_resistor"], found.parts["input_resistor"], rtol=1e-9)
        np.testing.assert_allclose(by["amplifier_offset"], found.parts["amplifier_offset"], rtol=1e-9)
        # Of all places of the array those that the matrix leaves open do nothing.
        own = np.asarray(by["array_resistor"])
        np.testing.assert_allclose(own[own != 0], found.parts["array_resistor"], rtol=1e-9)


def test_a_stack_of_systems_has_the_derivatives_of_each() -> None:
    jax = pytest.importorskip("jax")
    from optim.device import device_solve

    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        spu = Spu(exact("bench"), Network())
        solve = device_solve(spu)
        systems = [system_of(3, seed) for seed in range(20)]
        A, b = (np.stack([getattr(system, name) for system in systems]) for name in ("A", "b"))
        off = {"input_resistor": np.random.default_rng(0).normal(size=(20, 3)) * 0.02}

        def loss(A, b, off):  # type: ignore[no-untyped-def]
            return (solve(A, b, off) ** 2).sum()

        each = jax.vmap(jax.grad(loss, argnums=(0, 1, 2)))(A, b, off)
        for k in (0, 7, 19):
            alone = jax.grad(loss, argnums=(0, 1, 2))(A[k], b[k], {"input_resistor": off["input_resistor"][k]})
            for many, one in zip(jax.tree.leaves(each), jax.tree.leaves(alone), strict=True):
                # A batch and one alone differ by rounding.
                np.testing.assert_allclose(many[k], one, rtol=1e-9, atol=1e-12)
        # By parts that are off: a small step, with second differences that 1e-4 leaves at 1e-8 of the derivative.
        step = 1e-4 * np.eye(3)[1]
        high, low = (
            float(loss(A[0], b[0], {"input_resistor": off["input_resistor"][0] + sign * step})) for sign in (1, -1)
        )
        np.testing.assert_allclose(each[2]["input_resistor"][0, 1], (high - low) / 2e-4, rtol=1e-6)


def test_systems_on_a_board_with_wires_settle_together_as_each_alone() -> None:
    hardware = load_hardware("ideal")
    hardware = hardware.model_copy(update={"array": hardware.array.model_copy(update={"wire_resistance": 1.0})})
    spu, systems = Spu(hardware, Network()), [system_of(3, seed) for seed in range(3)]
    stack = LinearSystems(np.stack([s.A for s in systems]), np.stack([s.b for s in systems]))
    values, _ = spu.settle(stack, {"input_resistor": np.zeros((3, 3))})
    # Codes of the ADC are the same; without deviations the last bits of the voltages may differ.
    np.testing.assert_allclose(values, [spu.solve(s).value for s in systems], rtol=1e-9)


def test_deviations_fit_the_board() -> None:
    spu = Spu(load_hardware("ideal"), Network())
    systems = LinearSystems(system_of(2).A[None], system_of(2).b[None])
    with pytest.raises(InputError, match="no parts 'resistor'"):
        spu.settle(systems, {"resistor": np.zeros((1, 2))})
    with pytest.raises(InputError, match="3 are given for 2 parts"):
        spu.settle(systems, {"input_resistor": np.zeros((1, 3))})
