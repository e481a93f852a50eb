import os
import re
import subprocess
import sys
from math import inf

import numpy as np
import pytest

from experiments.shared.systems import spd_system
from netlists.deck import circuit_of, lines_of
from netlists.device import load, program_array
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.hardware import load_hardware, presets


@pytest.mark.parametrize("time", [2.0, inf])
@pytest.mark.parametrize("name", ["ideal", "paper", "bench", "rram"])
def test_exported_deck_runs_unchanged_in_plain_ngspice(tmp_path, name, time):
    """Same printed voltages as the solve; ngspice prints six digits."""
    spu, system = Spu(load_hardware(name), Ngspice(points=20)), spd_system(4, 3)
    (tmp_path / "deck.cir").write_text(spu.deck(system, time, seed=5))
    run = subprocess.run(["ngspice", "-b", "deck.cir"], cwd=tmp_path, capture_output=True, text=True, check=True)
    solution = spu.solve(system, time, seed=5)
    scale = solution.statistics.volts_per_unit
    names: list[str] = []
    printed: dict[str, float] = {}
    for words in map(str.split, run.stdout.splitlines()):
        if words[:1] == ["Index"]:
            names = words[1:]
        elif words and words[0].isdigit() and len(words) == len(names) + 1:
            printed.update(zip(names, map(float, words[1:]), strict=True))
    expected = solution.value * scale if solution.waveform is None else solution.waveform.volts[-1]
    lsb = load_hardware(name).adc.lsb if time == inf else 0
    for i in range(4):
        assert printed[f"v(v{i})"] == pytest.approx(expected[i], abs=lsb / 2 + 1e-9, rel=1e-5)


def test_header_names_hardware_scales_and_units():
    deck = Spu(load_hardware("bench"), Ngspice()).deck(spd_system(4, 3), 2.0)
    head = "\n".join(line for line in deck.splitlines() if line.startswith("*"))
    for word in ("hardware bench", "V per unit", "S per unit", "ohms", "dimensionless time"):
        assert word in head
    assert ".tran" in deck
    assert ".save v(v0) v(v1) v(v2) v(v3)" in deck


def test_no_value_has_a_unit_or_lost_digits():
    """Values are plain floats that read back exactly; ngspice would take a trailing letter for a scale factor."""
    hardware = load_hardware("bench")
    device = load(program_array(spd_system(4, 3), hardware), np.ones(4), hardware, 0.123456789012345)
    lines = lines_of(circuit_of(device.circuit, 1e-7))
    resistors = {line.split()[0]: float(line.split()[3]) for line in lines if re.match(r"R[pm]\d", line)}
    rows, columns = device.array.direct.nonzero()
    assert len(resistors) == len(rows) + np.count_nonzero(device.array.inverted)
    for i, j in zip(rows, columns, strict=True):
        assert resistors[f"Rp{i}_{j}"] == 1 / device.array.direct[i, j]


def test_fast_text_is_pyspices_own_text():
    for name in presets():
        hardware = load_hardware(name)
        device = load(program_array(spd_system(3, 3), hardware), np.ones(3), hardware, 0.1)
        circuit = circuit_of(device.circuit, 1e-7)
        lines = [line for line in str(circuit).splitlines()[1:] if line]
        # PySpice begins with the raw text, the deck with the subcircuits.
        raw = len(circuit.raw_spice.splitlines())
        assert lines_of(circuit) == lines[raw:] + lines[:raw]


def test_decks_are_ascii_and_run_whatever_the_locale(tmp_path):
    """Names and a library with letters outside ASCII, in a process that knows no others."""
    (tmp_path / "vendor.lib").write_text("* © µ\n.subckt amp p m out\n* Ω\nE1 out 0 p m 1e5 ; µ\nR1 p m 10kΩ\n.ends\n")
    script = f"""
import locale

from spu_circuit.amplifier import Amplifier
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import LinearSystem
from solvers.ngspice import Ngspice
from solvers.spu import Spu
assert locale.getpreferredencoding(False) == "ANSI_X3.4-1968"
pins = ("plus", "minus", "output")
amplifier = Amplifier(model="subckt", library={str(tmp_path / "vendor.lib")!r}, subcircuit="amp", pins=pins)
hardware = load_hardware("ideal").model_copy(update={{"amplifier": amplifier, "name": "\\u00b5 \\u4e2d"}})
spu, system = Spu(hardware, Ngspice()), LinearSystem([[2.0]], [1.0])
print(spu.deck(system).isascii(), abs(spu.solve(system).value[0] - 0.5) < 1e-3)
"""
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("True True\n", 0), done.stderr
