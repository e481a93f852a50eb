"""Published macromodels, which the tester fetches: whether they are read, and measure as their data sheets say."""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from experiments.amplifier.bench import Bench
from experiments.amplifier.limits import limits
from experiments.amplifier.measure import QUANTITIES
from experiments.shared.systems import spd_system
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.ngspice_process import NgspiceTimeoutError
from solvers.pins import check
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.amplifiers.fields import Role
from spu_circuit.errors import SpuError
from spu_circuit.hardware import Noise, load_hardware
from tests.amplifiers.styles import facts_of_all
from tests.cases import relative

VARIABLE = "SPU_PUBLISHED_AMPLIFIERS"
"""Of the environment: the folder in which the files are."""
PUBLISHED: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "published.toml").read_text())
FACTS = facts_of_all()
USUAL: tuple[Role, ...] = ("plus", "minus", "positive_supply", "negative_supply", "output")
WITHIN = {"gain": ("dc_gain", 10.0), "bandwidth": ("gain_bandwidth", 2.5), "slew": ("slew_up", 2.5)}
"""Figure of the facts → quantity of the report, and the factor that a model may be off: gains are at other loads,
gain-bandwidth products at other gains, and slew rates at other steps than those of the data sheet."""
LONGEST = 40.0
"""s, for a board in ngspice."""


def fact(name: str, key: str) -> Any:
    own = PUBLISHED[name]
    return own[key] if "source" in own and key in own else getattr(FACTS.get(name), key, None)


def test_at_least_thirty_published_models_are_named_with_their_figures():
    assert len(PUBLISHED) >= 30
    for name, own in PUBLISHED.items():
        assert set(own) >= {"file", "subcircuit"}
        assert set(USUAL) <= set(own.get("pins", USUAL))
        missing = [key for key in ("source", "supply", *WITHIN) if not fact(name, key)]
        assert not missing or (missing == [*WITHIN] and "current-feedback" in fact(name, "source")), name


def part_of(name: str) -> Amplifier:
    folder, own = os.environ.get(VARIABLE), PUBLISHED[name]
    if not folder:
        pytest.skip(f"{VARIABLE} names no folder of fetched files; see published.toml")
    path = Path(folder) / own["file"]
    if not path.is_file():
        pytest.skip(f"{own['file']} is not among the fetched files")
    return Amplifier(
        model="subckt",
        library=str(path),
        subcircuit=own["subcircuit"],
        pins=own.get("pins", USUAL),
        supply=fact(name, "supply"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_follows_and_measures_as_its_data_sheet_says(name):
    part = part_of(name)
    assert check(part).follows
    bench = Bench(part)
    for key, (quantity, within) in WITHIN.items():
        if (expected := fact(name, key)) is not None:
            measured = QUANTITIES[quantity].measure(bench)
            assert measured is not None
            assert expected / within < measured < expected * within, quantity


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_boards_of_a_published_model_rest_in_network_as_in_ngspice(name):
    """To 1e-6, which is ngspice's own tolerance; or they are refused for what stands in published.toml."""
    bench, system = load_hardware("bench"), spd_system(2, 8)
    adc, quiet = bench.adc.model_copy(update={"bits": None}), Noise(thermal=False)
    hardware = bench.model_copy(update={"amplifier": limits(Bench(part_of(name))), "adc": adc, "noise": quiet})
    if (refused := PUBLISHED[name].get("refused")) is not None:
        with pytest.raises(SpuError, match=refused):
            Spu(hardware, Network()).solve(system)
        return
    found = Spu(hardware, Network()).solve(system).value
    try:
        expected = Spu(hardware, Ngspice(timeout=LONGEST, reltol=1e-6)).solve(system).value
    except NgspiceTimeoutError:
        pytest.skip(f"ngspice takes longer than {LONGEST:g} s")
    assert relative(found, expected) < 1e-6
