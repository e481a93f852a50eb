"""Curvatures of an encoder on questions, side by side, with a small encoder."""

import copy
from dataclasses import replace

import pytest

from experiments.benchmarks.questions import GRADIENT, Comparison, curvatures, prepared, products
from tests.experiments.training.language.questions import DOCUMENT, written

COMPARED = {"seeds": (0, 1), "samples": 2, "length": 36, "steps": 2, "rate": 0.01, "draws": (1, 64), "products": 3}


@pytest.fixture
def met(folder, tmp_path):
    document = copy.deepcopy(DOCUMENT)
    document["data"] *= 4
    comparison = Comparison(**COMPARED, model=str(folder))
    learner, batches = prepared(comparison, written(tmp_path, document))
    return comparison, learner, list(batches)


def test_more_draws_come_nearer_to_the_natural_gradient_of_gauss_newton(met):
    rows = list(curvatures(*met))
    assert len(rows) == 2 * 5
    for seed in (0, 1):
        own = {(row["curvature"], row["draws"]): row for row in rows if row["seed"] == seed}
        exact, once, often = own["Gauss-Newton", 0], own["sampled Fisher", 1], own["sampled Fisher", 64]
        assert (exact["rows"], once["rows"], often["rows"]) == (2 * (2 * 36 - 2), 2, 128)
        assert own["empirical Fisher", 0]["rows"] == 2
        assert exact["distance"] == 0
        assert exact["cosine"] == pytest.approx(1)
        # Their variance is a 64th.
        assert often["distance"] < once["distance"] / 2
        assert often["cosine"] > own[GRADIENT, 0]["cosine"]


def test_products_that_never_form_the_factor_are_those_with_it(met):
    comparison, learner, batches = met
    (row,) = products(replace(comparison, multiplied=(4,)), learner, batches[0])
    assert row["rows"] == 8
    assert row["difference"] < 1e-5  # rounding of single precision
    assert row["bytes_of_B"] == 8 * row["rows"] * row["parameters"]
    assert 1 <= row["iterations"] <= row["rows"] + 1
    assert row["bytes_of_products"] > 0
