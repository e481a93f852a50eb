"""Estimates of the error against the error."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from experiments.shared.systems import dominant_system, ggn_system, spd_system
from solvers.network import Network
from solvers.precision.accuracy import Estimated, estimated_error
from solvers.precision.description import Precision
from solvers.precision.refined import Refined
from solvers.spu import Spu
from spu_circuit.documents import from_document
from spu_circuit.errors import InputError, MappingError
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import GgnSystem, LinearSystems
from tests.solvers.precision.test_refined import Linear


def breast_cancer(damping: float) -> GgnSystem:
    """The first step of a logistic regression: B = √(p (1 − p)/m) X at p = 1/2."""
    features, labels = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return GgnSystem(features / 2 / np.sqrt(len(features)), damping, features.T @ (0.5 - labels) / len(features))


def error_of(solution, system) -> float:
    exact = np.linalg.solve(system.primal().A, system.b)
    return float(np.linalg.norm(solution.value - exact) / np.linalg.norm(exact))


@pytest.mark.parametrize("gain", [0.3, 0.9, 1.1, 1.8])
def test_an_error_in_one_direction_is_found_exactly(gain):
    """M is right but for one eigenvector, where it is so many times too large or small."""
    system = spd_system(6, 100, 3)
    values, vectors = np.linalg.eigh(system.A)
    M = np.linalg.inv(system.A) + (gain - 1) / values[0] * np.outer(vectors[:, 0], vectors[:, 0])
    solution = Estimated(Linear(M)).solve(system)
    assert solution.statistics.estimated_error == pytest.approx(error_of(solution, system), rel=1e-9)
    assert solution.statistics.solves == 2


def test_a_small_residual_hides_a_large_error_and_the_estimate_shows_it():
    """The factor of the breast cancer data on the bench."""
    system = breast_cancer(0.01)
    solution = Estimated(Spu(load_hardware("bench"), Network())).solve(system)
    assert solution.statistics.residual < 0.03
    error = error_of(solution, system)
    assert error > 0.4
    assert solution.statistics.estimated_error == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize("name", ["paper", "bench", "rram", "passive"])
@pytest.mark.parametrize("method", [None, "refinement", "cg"])
def test_estimates_are_within_a_factor_of_two(name, method):
    """In 95 % of the systems that the hardware can hold, of conditions 1 to 10⁴; seeds that chose nothing."""
    spu, make = Spu(load_hardware(name), Network()), dominant_system if name == "passive" else spd_system
    solver = Estimated(spu) if method is None else Refined(spu, 1, 1e-13, method, estimate=True)
    ratios = []
    for condition in (1, 3, 10, 30, 100, 1e3, 1e4):
        for size in (6, 20):
            for seed in range(500, 503):
                system = make(size, condition, seed)
                try:
                    solution = solver.solve(system)
                except MappingError:
                    continue
                # Of smaller errors double precision decides, in the reference too.
                if (error := error_of(solution, system)) > 1e-11:
                    ratios.append(solution.statistics.estimated_error / error)
    assert len(ratios) >= 15
    assert np.mean((np.array(ratios) > 0.5) & (np.array(ratios) < 2)) >= 0.95


def test_estimates_of_a_batch_and_of_a_factor():
    factors = [ggn_system(4, 6, damping) for damping in (0.05, 0.5)]
    spu = Spu(load_hardware("bench"), Network())
    systems = LinearSystems(np.stack([f.primal().A for f in factors]), np.stack([f.gradient for f in factors]))
    together = Estimated(spu).solve_batch(systems)
    for k, factor in enumerate(factors):
        alone = Estimated(spu).solve(factor)
        assert together.statistics.estimated_error[k] == pytest.approx(alone.statistics.estimated_error, rel=1e-6)
        assert alone.statistics.estimated_error == pytest.approx(error_of(alone, factor), rel=0.2)


def test_an_exact_solution_has_no_error_and_an_indefinite_matrix_no_estimate():
    x, zero = np.array([[1.0, 2.0]]), np.zeros((1, 2))
    assert estimated_error(x, zero, [(x, x), (zero, zero)]).tolist() == [0.0]
    assert np.isnan(estimated_error(x, x, [(x, -x), (x, x)])).all()
    assert np.isnan(estimated_error(x, x, [(x, x), (np.inf * x, x)])).all()


def test_a_description_makes_the_wrapped_device():
    spu, system = Spu(load_hardware("bench"), Network()), spd_system(5, 8)
    assert Precision().of(spu) is spu
    refined = (
        Precision(refine=6, tolerance=1e-9, corrections="cg", device_damping=0.1, estimate=True).of(spu).solve(system)
    )
    assert refined.refinement.outcome == "converged"
    assert refined.statistics.estimated_error < 1e-8
    averaged = Precision(reads=2, programs=3).of(spu).solve(system)
    assert (averaged.statistics.solves, averaged.statistics.programs) == (6, 3)
    assert Precision(estimate=True).of(spu).solve(system).statistics.estimated_error > 1e-3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tolerance": 1e-9}, "tolerance is 1e-09, which belongs to refinement; say how many corrections: refine"),
        ({"corrections": "cg"}, "corrections is cg, which belongs to refinement"),
        ({"device_damping": 0.1}, "device_damping is 0.1, which belongs to refinement"),
        ({"refine": -1}, r"refine: Input should be greater than or equal to 0 \(got -1\)"),
        ({"programs": 0}, r"programs: Input should be greater than or equal to 1 \(got 0\)"),
        ({"rotate": 0}, r"rotate: Input should be greater than or equal to 1 \(got 0\)"),
        ({"refine": 1, "corrections": "jacobi"}, "corrections: no 'jacobi'; methods of refinement are refinement, cg"),
        ({"refine": 1, "tolerance": 1e-17}, "tolerance: tolerance is 1e-17; .* where double precision ends"),
        ({"damping": 1.0}, "unknown key 'damping'"),
    ],
)
def test_a_description_of_nothing_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        from_document(Precision, given, "precision")
