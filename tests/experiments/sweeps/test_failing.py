"""Rare failures of laws whose probability is known."""

import numpy as np
import pytest
from scipy import stats

from experiments.sweeps.failing import failing
from spu_circuit.proposal import Proposal

SAMPLES = 8000
FAR = 4.7534
"""Φ(−4.7534) = 10⁻⁶."""


def estimate(severity, k):
    """Mean of the weights of failing samples, its standard error, and where samples fail."""
    rng = np.random.default_rng(5)
    found = failing(severity, k, rng)
    proposal = Proposal({"all": np.eye(k)}, *found.groups())
    z = proposal.moved(rng.standard_normal((SAMPLES, k)), rng.random(SAMPLES))
    bad = proposal.weights(z) * (severity(z) >= 1)
    return float(bad.mean()), float(bad.std()) / SAMPLES**0.5, found


def halves(count, far=FAR):
    """Fails beyond so many planes, each as far away, at right angles."""
    return lambda z: z[:, :count].max(axis=1) / far


def slanted(z):
    along = np.arange(1.0, z.shape[1] + 1)
    return z @ along / np.linalg.norm(along) / FAR


@pytest.mark.parametrize(
    ("severity", "k", "truth", "points"),
    [
        (slanted, 1, stats.norm.sf(FAR), 1),
        (slanted, 40, stats.norm.sf(FAR), 1),
        (lambda z: np.abs(z[:, 0]) / FAR, 5, 2 * stats.norm.sf(FAR), 2),
        (halves(3), 10, 1 - stats.norm.cdf(FAR) ** 3, 3),
        (halves(10), 20, 1 - stats.norm.cdf(FAR) ** 10, 10),
        (lambda z: np.sqrt((z**2).sum(axis=1) / stats.chi2.isf(1e-6, 16)), 16, 1e-6, None),
        (lambda z: np.max([z[:, 0] / 3, z[:, 1] / 5], axis=0), 2, stats.norm.sf(3), None),
        (lambda z: z[:, 0] + 1.5, 1, stats.norm.sf(-0.5), None),
    ],
    ids=["one", "one of forty", "both sides", "three", "ten", "sphere", "unequal", "mostly failing"],
)
def test_probabilities_are_those_that_are_known(severity, k, truth, points):
    found, error, where = estimate(severity, k)
    # Four standard errors: a false alarm in 16,000; and the errors are small, or that would say little.
    assert found == pytest.approx(truth, abs=4 * error)
    assert error < 0.06 * truth
    # Subset simulation itself is sure to about a tenth.
    assert where.probability == pytest.approx(truth, rel=0.5)
    if points is not None:
        assert np.linalg.norm(where.points, axis=1) == pytest.approx([FAR] * points, rel=1e-3)


def test_what_never_fails_is_said_to():
    assert failing(lambda z: np.zeros(len(z)), 2, np.random.default_rng(0)) is None
