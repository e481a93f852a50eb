"""Systems in the eigenvectors of an older matrix."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.shared.systems import ggn_system, spd_system
from netlists.device import program_array
from solvers.digital import Digital
from solvers.held import on_samples
from solvers.network import Network
from solvers.precision.averaged import Averaged
from solvers.precision.refined import Refined
from solvers.precision.rotated import Rotated, Rotating, rotated, rotation
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.errors import InputError, MappingError
from spu_circuit.hardware import changed_hardware, load_hardware
from spu_circuit.problem import LinearSystem, LinearSystems
from spu_circuit.sampling import Sample, Sampling

SYSTEM = spd_system(8, 1e5, 2)
STACK = LinearSystems(SYSTEM.A[None], SYSTEM.b[None])


def stale(amount: float) -> np.ndarray:
    """Eigenvectors of a matrix that is off by so much in each direction's own scale."""
    noise = np.random.default_rng(1).normal(size=(8, 8))
    values, vectors = np.linalg.eigh(SYSTEM.A)
    root = vectors * np.sqrt(values)
    older = root @ (np.eye(8) + amount * (noise + noise.T) / 2) @ root.T
    return np.linalg.eigh(older).eigenvectors


def test_fresh_eigenvectors_leave_the_identity():
    T = rotation(STACK.A, stale(0.0))
    np.testing.assert_allclose(rotated(STACK, T).A[0], np.eye(8), atol=1e-9)  # condition 1e5
    np.testing.assert_allclose(T[0] @ T[0].T, np.linalg.inv(SYSTEM.A), rtol=1e-6)


def test_each_of_a_batch_may_be_on_a_sample_of_its_own():
    """Through all that a device is wrapped in."""
    spread = {"array_resistor": {"local": {"tolerance": "5 %", "meaning": "sigma"}}}
    spu = Spu(changed_hardware("ideal", {"variation": spread}), Network())
    systems = [spd_system(6, 5.0, seed=seed) for seed in range(2)]
    batch = LinearSystems(np.stack([one.A for one in systems]), np.stack([one.b for one in systems]))
    samples = [Sample(Sampling(seed), seed + 1) for seed in range(2)]
    basis = np.linalg.eigh(batch.A).eigenvectors[:1].repeat(2, axis=0)

    def wrapped(device):
        return Refined(Rotated(Averaged(device, reads=2), basis[0]), 3, 1e-12)

    found = on_samples(wrapped(spu), samples).solve_batch(batch)
    for system, sample, value in zip(systems, samples, found.values, strict=True):
        np.testing.assert_array_equal(wrapped(replace(spu, sample=sample)).solve(system).value, value)
    with pytest.raises(InputError, match="Digital is no device whose parts vary"):
        on_samples(Refined(Digital()), samples)


def test_any_basis_leaves_a_unit_diagonal_and_the_solution():
    T = rotation(STACK.A, stale(0.1))
    np.testing.assert_allclose(rotated(STACK, T).A[0].diagonal(), 1)
    found = Rotated(Digital(), stale(0.1)).solve(SYSTEM)
    np.testing.assert_allclose(found.value, np.linalg.solve(SYSTEM.A, SYSTEM.b), rtol=1e-8)
    assert found.statistics.flops == 4 * 8**3 + 4 * 8**2


def test_a_stale_basis_lets_eight_levels_hold_what_they_cannot_hold_as_it_is():
    """Condition 10⁵ on 3 bits: refused as it is; rotated, refinement reaches 10⁻⁸."""
    spu = Spu(load_hardware("rram"), Network())
    with pytest.raises(MappingError):
        spu.solve(SYSTEM)
    solution = Refined(Rotated(spu, stale(0.05)), 30, 1e-8).solve(SYSTEM)
    assert solution.refinement.outcome == "converged"
    exact = np.linalg.solve(SYSTEM.A, SYSTEM.b)
    assert np.linalg.norm(solution.value - exact) < 1e-3 * np.linalg.norm(exact)


def test_refinement_contracts_by_what_the_levels_leave_of_the_rotated_matrix():
    """An error e is ``T⁻¹ e`` in the device's coordinates, and multiplied by C = I − Ã⁻¹ Tᵀ A T there."""
    hardware = load_hardware("ideal")
    hardware = hardware.model_copy(
        update={"array": hardware.array.model_copy(update={"bits": 4, "G_min": hardware.array.G_max / 15})}
    )
    T = rotation(STACK.A, stale(0.15))[0]
    inner = rotated(STACK, T[None])[0]
    C = np.eye(8) - np.linalg.solve(program_array(inner, hardware).matrix, inner.A)
    y = np.linalg.solve(inner.A, inner.b)
    for corrections in range(4):
        solver = Refined(Rotated(Spu(hardware, Network()), stale(0.15)), corrections, 1e-14)
        error = y - np.linalg.solve(T, solver.solve(SYSTEM).value)
        expected = np.linalg.matrix_power(C, corrections + 1) @ y
        np.testing.assert_allclose(error, expected, atol=1e-3 * np.abs(expected).max())


def test_an_initial_state_is_rotated_too():
    """Without time to relax it comes back; afterwards it is forgotten by the law of the rotated matrix."""
    start = np.linspace(-1, 1, 8)
    found = Rotated(Sde(), stale(0.1)).solve(SYSTEM, 1e-9, start).value
    np.testing.assert_allclose(found, start, rtol=1e-6, atol=1e-6)


def test_each_of_a_batch_has_its_own_basis_and_a_factor_is_formed():
    systems = [ggn_system(3, 5, 0.3, seed) for seed in range(2)]
    bases = np.stack([np.linalg.eigh(s.primal().A).eigenvectors for s in systems])
    stack = LinearSystems(np.stack([s.primal().A for s in systems]), np.stack([s.gradient for s in systems]))
    spu = Spu(load_hardware("bench"), Network())
    together = Rotated(spu, bases).solve_batch(stack)
    for k, system in enumerate(systems):
        np.testing.assert_allclose(Rotated(spu, bases[k]).solve(system).value, together.values[k], rtol=1e-9)


def test_eigenvectors_are_renewed_every_so_many_solves():
    """Each of a batch by its own count."""
    rng = np.random.default_rng(0)
    rotating, vectors, renewals = Rotating(lambda own: Rotated(Digital(), own), 3), np.zeros((2, 3, 3)), []
    for number in range(7):
        root = rng.normal(size=(2, 3, 3))
        A = root @ root.swapaxes(1, 2)
        found, fresh = rotating.renewed(vectors, A, np.array([number, number + 2]))
        renewals.append(fresh.tolist())
        for k in range(2):
            expected = np.linalg.eigh(A[k]).eigenvectors if fresh[k] else vectors[k]
            np.testing.assert_array_equal(found[k], expected)
        vectors = found
    assert [first for first, _ in renewals] == [True, False, False, True, False, False, True]
    assert [second for _, second in renewals] == [False, True, False, False, True, False, False]


def test_what_is_no_basis_is_refused():
    with pytest.raises(InputError, match=r"basis has shape \(2, 3\); it must be \(n, n\)"):
        Rotated(Digital(), np.ones((2, 3)))
    with pytest.raises(InputError, match="basis is off orthonormal by 2; give eigenvectors"):
        Rotated(Digital(), np.ones((2, 2)))
    with pytest.raises(InputError, match=r"basis has shape \(3, 3\); these systems need \(2, 2\) or \(1, 2, 2\)"):
        Rotated(Digital(), np.eye(3)).solve(LinearSystem(np.eye(2), np.ones(2)))
    with pytest.raises(InputError, match="singular or indefinite: along a vector of the basis its curvature is -1"):
        Rotated(Digital(), np.eye(2)).solve_batch(LinearSystems(np.diag([1.0, -1.0])[None], np.ones((1, 2))))
    with pytest.raises(InputError, match="every 0 solves; give 1 or more"):
        Rotating(lambda vectors: Digital(), 0)
