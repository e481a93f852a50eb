"""What pictures of a sweep are of."""

import tomllib

import pytest

from experiments.sweeps.figures import distribution
from experiments.sweeps.figures.axes import MOST_LINES
from experiments.sweeps.findings import Findings, line_of
from experiments.sweeps.group import CASE, Group
from experiments.sweeps.rows import Row
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
    """Findings of two copies in each group, of which one has this error and fails where that is above 1 %."""
    document = tomllib.loads(text)
    made = study_of(document, document.pop("grid"), "test")
    groups = []
    for key, sweep, copies in made.sets():
        traits = {name: str(value) for name, value in made.settings[key[0]].items()}
        if copies.only:
            traits[CASE] = key[1]
        rows = (Row(0, "ok", "", 1.0, (0.0,)), Row(1, "ok", "", 1.0, (error(key, traits),)))
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
    assert words == " Shown: 6 of 7, by case at workload.size = 2."
