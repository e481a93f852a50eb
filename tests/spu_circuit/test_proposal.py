"""Samples that are drawn from elsewhere stand for the distribution that is wanted."""

import numpy as np
import pytest
from scipy import stats

from spu_circuit.proposal import EDGE, STAYING, Proposal
from spu_circuit.sampling import Parts, Sampling, at_scores, bounded, draw
from spu_circuit.spread import RelativeSpread, TemperatureSpread
from spu_circuit.variation import RelativeVariation, Variation

KELVIN = 300.0
COUNT = 50
PARTS = {"capacitor": Parts(np.arange(COUNT), np.zeros(COUNT), np.zeros(COUNT))}
SIGMA = RelativeSpread(tolerance=0.01, meaning="sigma")
SPREADS = {
    "normal": RelativeSpread(tolerance=1 / 7, meaning="sigma"),
    "uniform": RelativeSpread(distribution="uniform", tolerance=0.5, meaning="limit"),
    "truncated": RelativeSpread(distribution="truncated", tolerance=0.3, meaning="sigma", limit=0.9),
    "lognormal": RelativeSpread(distribution="lognormal", tolerance=1.0, meaning="sigma"),
}


def proposal(means, directions=None, roots=None):
    means = np.atleast_2d(np.asarray(means, dtype=float))
    k = means.shape[1]
    if directions is None:
        directions = {"capacitor local": np.eye(k, COUNT)}
    shares = np.full(len(means), 1 / len(means))
    return Proposal(directions, means, np.array([np.eye(k)] * len(means)) if roots is None else roots, shares)


def drawn(variation, chosen, count=4000):
    return draw(variation, KELVIN, PARTS, range(count), Sampling(3), chosen)


def test_weighted_samples_have_the_wanted_distribution():
    along = np.full((1, COUNT), COUNT**-0.5)
    chosen = proposal([[3.0], [-2.0]], {"capacitor local": along}, np.array([[[1.5]], [[1.0]]]))
    found = drawn(Variation(capacitor=RelativeVariation(local=SIGMA)), chosen, 20_000)
    z = (found.relative["capacitor"] - 1) @ along[0] / 0.01
    weights = found.weights
    assert weights.max() <= 1 / STAYING * (1 + 1e-12)
    for power, wanted in ((0, 1.0), (1, 0.0), (2, 1.0), (4, 3.0)):
        terms = weights * z**power
        assert terms.mean() == pytest.approx(wanted, abs=4 * terms.std() / len(z) ** 0.5)
    # Across the direction nothing is changed, and no weight counts.
    across = found.relative["capacitor"][:, 0] - found.relative["capacitor"].mean(axis=1)
    assert stats.kstest(across / across.std(), stats.norm.cdf).pvalue > 1e-4


def test_far_failures_have_their_probability():
    far = 5.0
    found = drawn(Variation(capacitor=RelativeVariation(local=SIGMA)), proposal([[far]]))
    bad = found.weights * (found.relative["capacitor"][:, 0] > 1 + 0.01 * far)
    assert bad.mean() == pytest.approx(stats.norm.sf(far), abs=4 * bad.std() / 4000**0.5)
    assert bad.std() / 4000**0.5 < 0.05 * stats.norm.sf(far)


@pytest.mark.parametrize("shape", SPREADS)
@pytest.mark.parametrize("far", [-50.0, 50.0])
def test_no_part_is_infinite_or_missing_however_far_samples_are_drawn(shape, far):
    variation = Variation(capacitor=RelativeVariation(local=SPREADS[shape], lot=SPREADS[shape]))
    directions = {"capacitor lot": np.eye(2, 1), "capacitor local": np.eye(2, COUNT, -1)}
    found = drawn(variation, proposal([[far, far]], directions), 200)
    factors, weights = found.relative["capacitor"], found.weights
    ends = 1 + SPREADS[shape].quantile(stats.norm.cdf(np.array([-EDGE, EDGE])))
    assert 0 < ends[0] < ends[1] < np.inf
    assert (factors >= ends[0] ** 2 * (1 - 1e-9)).all()
    assert (factors <= ends[1] ** 2 * (1 + 1e-9)).all()
    assert np.isfinite(weights).all()


def test_a_sample_is_the_same_whichever_others_are_drawn():
    variation = Variation(capacitor=RelativeVariation(local=SIGMA))
    chosen = proposal([[3.0], [-3.0]])
    whole = drawn(variation, chosen, 64)
    part = draw(variation, KELVIN, PARTS, range(40, 50), Sampling(3), chosen)
    np.testing.assert_allclose(part.relative["capacitor"], whole.relative["capacitor"][40:50], rtol=1e-12)
    np.testing.assert_allclose(part.weights, whole.weights[40:50], rtol=1e-12)


def test_samples_at_given_scores_are_the_quantiles_of_their_distributions():
    room = TemperatureSpread(tolerance=10, meaning="sigma")
    variation = Variation(
        capacitor=RelativeVariation(lot=SIGMA, local=SPREADS["uniform"], temperature_coefficient=1e-3),
        temperature=room,
    )
    assert bounded(variation, PARTS) == {"temperature": 1, "capacitor lot": 1, "capacitor local": COUNT}
    found = at_scores(variation, KELVIN, PARTS, {"temperature": np.array([[2.0]]), "capacitor lot": np.array([[-1.0]])})
    assert found.temperature == pytest.approx(KELVIN + 20)
    np.testing.assert_allclose(found.relative["capacitor"], 0.99 * 1.02, rtol=1e-12)
    nominal = at_scores(variation, KELVIN, PARTS, {})
    np.testing.assert_allclose(nominal.relative["capacitor"], np.ones((1, COUNT)), rtol=1e-12)
