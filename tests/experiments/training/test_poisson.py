"""The physics-informed network: its points, its residuals, its curvature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from experiments.training.config import read_experiment
from experiments.training.methods import learner_of
from experiments.training.stepping import Place
from experiments.training.store import Trial
from experiments.training.tasks import poisson, task_named
from experiments.training.tasks.poisson import Points
from experiments.training.trial import advance, batch
from optim.curvature import gauss_newton_factor, loss_and_gradient
from spu_circuit.errors import InputError

SMALL = {
    "name": "small",
    "task": "poisson",
    "steps": 30,
    "batch_size": 20,
    "shuffle": False,
    "seeds": [0],
    "evaluate_every": 30,
    "data": {"train": 20, "validation": 20, "test": 50, "interior": 16, "boundary": 4},
    "network": {"hidden": [8]},
    "optimizers": {"ngd": {"kind": "ngd", "learning_rates": [0.3], "damping": 1.0}},
}


def small(dimension=1, **changes):
    data = SMALL["data"] | {"dimension": dimension} | changes.pop("data", {})
    return read_experiment(SMALL | {"data": data} | changes, "test")


def load(experiment):
    return task_named("poisson").load(experiment.data, None)


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("waves", [1, 3])
def test_the_exact_solution_solves_the_equation(dimension, waves):
    points, h = np.random.default_rng(0).uniform(0.1, 0.9, (20, dimension)), 1e-4
    u = poisson.solution(points, waves)
    laplacian = sum(
        (poisson.solution(points + h * e, waves) - 2 * u + poisson.solution(points - h * e, waves)) / h**2
        for e in np.eye(dimension)
    )
    # Central differences: h²/12 of the fourth derivative, (kπ)⁴ h²/12 ≈ 7e-6, and rounding 4 eps / h² ≈ 9e-8, an axis.
    np.testing.assert_allclose(-laplacian, poisson.source(points, waves), atol=2e-5)


@pytest.mark.parametrize("dimension", [1, 2])
def test_outputs_are_weighted_residuals_and_their_targets_those_of_the_exact_solution(dimension):
    """The network's Laplacian against central differences in double precision."""
    experiment = small(dimension, data={"boundary_weight": 4.0, "waves": 2})
    rows, targets = load(experiment).train
    points, (a, b) = rows[:, :dimension].astype(float), rows[:, dimension:].T
    inside, edge = slice(0, 16), slice(16, 20)
    # Mean squares over the set are those over the interior, and four times those over the boundary.
    np.testing.assert_allclose(a[inside] ** 2, 20 / 16, rtol=1e-6)
    np.testing.assert_allclose(b[edge] ** 2, 4 * 20 / 4, rtol=1e-6)
    assert not b[inside].any()
    assert not a[edge].any()
    assert ((points[edge] == 0) | (points[edge] == 1)).any(axis=1).all()
    assert {tuple(np.flatnonzero((p == 0) | (p == 1))) for p in points[edge]} == {(k,) for k in range(dimension)}
    exact = a * poisson.source(points, 2) + b * poisson.solution(points, 2)
    np.testing.assert_allclose(targets[:, 0], exact, rtol=1e-5, atol=1e-5)

    learner, h = learner_of(experiment), 1e-4
    model = jax.jit(learner.model)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), learner.begin(0))

        def u(at):
            asked = np.broadcast_to([0.0, 1.0], (len(at), 2))
            return np.asarray(model(params, jnp.asarray(np.hstack([at, asked]))))[:, 0]

        laplacian = sum((u(points + h * e) - 2 * u(points) + u(points - h * e)) / h**2 for e in np.eye(dimension))
        outputs = np.asarray(model(params, jnp.asarray(rows, float)))[:, 0]
        np.testing.assert_allclose(outputs, -a * laplacian + b * u(points), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [1, 2])
def test_gradient_and_curvature_are_those_of_the_residuals(dimension):
    """Against the dense Jacobian; and where all residuals vanish, against the Hessian of the loss."""
    experiment = small(dimension, network={"hidden": [3]})
    learner = learner_of(experiment)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), learner.begin(1))
        rows, targets = (jnp.asarray(part, float) for part in load(experiment).train)
        flat, unravel = ravel_pytree(params)

        def outputs(vector):
            return learner.model(unravel(vector), rows)[:, 0]

        @jax.jit
        def found(vector):
            met = outputs(flat)[:, None]
            hessian = jax.hessian(lambda own: learner.loss.mean(learner.model(unravel(own), rows), met))(vector)
            at = (learner.model, learner.loss, unravel(vector), rows, targets)
            return (
                outputs(vector),
                jax.jacrev(outputs)(vector),
                hessian,
                loss_and_gradient(*at),
                gauss_newton_factor(*at),
            )

        values, J, hessian, (loss, gradient), B = found(flat)
        residuals = values - targets[:, 0]
        assert B.shape == (20, flat.size)
        np.testing.assert_allclose(loss, jnp.mean(residuals**2) / 2, rtol=1e-12)
        np.testing.assert_allclose(ravel_pytree(gradient)[0], J.T @ residuals / 20, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(B @ B.T, J @ J.T / 20, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(B.T @ B, hessian, rtol=1e-9, atol=1e-9 * float(jnp.abs(hessian).max()))


@pytest.mark.parametrize("dimension", [1, 2])
def test_a_short_training_lowers_the_loss(dimension):
    experiment = small(dimension)
    (chunk,) = advance(experiment, [Place(Trial(0, "ngd", 0.3, 0))], load(experiment), 30)
    losses = [step.loss for step in chunk.steps]
    assert losses[-1] < 0.5 * losses[0]
    # The score is the relative L2 error of u: that of u = 0 is 1.
    assert chunk.steps[-1].score < 0.5
    again = small(dimension, data={"split_seed": 1})
    assert (load(again).train[0] != load(experiment).train[0]).any()


def test_a_fixed_set_is_every_batch_and_many_sets_follow_each_other():
    assert batch(7, 20, 20, None).tolist() == list(range(20))
    assert batch(4, 20, 60, None).tolist() == list(range(20, 40))
    assert batch(4, 20, 60, 0).tolist() != batch(7, 20, 60, 0).tolist()
    redrawn = load(small(data={"train": 60})).train[0].reshape(3, 20, 3)
    assert len({row[:16].tobytes() for row in redrawn}) == 3
    assert (redrawn[:, :, 1] > 0).sum(axis=1).tolist() == [16, 16, 16]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"train": 21}}, r"data: .*train 21 is no multiple of interior \+ boundary = 20; take 20 or a mul"),
        ({"data": {"validation": 30}}, "validation 30 is no multiple"),
        ({"data": {"dimension": 3}}, r"data\.dimension"),
        ({"data": {"waves": 0}}, r"data\.waves: .*greater than or equal to 1"),
        ({"data": {"boundary_weight": 0}}, r"data\.boundary_weight"),
        ({"network": {"hidden": []}}, r"network\.hidden"),
        ({"network": {"hidden": [4, 0]}}, r"network\.hidden\.1: .*greater than or equal to 1"),
    ],
)
def test_mistakes_are_one_line_with_the_cure(changes, words):
    with pytest.raises(InputError, match=words) as caught:
        small(**changes)
    assert "\n" not in str(caught.value)


def test_points_come_from_no_file(tmp_path):
    with pytest.raises(InputError, match="the points are drawn, leave it out"):
        task_named("poisson").load(Points(train=66, validation=66, test=5), tmp_path)
