"""Decision rules on made numbers: every answer and every verdict can be reached."""

from math import inf, nan

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from experiments.claims.rules import LEVEL, Condition, answers, holm, verdict

BELOW, AT, ABOVE = (0.1, 0.11, 0.09, 0.1), (0.9, 1.2, 0.7, 1.3), (3.0, 3.1, 2.9, 3.0)


def condition(values, wanted="below", bound=1.0, point="a", **more):
    return Condition("device", point, tuple(values), bound, wanted, **more)


@pytest.mark.parametrize(
    ("values", "wanted", "answer"),
    [
        (BELOW, "below", "holds"),
        (ABOVE, "below", "fails"),
        (AT, "below", "open"),
        (ABOVE, "above", "holds"),
        (BELOW, "above", "fails"),
        (AT, "above", "open"),
        (BELOW, "within", "holds"),
        (ABOVE, "within", "fails"),
        (tuple(-value for value in ABOVE), "within", "fails"),
        (AT, "within", "open"),
        ((0.5, nan), "below", "fails"),
        ((0.5, inf), "within", "fails"),
        ((0.5, 0.5), "below", "holds"),
        ((1.0, 1.0), "below", "open"),
        ((1.0, 1.0), "above", "open"),
    ],
)
def test_a_condition_is_answered(values, wanted, answer):
    assert answers([condition(values, wanted)]) == [answer]


def test_p_values_are_those_of_students_test():
    values = np.random.default_rng(0).normal(1.2, 0.5, 9)
    against, for_it = condition(values).p_values
    assert against == pytest.approx(ttest_1samp(values, 1.0, alternative="less").pvalue)
    assert for_it == pytest.approx(ttest_1samp(values, 1.0, alternative="greater").pvalue)
    low, high = ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert condition(values).interval == pytest.approx((values.mean(), low, high))


def test_logarithms_are_compared_where_asked():
    mean, low, high = condition((0.1, 10.0), logarithmic=True).interval
    assert mean == pytest.approx(1.0)
    assert low * high == pytest.approx(1.0)


def test_a_computed_number_has_no_interval():
    one = condition((0.5,), exact=True)
    assert one.interval == (0.5, 0.5, 0.5)
    assert answers([one]) == ["holds"]


def test_one_seed_is_no_mean():
    with pytest.raises(ValueError, match="two seeds or more"):
        condition((0.5,))


def test_holm_multiplies_the_smallest_by_how_many_there_are():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_several_conditions_are_held_to_more_than_one_alone():
    close = condition((0.2, 0.7, 0.4, 0.8))
    assert LEVEL / 10 < close.p_values[0] < LEVEL  # enough alone, not among ten
    assert answers([close]) == ["holds"]
    assert answers([close] * 10) == ["open"] * 10


def test_false_alarms_are_as_rare_as_is_said():
    # Ten conditions at their bound, 2,000 times: any "holds" in 2.5 % or less; four standard errors of 0.35 % above.
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(2000):
        alarms += "holds" in answers([condition(rng.normal(1.0, 1.0, 6)) for _ in range(10)])
    assert 0 < alarms / 2000 < LEVEL + 4 * 0.0035


@pytest.mark.parametrize(
    ("kinds", "kind"),
    [
        ((BELOW, BELOW), "confirmed"),
        ((ABOVE, ABOVE), "refuted"),
        ((BELOW, ABOVE), "holds under conditions"),
        ((BELOW, AT), "holds under conditions"),
        ((AT, ABOVE), "undecided"),
        ((AT, AT), "undecided"),
    ],
)
def test_every_verdict_can_be_reached(kinds, kind):
    found = verdict([condition(values, point=str(k)) for k, values in enumerate(kinds)])
    assert found.kind == kind
    assert bool(found.where) == (kind not in ("confirmed", "refuted"))


def test_conditions_are_named_and_a_whole_group_once():
    found = verdict(
        [
            Condition("paper", "1 τ", BELOW, 1.0, "below"),
            Condition("paper", "2 τ", BELOW, 1.0, "below"),
            Condition("rram", "1 τ", BELOW, 1.0, "below"),
            Condition("rram", "2 τ", ABOVE, 1.0, "below"),
        ]
    )
    assert found.where == "Holds: paper; rram (1 τ). Fails: rram (2 τ)"
    assert found.shares == "paper 2 of 2; rram 1 of 2"


def test_an_open_condition_says_how_many_seeds_would_decide():
    rng = np.random.default_rng(2)
    few = condition(rng.normal(0.8, 0.5, 6))
    assert answers([few]) == ["open"]
    assert "seeds would decide" in verdict([few]).where
    needed = round(few.seeds_needed())
    mean, error = np.mean(few.values), np.std(few.values, ddof=1)
    more = condition(mean + error * np.tile([-1.0, 1.0], needed))
    assert answers([more]) == ["holds"]
    assert "10,000 seeds would not decide" in verdict([condition((0.0, 2.0, 0.0, 2.0))]).where
