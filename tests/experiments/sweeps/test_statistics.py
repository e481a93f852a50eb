from math import comb, inf

import numpy as np
import pytest
from scipy import stats

from experiments.sweeps.analyses import ANALYSES, sets_of
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.rows import Row
from experiments.sweeps.statistics import clopper_pearson, passes, percentile, weighted_interval, yield_of
from spu_circuit.documents import from_document
from spu_circuit.sampling import Parts
from tests.cases import bench_of

LOT = {"tolerance": "1 %", "meaning": "sigma"}


def sweep(analysis, limit=inf, variation=None):
    variation = variation or {"capacitor": {"lot": LOT}}
    return from_document(
        Sweep,
        {
            "name": "lots",
            "metrics": ["settling_time"],
            "hardware": {"base": "ideal", "variation": variation},
            "workload": {"kind": "random", "size": 2, "condition": 4},
            "analysis": analysis,
            "limits": {"settling_time": {"max": f"{limit!r} s"}} if limit < inf else {},
        },
        "test",
    )


def rows_of(asked):
    ((_, copies),) = sets_of(asked).items()
    return evaluate(asked, copies, range(copies.samples), "network")


def found_in(asked, rows):
    (copies,) = sets_of(asked).values()
    return yield_of(asked, copies, rows)


def nominal_settling():
    asked = sweep({"kind": "corners"})
    return rows_of(asked)[0].metrics[0]


def test_clopper_pearson_is_exact():
    # Its ends are the probabilities at which so few, or so many, would be seen with probability α/2.
    for count, tried in ((0, 10), (3, 10), (10, 10), (97, 120)):
        low, high = clopper_pearson(count, tried, 0.9)

        def tail(p, counts, tried=tried):
            return sum(comb(tried, k) * p**k * (1 - p) ** (tried - k) for k in counts)

        assert low == 0 if count == 0 else tail(low, range(count, tried + 1)) == pytest.approx(0.05, rel=1e-6)
        assert high == 1 if count == tried else tail(high, range(count + 1)) == pytest.approx(0.05, rel=1e-6)
    assert clopper_pearson(0, 50)[1] == pytest.approx(1 - 0.025 ** (1 / 50), rel=1e-9)


def test_clopper_pearson_covers_at_every_yield():
    n = 40
    ends = np.array([clopper_pearson(count, n) for count in range(n + 1)])
    for p in np.linspace(0.001, 0.999, 333):
        inside = (ends[:, 0] <= p) & (p <= ends[:, 1])
        assert stats.binom.pmf(np.arange(n + 1), n, p)[inside].sum() >= 0.95


@pytest.mark.parametrize(("n", "share"), [(100, 0.05), (100, 0.5), (200, 0.95)])
def test_percentile_intervals_cover(n, share):
    rng, truth = np.random.default_rng(11), stats.expon.ppf(share)
    found = [percentile(rng.exponential(size=n), share).interval for _ in range(2000)]
    covered = np.mean([low <= truth <= high for low, high in found])
    # The standard error is 0.005; four of them below 95 %: a false alarm in 3e4.
    assert covered >= 0.95 - 4 * 0.005


def test_percentiles_are_order_statistics_and_infinite_values_are_large():
    values = np.array([3.0, 1.0, inf, 2.0, inf])
    assert [percentile(values, share).value for share in (0.2, 0.4, 0.6, 0.8, 1.0)] == [1, 2, 3, inf, inf]
    assert percentile(np.arange(10.0), 0.3).value == 2  # 10 · 0.3 is a rounding error above 3
    assert percentile(values, 0.5).interval == (-inf, inf)


def test_unstable_copies_are_bad_and_failed_ones_are_not_counted():
    asked = sweep({"kind": "monte carlo"}, limit=2.0)
    rows = [Row(0, "ok", "", 1, (1.0,)), Row(1, "ok", "", 1, (3.0,)), Row(2, "unstable", "", 1, (np.nan,))]
    rows.append(Row(3, "failed", "no", 1, (np.nan,)))
    assert passes(asked, rows).tolist() == [True, False, False, False]
    found = found_in(asked, rows)
    assert (found.good, found.tried, found.share) == (1, 3, pytest.approx(1 / 3))
    assert found_in(asked, []).interval == (0, 1)


def test_yield_of_a_lot_is_the_normal_distributions():
    # Settling is proportional to the capacitor: a limit z σ above nominal keeps Φ(z) of the copies.
    asked = sweep({"kind": "monte carlo", "samples": 4096}, limit=1.01 * nominal_settling())
    found = found_in(asked, rows_of(asked))
    # Standard error 0.0057; 4 of them.
    assert found.share == pytest.approx(stats.norm.cdf(1), abs=4 * 0.0057)
    assert found.interval[0] < found.share < found.interval[1]
    exact = sweep({"kind": "monte carlo", "samples": 1024, "design": "lhs"}, limit=1.01 * nominal_settling())
    # One number decides, and each of 1024 strata has one copy: the share is exact to one of them.
    assert found_in(exact, rows_of(exact)).share == pytest.approx(stats.norm.cdf(1), abs=1 / 1024)
    even = sweep({"kind": "monte carlo", "samples": 1024, "design": "sobol"}, limit=1.01 * nominal_settling())
    assert found_in(even, rows_of(even)).share == pytest.approx(stats.norm.cdf(1), abs=1 / 1024)


def test_importance_sampling_finds_a_rare_failure():
    z = 3.7
    asked = sweep({"kind": "importance", "samples": 4096, "inflation": 3.0}, limit=(1 + 0.01 * z) * nominal_settling())
    rows = rows_of(asked)
    found = found_in(asked, rows)
    rare = stats.norm.sf(z)
    # Plain copies would have shown it once in 9,300.
    assert rare == pytest.approx(1.08e-4, rel=0.01)
    assert 1 - found.interval[1] < rare < 1 - found.interval[0]
    assert 1 - found.share == pytest.approx(rare, rel=0.3)
    # E[w²] = 9 / √17: standard error √(1.183/4096) = 0.017; 4 of them.
    assert np.mean([row.weight for row in rows]) == pytest.approx(1, abs=0.068)


def test_importance_sampling_does_not_promise_what_it_has_not_seen():
    asked = sweep({"kind": "importance", "samples": 256}, limit=2 * nominal_settling())
    found = found_in(asked, rows_of(asked))
    # No bad copy of 256: fewer than 3.7 (of which Poisson's law shows none once in 40), each standing for at most two.
    assert (found.share, found.good, found.interval[1]) == (1, 256, 1)
    assert found.interval[0] == pytest.approx(1 - 2 * -np.log(0.025) / 256, rel=1e-9)


def test_importance_intervals_cover():
    variation = {"capacitor": {"lot": LOT}}
    parts = {"capacitor": Parts(np.arange(1), np.zeros(1), np.zeros(1))}
    z, covered, repeats = 2.5, 0, 150
    for seed in range(repeats):
        asked = sweep({"kind": "importance", "samples": 512}, limit=1 + 0.01 * z, variation=variation)
        asked = asked.model_copy(update={"seed": seed})
        device = asked.device()
        bench = bench_of(device, parts)
        copies = ANALYSES["importance"].draw(asked, sets_of(asked)["copies"], bench, range(512))
        factors = copies.relative["capacitor"][:, 0].tolist()
        rows = [
            Row(k, "ok", "", w, (f,)) for k, (w, f) in enumerate(zip(copies.weights.tolist(), factors, strict=True))
        ]
        low, high = found_in(asked, rows).interval
        covered += low <= stats.norm.cdf(z) <= high
    # Standard error 0.018 at 95 %; the normal interval of a skewed mean may be a point or so short: four below that.
    assert covered / repeats >= 0.94 - 4 * 0.018


def test_importance_intervals_cover_where_few_weights_make_the_mean():
    # Ten lots, and failures that do not follow them: the weights' normal interval holds the truth in 66 % of the cases.
    kinds = ("array_resistor", "input_resistor", "inverter_resistor", "dac_gain", "adc_gain", "capacitor")
    variation = {kind: {"lot": LOT, "gradient": LOT} for kind in kinds[:2]} | {kind: {"lot": LOT} for kind in kinds[2:]}
    asked = sweep({"kind": "importance", "samples": 512}, limit=1.0, variation=variation)
    rng, covered, repeats, bad = np.random.default_rng(0), 0, 50, 0.05
    for _ in range(repeats):
        scores = 2 * rng.normal(size=(512, 10))
        weights = (2.0**10 * np.exp(-0.375 * (scores**2).sum(axis=1))).tolist()
        failing = rng.random(512) < bad
        rows = [Row(k, "ok", "", w, (2.0 * f,)) for k, (w, f) in enumerate(zip(weights, failing.tolist(), strict=True))]
        low, high = found_in(asked, rows).interval
        covered += low <= 1 - bad <= high
    # Fewer than 43 of 50 would be seen with a probability of 1 % or less if the interval held in 95 % of the cases.
    assert covered >= 43


@pytest.mark.slow
@pytest.mark.parametrize("lots", [1, 3])
@pytest.mark.parametrize("inflation", [2.0, 3.0])
@pytest.mark.parametrize("far", [1.0, 2.0, 3.0])
def test_importance_intervals_cover_at_256_copies(lots, inflation, far):
    # Fails where the mean of the lots is so many σ above nominal: Φ(far) of the copies are good.
    kinds = ("capacitor", "array_resistor", "input_resistor")[:lots]
    variation = {kind: {"lot": LOT} for kind in kinds}
    parts = dict.fromkeys(kinds, Parts(np.arange(1), np.zeros(1), np.zeros(1)))
    analysis = {"kind": "importance", "samples": 256, "inflation": inflation}
    asked = sweep(analysis, limit=1 + 0.01 * far / lots**0.5, variation=variation)
    bench, covered, below, repeats = bench_of(asked.device(), parts), 0, 0, 250
    for seed in range(repeats):
        own = asked.model_copy(update={"seed": seed})
        copies = ANALYSES["importance"].draw(own, sets_of(own)["copies"], bench, range(256))
        means = np.mean([copies.relative[kind][:, 0] for kind in kinds], axis=0).tolist()
        rows = [Row(k, "ok", "", w, (m,)) for k, (w, m) in enumerate(zip(copies.weights.tolist(), means, strict=True))]
        low, high = found_in(own, rows).interval
        covered += low <= stats.norm.cdf(far) <= high
        below += stats.norm.cdf(far) < low
    # Standard error 0.014 at 95 %: four of them. What matters more: a yield is rarely called better than it is.
    assert covered / repeats >= 0.95 - 4 * 0.014
    assert below / repeats <= 0.025 + 4 * 0.01


def test_intervals_of_shifted_samples_cover_at_256_copies():
    # A mean-shift beyond 10⁻⁶, with one sample in ten left where it was; Φ(−4.75) is the truth.
    rng, far, n, repeats, covered = np.random.default_rng(3), 4.75, 256, 1000, 0
    middle = far + 1 / far
    for _ in range(repeats):
        z = rng.standard_normal(n) + middle * (rng.random(n) > 0.1)
        bad = (z > far) / (0.1 + 0.9 * np.exp(middle * z - middle**2 / 2))
        ends = weighted_interval(*np.array([[bad.sum()], [(bad**2).sum()], [bad.max()]]), 10.0)
        covered += ends[0][0] <= n * stats.norm.sf(far) <= ends[1][0]
    # Standard error 0.007; four of them.
    assert covered / repeats >= 0.95 - 4 * 0.007
