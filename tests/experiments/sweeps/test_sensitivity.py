from itertools import product

import numpy as np
import pytest

from experiments.sweeps.analyses import ANALYSES, sets_of, worst_case
from experiments.sweeps.analyses import corners as corners_module
from experiments.sweeps.analyses.one_at_a_time import ranges
from experiments.sweeps.analyses.variance_based import indices
from experiments.sweeps.analyses.worst_case import worst_extremes
from experiments.sweeps.bench import benches, metrics_of
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.group import Group
from experiments.sweeps.rows import Row
from spu_circuit.documents import from_document
from spu_circuit.errors import InputError
from spu_circuit.sampling import Parts, bounded, corners
from tests.cases import bench_of

KINDS = ("input_resistor", "inverter_resistor", "capacitor")
SIGMAS = (0.01, 0.02, 0.04)


def lots(**more):
    variation = {
        k: {"lot": {"tolerance": f"{100 * s} %", "meaning": "sigma"}} for k, s in zip(KINDS, SIGMAS, strict=True)
    }
    return variation | more


def sweep(variation, analysis, **more):
    return from_document(
        Sweep,
        {
            "name": "effects",
            "metrics": ["settling_time"],
            "hardware": {"base": "ideal", "variation": variation},
            "workload": {"kind": "random", "size": 2, "condition": 4},
            "analysis": analysis,
        }
        | more,
        "test",
    )


def drawn(asked, copies, parts, numbers):
    return ANALYSES[asked.analysis.kind].draw(asked, copies, bench_of(asked.device(), parts), numbers)


def one_at_a_time(asked, rows):
    return ranges(point(asked, rows), "settling_time")


def sobol_indices(asked, rows):
    return indices(point(asked, rows), "settling_time")


def point(asked, rows):
    return {name: Group((0, name), {}, asked, copies, tuple(rows[name])) for name, copies in sets_of(asked).items()}


def rows_by(asked, metric):
    """Rows of all cases, of a metric that is a function of the parts' factors."""
    parts = {kind: Parts(np.arange(2), np.zeros(2), np.zeros(2)) for kind in KINDS}
    found = {}
    for name, copies in sets_of(asked).items():
        samples = drawn(asked, copies, parts, range(copies.samples))
        values = metric(*(samples.relative.get(kind, np.ones((samples.count, 1))) - 1 for kind in KINDS))
        found[name] = [Row(k, "ok", "", 1.0, (value,)) for k, value in enumerate(values.tolist())]
    return found


def additive(a, b, c):
    return 5 + a[:, 0] + b[:, 0] - c[:, 0]


def test_one_at_a_time_gives_each_kinds_range_and_share():
    asked = sweep(lots(), {"kind": "one at a time", "samples": 4096})
    found = one_at_a_time(asked, rows_by(asked, additive))
    assert [effect.kind for effect in found] == list(KINDS)
    for effect, sigma in zip(found, SIGMAS, strict=True):
        assert (effect.metric, effect.nominal, effect.left_out) == ("settling_time", 5, 0)
        # A 5 % quantile of 4096 normal numbers has a standard error of 0.033 σ, a median one of 0.02 σ; 4 of them.
        assert effect.median == pytest.approx(5, abs=0.08 * sigma)
        assert effect.low == pytest.approx(5 - 1.645 * sigma, abs=0.132 * sigma)
        assert effect.high == pytest.approx(5 + 1.645 * sigma, abs=0.132 * sigma)
        # A variance's standard error is 2.2 %; that of a share is at most twice that.
        assert effect.share == pytest.approx(sigma**2 / 0.0021, rel=4 * 0.044)
    assert sum(effect.share for effect in found) == pytest.approx(1)


def test_copies_without_a_finite_value_are_counted_and_left_out():
    asked = sweep(lots(), {"kind": "one at a time", "samples": 64})
    rows = rows_by(asked, additive)
    rows["capacitor"][3] = Row(3, "unstable", "", 1.0, (np.nan,))
    rows["capacitor"][5] = Row(5, "ok", "", 1.0, (np.inf,))
    effect = one_at_a_time(asked, rows)[2]
    assert effect.left_out == 2
    assert np.isfinite([effect.median, effect.low, effect.high, effect.share]).all()
    asked = sweep(lots(), {"kind": "variance based", "samples": 64})
    rows = rows_by(asked, additive)
    rows["B"][1] = Row(1, "unstable", "", 1.0, (np.nan,))
    del rows["A with capacitor of B"][9]
    assert {(index.samples, index.left_out) for index in sobol_indices(asked, rows)} == {(62, 2)}


def test_sobol_indices_of_an_additive_metric_are_its_variance_shares():
    asked = sweep(lots(), {"kind": "variance based", "samples": 4096})
    found = sobol_indices(asked, rows_by(asked, additive))
    assert [index.kind for index in found] == list(KINDS)
    for index, sigma in zip(found, SIGMAS, strict=True):
        share = sigma**2 / 0.0021
        # The interval is two-sided 95 %; twice as wide is a false alarm in 1e4, of six.
        for value, (low, high) in ((index.first, index.first_interval), (index.total, index.total_interval)):
            assert abs(value - share) < high - low
        assert index.first_interval[1] - index.first_interval[0] < 0.15


def test_sobol_indices_of_an_interaction_agree_with_a_direct_estimate():
    asked = sweep(lots(), {"kind": "variance based", "samples": 4096})

    def metric(a, b, c):
        return a[:, 0] / 0.01 * (b[:, 0] / 0.02) + c[:, 0] / 0.04

    rows = rows_by(asked, metric)
    found = sobol_indices(asked, rows)
    # Of the product of two normal numbers and a third: variances 1 and 1; neither factor does anything alone.
    for index, first, total in zip(found, (0, 0, 0.5), (0.5, 0.5, 0.5), strict=True):
        assert abs(index.first - first) < np.ptp(index.first_interval)
        assert abs(index.total - total) < np.ptp(index.total_interval)
    # Without SALib: what two copies that share one kind alone have in common (S₁), and all but one (1 − S_T).
    values = {name: np.array([row.metrics[0] for row in of_case]) for name, of_case in rows.items()}
    for index in found:
        mixed = values[f"A with {index.kind} of B"]
        assert index.first == pytest.approx(np.corrcoef(values["B"], mixed)[0, 1], abs=0.08)
        assert index.total == pytest.approx(1 - np.corrcoef(values["A"], mixed)[0, 1], abs=0.08)


def test_indices_are_the_same_each_time_and_none_where_nothing_moves():
    asked = sweep(lots(), {"kind": "variance based", "samples": 128})
    rows = rows_by(asked, additive)
    assert sobol_indices(asked, rows) == sobol_indices(asked, rows)
    still = rows_by(asked, lambda a, b, c: np.ones(len(a)))
    assert np.isnan([index.first for index in sobol_indices(asked, still)]).all()


def test_variance_based_analysis_needs_independent_kinds():
    variation = lots(correlation={"capacitor input_resistor": 0.5})
    with pytest.raises(InputError, match=r"leave hardware\.variation\.correlation out"):
        sets_of(sweep(variation, {"kind": "variance based", "samples": 64}))


def test_corners_are_nominal_and_all_combinations():
    variation = lots()
    variation["array_resistor"] = {"stuck_open": 0.5, "gradient": {"tolerance": "1 %", "meaning": "sigma"}}
    asked = sweep(variation, {"kind": "corners"})
    ((_, copies),) = sets_of(asked).items()
    assert copies.samples == 1 + 2**3
    parts = {kind: Parts(np.arange(2), np.zeros(2), np.zeros(2)) for kind in KINDS}
    whole = drawn(asked, copies, parts, range(9))
    factors = np.stack([whole.relative[kind][:, 0] for kind in KINDS], axis=1)
    wanted = [(1, 1, 1), *product(*((1 - 3 * s, 1 + 3 * s) for s in SIGMAS))]
    np.testing.assert_allclose(factors, wanted, rtol=1e-14)
    assert not whole.open.size
    some = drawn(asked, copies, parts, range(3, 5))
    assert np.array_equal(some.relative["capacitor"], whole.relative["capacitor"][3:5])
    assert corners_module.name_of(asked, 2) == "input_resistor −, inverter_resistor −, capacitor +"


def test_worst_extremes_of_a_monotonic_metric_are_the_signs_of_its_sensitivities():
    weights = np.array([3.0, -1.0, 0.0, 2.0])

    def measured(ends):
        at = np.concatenate([ends["lot"], ends["local"]], axis=1)
        return np.stack([np.exp(at @ weights), -(at**3) @ weights])

    found = worst_extremes({"lot": 1, "local": 3}, 2, measured)
    high = np.array([1.0, -1.0, 0.0, 1.0])
    rows = np.concatenate([found["lot"], found["local"]], axis=1)
    assert np.array_equal(rows, np.stack([0 * high, high, -high, -high, high]))


def test_worst_extremes_climb_where_signs_at_nominal_mislead():
    # |3a + 2b − 2c| is even about nominal; all that nominal tells is that each part matters.
    def measured(ends):
        return np.abs(ends["local"] @ [3.0, 2.0, -2.0])[None]

    found = worst_extremes({"local": 3}, 1, measured)["local"]
    assert measured({"local": found})[0].tolist() == [0, 7, 0]


def test_worst_extremes_find_what_temperature_and_its_coefficients_do_together():
    # Neither matters without the other.
    def measured(ends):
        return np.abs(ends["temperature"] * ends["part temperature coefficient local"] @ [[2.0], [-1.0]])[:, 0][None]

    found = worst_extremes({"temperature": 1, "part temperature coefficient local": 2}, 1, measured)
    assert measured(found)[0].tolist() == [0, 3, 0]


def test_worst_case_finds_the_worst_of_all_corners_of_a_small_circuit():
    spread = {"tolerance": "1 %", "meaning": "sigma"}
    variation = {"array_resistor": {"local": spread}, "capacitor": {"local": spread, "lot": spread}}
    names = ["relative_error", "settling_time", "power"]
    asked = sweep(variation, {"kind": "worst case"}, metrics=names)
    ((_, copies),) = sets_of(asked).items()
    rows = evaluate(asked, copies, range(copies.samples), "network")
    assert rows == evaluate(asked, copies, range(2), "network") + evaluate(asked, copies, range(2, 7), "network")
    assert [worst_case.name_of(asked, k) for k in (1, 6)] == ["relative_error highest", "power lowest"]
    # Every corner of every part, one by one.
    (bench,) = benches(asked, "network")
    places, device = bench.board.places, asked.device()
    counts = bounded(device.variation, places)
    assert sum(counts.values()) == 4 + 1 + 2
    signs = np.array(list(product((-1.0, 1.0), repeat=7)))
    cuts = np.split(signs, np.cumsum(list(counts.values()))[:-1], axis=1)
    copies = corners(device.variation, device.temperature, places, dict(zip(counts, cuts, strict=True)))
    every, *_ = metrics_of(asked, bench, copies)
    for k, name in enumerate(asked.recorded):
        # The same copy in another block has other last digits.
        assert rows[1 + 2 * k].metrics[k] == pytest.approx(every[k].max(), rel=1e-9), name
        nominal = rows[0].metrics[k]
        assert rows[2 + 2 * k].metrics[k] == pytest.approx(min(every[k].min(), nominal), rel=1e-9), name


def test_worst_case_looks_at_one_system():
    variation = lots()
    workload = {"kind": "random", "size": 2, "condition": 4, "systems": 2}
    with pytest.raises(InputError, match=r"set workload\.systems = 1"):
        sets_of(sweep(variation, {"kind": "worst case"}, workload=workload))
