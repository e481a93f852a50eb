"""What pictures of a sweep are of, and what is said first of many groups."""

import tomllib

import pytest

from experiments.sweeps.figures import distribution, tornado
from experiments.sweeps.figures.axes import MOST_LINES
from experiments.sweeps.findings import Findings, line_of
from experiments.sweeps.group import CASE, Group
from experiments.sweeps.rows import Row
from experiments.sweeps.sentences import answer
from experiments.sweeps.study import study_of

CONFIG = """
name = "lines"
[hardware]
base = "bench"
[hardware.variation.array_resistor]
local = { tolerance = "1 %", meaning = "sigma" }
[workload]
kind = "random"
size = 2
[analysis]
kind = "monte carlo"
samples = 2
[limits]
relative_error = { max = "1 %" }
[grid]
"""
TOLERANCE = "hardware.variation.array_resistor.local.tolerance"
KINDS = ("input_resistor", "inverter_resistor", "capacitor", "amplifier_gain", "amplifier_bandwidth", "dac_gain")


def found_of(text, error):
    """Findings of copies of which one has no error and the others this one, and fail where it is above 1 %."""
    document = tomllib.loads(text)
    made = study_of(document, document.pop("grid"), "test")
    groups = []
    for key, sweep, copies in made.sets():
        traits = {name: str(value) for name, value in made.settings[key[0]].items()}
        if copies.only:
            traits[CASE] = key[1]
        errors = [0.0, *[error(key, traits)] * (copies.samples - 1)]
        rows = tuple(Row(number, "ok", "", 1.0, (value,)) for number, value in enumerate(errors))
        groups.append(Group(key, traits, sweep, copies, rows))
    return Findings(made, tuple(groups), {})


@pytest.mark.parametrize("values", [4, 9])
def test_some_groups_differ_in_one_thing_alone(values):
    tolerances = [f"0.{k} %" for k in range(1, values + 1)]
    text = f'{CONFIG}"{TOLERANCE}" = {tolerances}\n"workload.size" = [2, 3, 4]\n'
    # Half of the copies are good at a size of 3, so that is the chosen point.
    found = found_of(text, lambda key, traits: 1.0 if traits["workload.size"] == "3" else 0.0)
    line, words = line_of(found, MOST_LINES)
    assert len(line) == min(values, MOST_LINES)
    assert {group.traits["workload.size"] for group in line} == {"3"}
    assert (line[0].traits[TOLERANCE], line[-1].traits[TOLERANCE]) == (tolerances[0], tolerances[-1])
    assert words == f" Shown: {'6 of 9, ' * (values == 9)}by {TOLERANCE} at workload.size = 3."
    assert distribution.caption(found).endswith(words)
    assert len(distribution.draw(found)[0].axes[0].lines) == len(line) + 1  # the limit


def test_of_few_groups_all_are_shown():
    found = found_of(f'{CONFIG}"workload.size" = [2, 3, 4]\n"seed" = [1, 2]\n', lambda key, traits: 0.0)
    assert line_of(found, MOST_LINES) == (list(found.shown), "")


def test_of_many_cases_the_worst_are_shown():
    more = "".join(
        f'[hardware.variation.{kind}]\nlocal = {{ tolerance = "1 %", meaning = "sigma" }}\n' for kind in KINDS
    )
    text = CONFIG.replace("[workload]", f"{more}[workload]").replace("monte carlo", "one at a time")
    found = found_of(text + '"workload.size" = [2]\n', lambda key, traits: 0.0 if key[1] == "capacitor" else 1.0)
    line, words = line_of(found, MOST_LINES)
    assert len(found.shown) == 1 + len(KINDS)
    assert {group.key[1] for group in line} == {"array_resistor", *KINDS} - {"capacitor"}
    assert words == " Shown: those 6 of 7 with the worst relative error, by case at workload.size = 2."


@pytest.mark.parametrize(
    ("good", "first"),
    [
        (
            ("0.1 %", "0.2 %"),
            "95 % of the copies surely keep all limits where TOLERANCE is 0.1 % or 0.2 %, at every SIZE.",
        ),
        ((), "At no TOLERANCE do 95 % of the copies surely keep all limits, at every SIZE; at 0 of 8 points they do."),
        (
            ("0.1 %", "0.2 %", "0.3 %", "0.4 %"),
            "Whatever the TOLERANCE, 95 % of the copies surely keep all limits, at every SIZE.",
        ),
    ],
)
def test_the_headline_of_a_grid_says_where_the_limits_are_kept(good, first):
    tolerances = ["0.1 %", "0.2 %", "0.3 %", "0.4 %"]
    text = f'{CONFIG}"{TOLERANCE}" = {tolerances}\n"workload.size" = [2, 3]\n'.replace("samples = 2", "samples = 100")
    found = found_of(text, lambda key, traits: 0.0 if traits[TOLERANCE] in good else 1.0)
    assert answer(found)[0] == first.replace("TOLERANCE", TOLERANCE).replace("SIZE", "workload.size")


def test_the_headline_of_kinds_that_vary_alone_has_the_floor_and_the_shares():
    more = "".join(
        f'[hardware.variation.{kind}]\nlocal = {{ tolerance = "1 %", meaning = "sigma" }}\n' for kind in KINDS
    )
    text = CONFIG.replace("[workload]", f"{more}[workload]").replace("monte carlo", "one at a time")
    errors = {"nominal": 0.5, "capacitor": 0.9, "dac_gain": 0.8}
    found = found_of(text + '"workload.size" = [2]\n', lambda key, traits: errors.get(key[1], 0.5))
    for group in found.every:  # what is nominal has one copy, and that an error of 50 %
        if group.key[1] == "nominal":
            object.__setattr__(group, "rows", (Row(0, "ok", "", 1.0, (0.5,)),))
        else:
            object.__setattr__(group, "rows", (Row(0, "ok", "", 1.0, (0.5,)), group.rows[1]))
    figure, _ = tornado.draw(found)
    assert [line.get_xdata()[0] for line in figure.axes[0].lines] == [0.5]
    # 0.4² and 0.3² of 0.25.
    assert answer(found)[0] == (
        "At workload size = 2: Without any spread relative error is 50 %. Of what spread does to it, each kind of part "
        "for itself, most comes from capacitor (64.0 %), then dac gain (36.0 %): where only capacitor varies, 90 % of "
        "the copies have 50 % to 90 %."
    )
