"""Whether the test of covariances alarms as seldom as it says, and catches what is wrong."""

import numpy as np
import pytest

from experiments.validation.covariance_test import SampledLaw, joint_bound, joint_deviation, largest_deviation


def sampled_law():
    """Four states seen as three correlated voltages, neighbours correlated by up to e⁻³."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    rates = np.array([1.0, 1.5, 3.0, 8.0])
    diffusion = root @ root.T
    covariance = diffusion / (rates[:, None] + rates)
    return SampledLaw(np.diag(np.exp(-3 * rates)), covariance, rng.normal(size=(3, 4)))


def draw(law, runs, intervals, rng):
    kick = np.linalg.cholesky(law.covariance - law.transition @ law.covariance @ law.transition.T)
    state = rng.standard_normal((runs, 4)) @ np.linalg.cholesky(law.covariance).T
    seen = []
    for _ in range(intervals):
        seen.append(state @ law.output.T)
        state = state @ law.transition.T + rng.standard_normal((runs, 4)) @ kick.T
    return np.stack(seen, axis=1)


def test_right_samples_raise_a_false_alarm_as_seldom_as_stated():
    """1000 sets at 0.25 %: Poisson of mean 2.5, and the bound's own rank adds 30 %; above 11 in 1 of 10⁴."""
    law, rng = sampled_law(), np.random.default_rng(1)
    bound = joint_bound(law, 4, 25, rng)
    alarms = sum(largest_deviation(draw(law, 4, 25, rng), law) > bound for _ in range(1000))
    assert alarms <= 11


@pytest.mark.parametrize("wrong", ["strength", "entry", "cell"])
def test_wrong_laws_are_caught(wrong):
    """400 samples: 15 % in all variances is 3.7 σ of a trace; 0.3 of a correlation 6 σ; half of a variance 7 σ."""
    law, rng = sampled_law(), np.random.default_rng(2)
    samples = draw(law, 16, 25, rng)
    size = np.sqrt(law.voltages.diagonal())
    assert joint_deviation(samples, law, rng).deviation < joint_deviation(samples, law, rng).bound
    if wrong == "strength":
        samples = 1.1 * samples
    elif wrong == "cell":
        samples = samples * [1.0, 1.0, np.sqrt(1.5)]
    else:
        samples = samples + 0.3 * samples[:, :, [1, 0, 2]] * size / size[[1, 0, 2]] * [1, 0, 0]
    found = joint_deviation(samples, law, rng)
    assert found.deviation > found.bound
