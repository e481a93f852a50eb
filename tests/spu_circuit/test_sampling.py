import numpy as np
import pytest
from scipy import stats

from experiments.shared.systems import dominant_system, spd_system
from netlists.board import Board
from solvers.ideal import IdealLaw
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import changed_hardware, load_hardware
from spu_circuit.problem import LinearSystem
from spu_circuit.sampling import Parts, Sample, Sampling, draw, varying
from spu_circuit.spread import CodeSpread, Matching, RelativeSpread, TemperatureSpread, VoltageSpread
from spu_circuit.variation import ArrayVariation, CodeVariation, RelativeVariation, Variation, VoltageVariation

KELVIN = 300.0
ALARM = 1e-4
"""False-alarm rate of each test of a distribution."""
SIGMA = RelativeSpread(tolerance=0.01, meaning="sigma")
ROWS = Parts(np.arange(12), np.tile(np.linspace(-0.5, 0.5, 4), 3), np.repeat(np.linspace(-0.5, 0.5, 3), 4))
PARTS = {"array_resistor": ROWS, "capacitor": Parts(np.arange(3), np.full(3, -0.5), np.linspace(-0.5, 0.5, 3))}


def drawn(variation, samples=range(2000), sampling=Sampling(7), parts=PARTS):  # noqa: B008  (frozen)
    return draw(variation, KELVIN, parts, samples, sampling)


def test_local_deviations_follow_their_distribution_and_are_independent():
    laws = [
        (SIGMA, stats.norm(0, 0.01)),
        (RelativeSpread(tolerance=0.03, meaning="3 sigma"), stats.norm(0, 0.01)),
        (RelativeSpread(distribution="uniform", tolerance=0.05, meaning="limit"), stats.uniform(-0.05, 0.1)),
        (RelativeSpread(distribution="lognormal", tolerance=0.5, meaning="sigma"), stats.lognorm(0.5, loc=-1)),
        (
            RelativeSpread(distribution="truncated", tolerance=0.02, meaning="sigma", limit=0.03),
            stats.truncnorm(-1.5, 1.5, scale=0.02),
        ),
    ]
    for spread, law in laws:
        found = drawn(Variation(capacitor=RelativeVariation(local=spread))).relative["capacitor"] - 1
        assert stats.kstest(found.ravel(), law.cdf).pvalue > ALARM
    # Correlation of independent numbers has standard error 1/√2000 = 0.022; 4.5 of them, six pairs: 4e-5.
    scores = drawn(Variation(array_resistor=ArrayVariation(local=SIGMA))).relative["array_resistor"][:, :4]
    assert np.abs(np.corrcoef(scores.T) - np.eye(4)).max() < 0.1


def test_matching_gives_the_mismatch_of_its_area():
    matching = Matching(coefficient=1e-8, area=25e-12)
    found = drawn(Variation(capacitor=RelativeVariation(matching=matching))).relative["capacitor"] - 1
    assert stats.kstest(found.ravel(), stats.norm(0, 0.002).cdf).pvalue > ALARM


def test_a_lot_is_common_to_a_kind_and_a_gradient_is_a_plane():
    slope = RelativeSpread(distribution="uniform", tolerance=0.02, meaning="limit")
    lot = drawn(Variation(array_resistor=ArrayVariation(lot=SIGMA))).relative["array_resistor"] - 1
    assert not np.ptp(lot, axis=1).any()
    assert stats.kstest(lot[:, 0], stats.norm(0, 0.01).cdf).pvalue > ALARM
    tilted = drawn(Variation(array_resistor=ArrayVariation(gradient=slope))).relative["array_resistor"] - 1
    across, down = tilted[:, 3] - tilted[:, 0], tilted[:, 8] - tilted[:, 0]
    for edge in (across, down):
        assert stats.kstest(edge, stats.uniform(-0.02, 0.04).cdf).pvalue > ALARM
    plane = across[:, None] * ROWS.x + down[:, None] * ROWS.y
    np.testing.assert_allclose(tilted, plane, atol=1e-15)


def test_temperature_moves_parts_by_their_coefficient_and_ageing_all_alike():
    hot = TemperatureSpread(distribution="uniform", tolerance=20, meaning="limit")
    aged = RelativeVariation(temperature_coefficient=1e-4, ageing=0.02)
    found = drawn(Variation(capacitor=aged, temperature=hot, reference_temperature=290.0, hours=9))
    assert stats.kstest(found.temperature, stats.uniform(280, 40).cdf).pvalue > ALARM
    wanted = 1.02 * (1 + 1e-4 * (found.temperature[:, None] - 290)) * np.ones(3)
    np.testing.assert_allclose(found.relative["capacitor"], wanted, rtol=1e-14)


ROOM = TemperatureSpread(distribution="uniform", tolerance=20, meaning="limit")


def coefficients(drift, kind="array_resistor", of_kind=ArrayVariation):
    """Of every part of every sample, by what temperature makes of it."""
    found = drawn(Variation(**{kind: of_kind(temperature_coefficient=drift)}, temperature=ROOM), parts={kind: ROWS})
    rise = found.temperature[:, None] - KELVIN
    off = found.relative[kind] - 1 if kind in found.relative else found.absolute[kind]
    return (off / rise)[np.abs(rise[:, 0]) > 0.1]  # near none, rounding is all there is


def test_coefficients_that_are_limits_spread_from_part_to_part():
    found = coefficients({"mean": "20 ppm/K", "spread": "100 ppm/K", "meaning": "limit"})
    assert stats.kstest(found.ravel(), stats.uniform(-80e-6, 200e-6).cdf).pvalue > ALARM
    assert np.abs(np.corrcoef(found[:, :4].T) - np.eye(4)).max() < 0.1  # standard error 0.022


def test_parts_that_track_share_the_rest_of_their_spread():
    found = coefficients({"spread": "50 ppm/K", "tracking": "5 ppm/K", "meaning": "limit"})
    together = found.mean(axis=1)
    assert np.ptp(found, axis=1).max() <= 10e-6 + 1e-12
    assert (
        stats.kstest(found[:, 0], (np.random.default_rng(0).uniform(-1, 1, (2, 10**5)).T @ [45e-6, 5e-6])).pvalue
        > ALARM
    )
    assert np.abs(found).max() < 50e-6 + 1e-12
    normal = coefficients({"spread": "50 ppm/K", "tracking": "30 ppm/K", "meaning": "sigma"})
    # σ² = 30² of each part, 40² of all: standard errors of 2,000 · 12 and 2,000 numbers, 4 of them.
    assert normal.var(axis=1, ddof=1).mean() == pytest.approx((30e-6) ** 2, rel=4 * np.sqrt(2 / 2000 / 11))
    assert normal.mean(axis=1).var() == pytest.approx((40e-6) ** 2 + (30e-6) ** 2 / 12, rel=4 * np.sqrt(2 / 2000))
    assert together.std() > 20e-6
    same = coefficients({"spread": "50 ppm/K", "tracking": "0 ppm/K", "meaning": "sigma"})
    assert np.ptp(same, axis=1).max() < 1e-12


def test_offsets_drift_by_volts_per_kelvin():
    found = coefficients({"spread": "5 µV/K", "meaning": "sigma"}, "amplifier_offset", VoltageVariation)
    assert stats.kstest(found.ravel(), stats.norm(0, 5e-6).cdf).pvalue > ALARM


def test_a_coefficient_alone_is_that_of_all_parts():
    found = RelativeVariation(temperature_coefficient="50 ppm/K").temperature_coefficient
    assert (found.mean, found.own, found.common) == (pytest.approx(50e-6), None, None)
    assert np.ptp(coefficients("50 ppm/K")) < 1e-12


@pytest.mark.parametrize(
    ("drift", "said"),
    [
        ({"spread": "5 ppm/K"}, "spread and meaning belong together; give meaning = 'limit'"),
        ({"meaning": "sigma"}, "give a spread, or leave it out"),
        ({"spread": "5 ppm/K", "meaning": "limit", "tracking": "6 ppm/K"}, "tracking is above spread"),
        ({"spread": "-5 ppm/K", "meaning": "limit"}, "spread is -5e-06; it must be 0 or more"),
        ({"spread": "5 µV/K", "meaning": "limit"}, "write it like '1 ppm/K'"),
    ],
)
def test_coefficients_that_contradict_themselves_are_refused(drift, said):
    with pytest.raises(ValueError, match=said):
        RelativeVariation(temperature_coefficient=drift)


def test_a_temperature_that_leaves_nothing_of_a_part_is_named():
    steep = RelativeVariation(temperature_coefficient={"spread": "8 %/K", "meaning": "limit"})
    with pytest.raises(InputError, match=r"variation\.capacitor\.temperature_coefficient leaves -.* of a part at"):
        drawn(Variation(capacitor=steep, temperature=ROOM))


@pytest.mark.parametrize("inflation", [2.0, 4.0, 100.0])
def test_importance_never_draws_a_part_that_is_not_there(inflation):
    """The widest lots that there are, of which plain sampling would draw 7 σ; the weights still make the mean 1."""
    wide = RelativeVariation(lot=RelativeSpread(tolerance=1 / 7, meaning="sigma"))
    found = drawn(Variation(capacitor=wide), range(20000), Sampling(7, inflation=inflation))
    assert found.relative["capacitor"].min() > 1 - 6 / 7 - 1e-9
    error = found.weights.std() / np.sqrt(20000)
    assert found.weights.mean() == pytest.approx(1, abs=4 * error)
    lots = found.relative["capacitor"][:, 0] - 1
    moment = found.weights * lots**2
    assert moment.mean() == pytest.approx(1 / 49, abs=4 * moment.std() / np.sqrt(20000))


def test_contributions_multiply_and_absolute_ones_add():
    both = drawn(Variation(capacitor=RelativeVariation(lot=SIGMA, local=SIGMA))).relative["capacitor"]
    one = drawn(Variation(capacitor=RelativeVariation(lot=SIGMA))).relative["capacitor"]
    other = drawn(Variation(capacitor=RelativeVariation(local=SIGMA))).relative["capacitor"]
    np.testing.assert_allclose(both, one * other, rtol=1e-15)
    volts, codes = VoltageSpread(tolerance=1e-3, meaning="sigma"), CodeSpread(tolerance=2, meaning="sigma")
    parts = {"amplifier_offset": ROWS, "dac_inl": ROWS}
    variation = Variation(amplifier_offset=VoltageVariation(lot=volts, local=volts), dac_inl=CodeVariation(local=codes))
    found = drawn(variation, parts=parts).absolute
    offsets = found["amplifier_offset"]
    # Lot and local have 1 mV each. 2000 lots: their mean square has a standard error of 3.2 %; 4 of them: 6e-5.
    assert offsets.mean(axis=1).var() == pytest.approx(1e-6 * (1 + 1 / 12), rel=0.13)
    assert stats.kstest(found["dac_inl"].ravel(), stats.norm(0, 2).cdf).pvalue > ALARM


def test_stuck_resistors_have_their_probabilities_and_are_never_both():
    found = drawn(Variation(array_resistor=ArrayVariation(stuck_open=0.02, stuck_closed=0.01)))
    assert not (found.open & found.closed).any()
    for which, probability in ((found.open, 0.02), (found.closed, 0.01)):
        assert stats.binomtest(int(which.sum()), which.size, probability).pvalue > ALARM


@pytest.mark.parametrize("wanted", [0.8, -1.0])
def test_lots_are_correlated_as_said(wanted):
    of_kind = RelativeVariation(lot=SIGMA)
    variation = Variation(
        capacitor=of_kind, array_resistor=ArrayVariation(lot=SIGMA), correlation={"capacitor array_resistor": wanted}
    )
    found = drawn(variation).relative
    lots = [found[kind][:, 0] - 1 for kind in ("capacitor", "array_resistor")]
    # Standard error (1 − ρ²)/√2000 = 0.008; 4 of them: 6e-5. At ρ = −1 it is rounding.
    assert np.corrcoef(lots)[0, 1] == pytest.approx(wanted, abs=0.032 if wanted > 0 else 1e-7)
    for lot in lots:
        assert stats.kstest(lot, stats.norm(0, 0.01).cdf).pvalue > ALARM


@pytest.mark.parametrize("design", ["plain", "lhs", "sobol"])
def test_a_number_depends_on_seed_sample_and_part_alone(design):
    variation = Variation(
        array_resistor=ArrayVariation(local=SIGMA, gradient=SIGMA, stuck_open=0.3),
        capacitor=RelativeVariation(lot=SIGMA),
        temperature=TemperatureSpread(tolerance=5, meaning="sigma"),
    )
    sampling = Sampling(3, design, 64)
    whole = drawn(variation, range(64), sampling)
    for some in (range(48, 64), range(0, 1), range(7, 31)):
        part = drawn(variation, some, sampling)
        for name in ("array_resistor", "capacitor"):
            assert np.array_equal(part.relative[name], whole.relative[name][some.start : some.stop])
        assert np.array_equal(part.open, whole.open[some.start : some.stop])
        assert np.array_equal(part.temperature, whole.temperature[some.start : some.stop])
    assert not np.array_equal(drawn(variation, range(64), Sampling(4, design, 64)).temperature, whole.temperature)
    if design != "sobol":
        # Fewer parts, in another order: those that stay keep their numbers.
        few = Parts(ROWS.slots[[5, 2]], ROWS.x[[5, 2]], ROWS.y[[5, 2]])
        fewer = drawn(variation, range(64), sampling, {"array_resistor": few}).relative["array_resistor"]
        assert np.array_equal(fewer, whole.relative["array_resistor"][:, [5, 2]])


def test_a_latin_hypercube_has_one_sample_in_each_stratum():
    uniform = RelativeSpread(distribution="uniform", tolerance=0.5, meaning="limit")
    variation = Variation(capacitor=RelativeVariation(local=uniform, lot=SIGMA))
    whole = drawn(
        variation.model_copy(update={"capacitor": RelativeVariation(local=uniform)}),
        range(100),
        Sampling(1, "lhs", 100),
    )
    strata = np.floor(100 * whole.relative["capacitor"] - 50).astype(int)
    assert (np.sort(strata, axis=0) == np.arange(100)[:, None]).all()
    assert (strata[:, 0] != strata[:, 1]).any()


def test_sobol_points_fill_evenly_and_never_reach_an_end():
    uniform = RelativeSpread(distribution="uniform", tolerance=0.5, meaning="limit")
    found = drawn(Variation(capacitor=RelativeVariation(local=uniform)), range(256), Sampling(5, "sobol"))
    strata = np.floor(256 * (found.relative["capacitor"] - 0.5)).astype(int)
    assert (np.sort(strata, axis=0) == np.arange(256)[:, None]).all()
    # Pairs of dimensions are (0, m, 2)-nets: 16 × 16 boxes with one point each; 8 × 8 hold in any dimension pair here.
    boxes = np.floor(8 * (found.relative["capacitor"][:, :2] - 0.5)).astype(int) @ [8, 1]
    assert (np.bincount(boxes, minlength=64) == 4).all()


def test_a_sobol_sequence_of_too_many_parts_names_the_way_out():
    many = {"array_resistor": Parts(np.arange(21_202), np.zeros(21_202), np.zeros(21_202))}
    with pytest.raises(InputError, match="21201 parts, this board has places for 21202; take design = 'lhs'"):
        drawn(Variation(array_resistor=ArrayVariation(local=SIGMA)), range(2), Sampling(0, "sobol"), many)


def test_streams_redraw_one_kind_and_leave_the_others():
    variation = Variation(
        array_resistor=ArrayVariation(local=SIGMA), capacitor=RelativeVariation(lot=SIGMA, local=SIGMA)
    )
    a, b = (drawn(variation, range(9), Sampling(seed)).relative for seed in (1, 2))
    mixed = drawn(variation, range(9), Sampling(1, streams={"capacitor": 2})).relative
    assert np.array_equal(mixed["capacitor"], b["capacitor"])
    assert np.array_equal(mixed["array_resistor"], a["array_resistor"])


def board_of(hardware, system):
    return Board(hardware, Spu(hardware, IdealLaw()).ranged(system).circuit)


@pytest.mark.parametrize("preset", ["paper", "passive", "bench"])
def test_the_resistor_at_a_place_is_the_same_whichever_matrix_is_programmed(preset):
    hardware = changed_hardware(
        preset,
        {"variation": {"array_resistor": {k: {"tolerance": "1 %", "meaning": "sigma"} for k in ("local", "gradient")}}},
    )
    sparse = np.diag(np.full(6, 2.0))
    sparse[0, 1] = sparse[1, 0] = 0.5
    found = []
    for system in (dominant_system(6, 5), dominant_system(6, 5, 1), LinearSystem(sparse, np.ones(6))):
        board = board_of(hardware, system)
        samples = draw(hardware.variation, KELVIN, board.places, range(3), Sampling(0))
        values = samples.relative["array_resistor"].T.tolist()
        found.append(dict(zip(board.names("array_resistor"), values, strict=True)))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        common = found[one].keys() & found[other].keys()
        assert len(common) >= 6
        assert all(found[one][name] == found[other][name] for name in common)
    every = [tuple(values) for values in found[0].values()]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("wires", ["0 Ohm", "1 Ohm"])
def test_a_sample_is_the_same_board_whatever_was_solved_on_it_before_or_beside(wires):
    changes = {
        "array": {"wire_resistance": wires},
        "variation": {"array_resistor": {"local": {"tolerance": "5 %", "meaning": "sigma"}}},
    }
    hardware, sample = changed_hardware("paper", changes), Sample(Sampling(1), 3)
    first, system = spd_system(6, 5.0, 0), spd_system(6, 5.0, 1)
    alone = Spu(hardware, Network(), sample=sample).solve(system).value
    used = Spu(hardware, Network(), sample=sample)
    used.solve(first)
    # Codes of the ADC are equal where voltages are to rounding.
    assert np.array_equal(used.solve(system).value, alone)
    assert np.array_equal(used.solve_batch([first, system]).values[1], alone)
    assert np.array_equal(Spu(hardware, Ngspice(), sample=sample).solve(system).value, alone)
    nominal = Spu(hardware, Network()).solve(system).value
    assert np.linalg.norm(nominal - alone) > 0.01 * np.linalg.norm(alone)


def test_importance_weights_average_to_one_and_widen_what_is_shared():
    variation = Variation(
        capacitor=RelativeVariation(lot=SIGMA, local=SIGMA), temperature=TemperatureSpread(tolerance=5, meaning="sigma")
    )
    found = drawn(variation, range(4000), Sampling(2, inflation=2.0))
    assert stats.kstest(found.temperature, stats.norm(KELVIN, 10).cdf).pvalue > ALARM
    assert found.weights.max() <= 4
    # E[w²] of one number is inflation² / √(2 inflation² − 1) = 1.512, of two 2.286: standard error √(1.286/4000).
    assert found.weights.mean() == pytest.approx(1, abs=4 * 0.018)
    # Weighted, the temperature has its own σ again; the standard error of that is 2 % or less.
    power = found.weights @ (found.temperature - KELVIN) ** 2 / 4000
    assert power == pytest.approx(25, rel=0.1)


def test_widened_scores_end_at_six_sigma():
    # Three times as wide, one score in 22 would be beyond.
    found = drawn(Variation(capacitor=RelativeVariation(lot=SIGMA)), range(4000), Sampling(2, inflation=3.0))
    assert found.relative["capacitor"].max() == pytest.approx(1.06, abs=1e-3)


def test_nothing_varies_by_default():
    assert varying(Variation()) == ()
    assert varying(load_hardware("bench").variation) == ()


def test_correlated_lots_stay_finite_however_wide_they_are_drawn():
    wide = RelativeVariation(lot=RelativeSpread(tolerance=1 / 7, meaning="sigma"))
    names = ("capacitor", "input_resistor", "inverter_resistor")
    tied = {f"{a} {b}": 0.9 for a, b in (names[:2], names[1:], names[::2])}
    parts = dict.fromkeys(names, ROWS)
    variation = Variation(**dict.fromkeys(names, wide), correlation=tied)
    found = drawn(variation, range(5000), Sampling(7, inflation=3.0), parts)
    for name in names:
        assert 1 - 6 / 7 - 1e-9 < found.relative[name].min() <= found.relative[name].max() < 1 + 6 / 7 + 1e-9


def test_a_kind_without_parts_has_no_values():
    nobody = {"capacitor": Parts(np.zeros(0, int), np.zeros(0), np.zeros(0))}
    found = drawn(Variation(capacitor=RelativeVariation(lot=SIGMA)), range(3), parts=nobody)
    assert found.relative["capacitor"].shape == (3, 0)


def test_a_spread_that_no_temperature_shows_is_none():
    drift = {"spread": "100 ppm/K", "meaning": "limit"}
    still = Variation(capacitor=RelativeVariation(temperature_coefficient=drift))
    assert varying(still) == ()
    assert (drawn(still, range(3)).relative["capacitor"] == 1).all()
    assert varying(still.model_copy(update={"temperature": ROOM})) == ("capacitor", "temperature")


def test_places_of_a_board_are_known_before_it_is_full():
    hardware = changed_hardware(
        "paper", {"variation": {"capacitor": {"lot": {"tolerance": "1 %", "meaning": "sigma"}}}}
    )
    board = board_of(hardware, spd_system(4, 3.0))
    assert board.places["capacitor"].slots.tolist() == [0, 1, 2, 3]
    assert board.places["capacitor"].y.tolist() == pytest.approx([-0.5, -1 / 6, 1 / 6, 0.5])
    assert sorted(set(board.places["array_resistor"].x)) == pytest.approx([-0.5, -1 / 6, 1 / 6, 0.5])
