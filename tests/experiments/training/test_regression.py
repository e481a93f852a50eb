"""Regression on real measurements and on Friedman's function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from experiments.training.config import read_experiment
from experiments.training.methods import learner_of
from experiments.training.stepping import Place
from experiments.training.store import Trial
from experiments.training.tasks import task_named
from experiments.training.trial import advance
from optim.curvature import gauss_newton_factor, loss_and_gradient
from spu_circuit.errors import InputError

SMALL = {
    "name": "small",
    "task": "regression",
    "steps": 20,
    "batch_size": 32,
    "seeds": [0],
    "evaluate_every": 20,
    "data": {"train": 280, "validation": 62, "test": 100},
    "network": {"hidden": [6]},
    "optimizers": {"ngd": {"kind": "ngd", "learning_rates": [0.3], "damping": 1.0}},
}
FRIEDMAN = {"source": "friedman", "train": 4000, "validation": 10, "test": 1000}


def small(**changes):
    return read_experiment(SMALL | changes, "test")


def load(experiment):
    return task_named("regression").load(experiment.data, None)


def test_diabetes_is_the_real_data_scaled_by_the_training_samples():
    parts = load(small())
    inputs, targets = parts.train
    np.testing.assert_allclose([inputs.mean(), targets.mean()], 0, atol=1e-6)
    np.testing.assert_allclose(np.append(inputs.std(axis=0), targets.std()), 1, rtol=1e-5)
    from sklearn.datasets import load_diabetes

    original = load_diabetes()
    # One shift and one factor for all three parts: targets are whole numbers again.
    spread = np.ptp(original.target) / np.ptp(np.concatenate([part[1] for part in (parts.train, parts.test)]))
    assert len(parts.validation[1]) == 62
    steps = np.diff(np.unique(np.concatenate([parts.train[1], parts.test[1]]))) * spread
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


def test_friedmans_noise_is_what_was_asked_for():
    """Targets minus the function, in the units of the function, for a noise of 1 and of none."""
    noisy, clean = (load(small(data=FRIEDMAN | {"noise": noise, "train": 4000})).train for noise in (1.0, 0.0))
    np.testing.assert_array_equal(noisy[0], clean[0])
    # The variance of the function, by integration: 23.8. Of 4,000 samples its standard error is 0.5.
    scaled = np.polyfit(clean[1][:, 0], noisy[1][:, 0], 1)[0]
    share = np.mean((noisy[1][:, 0] - scaled * clean[1][:, 0]) ** 2)
    assert share == pytest.approx(1 / 24.8, rel=0.1)


def test_the_score_is_the_coefficient_of_determination():
    from sklearn.metrics import r2_score

    rng = np.random.default_rng(0)
    targets = rng.normal(size=(30, 1)).astype(np.float32)
    outputs = targets + 0.3 * rng.normal(size=(30, 1)).astype(np.float32)
    assert float(learner_of(small()).score(outputs, targets)) == pytest.approx(r2_score(targets, outputs), rel=1e-5)
    assert task_named("regression").score.better == "higher"


def test_gradient_and_curvature_are_those_of_the_squared_error():
    learner = learner_of(small(network={"hidden": [3]}))
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), learner.begin(1))
        inputs, targets = (jnp.asarray(part[:7], float) for part in load(small()).train)
        flat, unravel = ravel_pytree(params)

        @jax.jit
        def found(vector):
            J = jax.jacfwd(lambda own: learner.model(unravel(own), inputs)[:, 0])(vector)
            at = (learner.model, learner.loss, unravel(vector), inputs, targets)
            return J, learner.model(unravel(vector), inputs) - targets, loss_and_gradient(*at), gauss_newton_factor(*at)

        J, residuals, (loss, gradient), B = found(flat)
        residuals = residuals[:, 0]
        np.testing.assert_allclose(loss, np.mean(residuals**2) / 2, rtol=1e-12)
        np.testing.assert_allclose(ravel_pytree(gradient)[0], J.T @ residuals / 7, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(B.T @ B, J.T @ J / 7, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("data", "least"), [(SMALL["data"], 0.2), (FRIEDMAN | {"validation": 62}, 0.6)])
def test_a_short_training_explains_the_targets(data, least):
    experiment = small(data=data)
    (chunk,) = advance(experiment, [Place(Trial(0, "ngd", 0.3, 0))], load(experiment), 20)
    assert chunk.steps[-1].loss < 0.7 * chunk.steps[0].loss
    assert least < chunk.steps[-1].score < 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"source": "boston"}, r"data\.source: Input should be 'diabetes' or 'friedman'"),
        ({"noise": -1}, r"data\.noise: .*greater than or equal to 0"),
        ({"noises": 1}, r"unknown key 'data\.noises'; did you mean 'noise'"),
    ],
)
def test_mistakes_are_one_line_with_the_cure(data, words):
    with pytest.raises(InputError, match=words) as caught:
        small(data=SMALL["data"] | data)
    assert "\n" not in str(caught.value)


def test_more_patients_than_there_are_and_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="562 samples are asked for, there are 442; lower train"):
        load(small(data=SMALL["data"] | {"train": 400}))
    with pytest.raises(InputError, match="regression has its samples, leave it out"):
        task_named("regression").load(small().data, tmp_path)
