"""Lots at a corner, and every part at an end of its distribution."""

from itertools import product

import numpy as np
import pytest

from spu_circuit.sampling import Sampling, bounded, corners, varying
from spu_circuit.spread import RelativeSpread, TemperatureSpread, VoltageSpread
from spu_circuit.variation import RelativeVariation, Variation, VoltageVariation
from tests.spu_circuit.test_sampling import KELVIN, PARTS, ROWS, SIGMA, drawn


@pytest.mark.parametrize(("corner", "wanted"), [("low", 0.97), ("nominal", 1.0), ("high", 1.03)])
def test_a_lot_at_a_corner_is_that_of_every_copy(corner, wanted):
    pinned = RelativeVariation(lot=SIGMA, corner=corner)
    alone = Variation(capacitor=pinned)
    assert varying(alone) == ()
    np.testing.assert_allclose(drawn(alone, range(3)).relative.get("capacitor", np.ones(1)), wanted, rtol=1e-12)
    # Others are drawn as ever, in importance sampling too, whose weights know nothing of it.
    local = RelativeVariation(lot=SIGMA, local=SIGMA, corner=corner)
    free = RelativeVariation(local=SIGMA)
    found = drawn(Variation(capacitor=local), range(50)).relative["capacitor"]
    np.testing.assert_allclose(found, wanted * drawn(Variation(capacitor=free), range(50)).relative["capacitor"])
    assert (drawn(Variation(capacitor=local), range(50), Sampling(3, inflation=2.0)).weights == 1).all()
    # Extremes of what varies start from it.
    ends = corners(Variation(capacitor=local), KELVIN, PARTS, {"capacitor local": np.array([[1.0], [0.0]])})
    np.testing.assert_allclose(ends.relative["capacitor"][:, 0], [wanted * 1.03, wanted], rtol=1e-12)


def test_corners_put_lot_local_and_slope_at_their_ends():
    uniform = RelativeSpread(distribution="uniform", tolerance=0.1, meaning="limit")
    variation = Variation(
        capacitor=RelativeVariation(lot=SIGMA, local=uniform, gradient=uniform, temperature_coefficient=1e-3),
        temperature=TemperatureSpread(distribution="uniform", tolerance=10, meaning="limit"),
        amplifier_offset=VoltageVariation(
            local=VoltageSpread(distribution="truncated", tolerance=1, meaning="sigma", limit=2)
        ),
    )
    parts = PARTS | {"amplifier_offset": ROWS}
    names = {
        "temperature": 1,
        "capacitor lot": 1,
        "capacitor gradient": 2,
        "capacitor local": 3,
        "amplifier_offset local": 12,
    }
    assert bounded(variation, parts) == names
    signs = np.array(list(product((-1.0, 0.0, 1.0), repeat=3)))
    ends = {"temperature": signs[:, :1], "capacitor lot": signs[:, 1:2], "capacitor local": signs[:, [2, 2, 0]]}
    ends["capacitor gradient"] = np.tile([[0.0, 1.0]], (27, 1))
    ends["amplifier_offset local"] = signs[:, 2:]
    found = corners(variation, KELVIN, parts, ends)
    wanted = (1 + 0.03 * signs[:, 1:2]) * (1 + 0.1 * signs[:, [2, 2, 0]]) * (1 + 1e-3 * 10 * signs[:, :1])
    np.testing.assert_allclose(found.relative["capacitor"], wanted * (1 + 0.1 * PARTS["capacitor"].y), rtol=1e-14)
    assert np.array_equal(found.absolute["amplifier_offset"], np.broadcast_to(2 * signs[:, 2:], (27, 12)))
    assert np.array_equal(found.relative["array_resistor"], np.ones((27, 12)))


@pytest.mark.parametrize("reference", [240.0, 360.0])
def test_corners_of_coefficients_are_up_whether_it_is_hot_or_cold(reference):
    """Where each + makes a part larger, so that the corners are the bounds."""
    drift = {"mean": "50 ppm/K", "spread": "100 ppm/K", "tracking": "20 ppm/K", "meaning": "limit"}
    capacitor = RelativeVariation(lot=SIGMA, temperature_coefficient=drift)
    variation = Variation(capacitor=capacitor, reference_temperature=reference)
    names = ["capacitor lot", "capacitor temperature coefficient", "capacitor temperature coefficient local"]
    assert sorted(bounded(variation, PARTS)) == sorted(names)
    found = corners(variation, KELVIN, PARTS, {name: np.array([[1.0], [-1.0]]) for name in names})
    rise = KELVIN - reference
    wanted = [(1 + 0.03 * sign) * (1 + 50e-6 * rise + sign * 100e-6 * abs(rise)) for sign in (1, -1)]
    np.testing.assert_allclose(found.relative["capacitor"][:, 0], wanted, rtol=1e-12)
    within = drawn(variation).relative["capacitor"] / (1 + 0.01 * 9)  # lots are normal: nine sigma aside
    assert within.max() < wanted[0]
