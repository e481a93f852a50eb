"""The shipped library model, alone, in ngspice."""

from math import pi, tanh

import numpy as np
import pytest

from solvers.ngspice_process import run_deck
from spu_circuit.hardware import load_hardware

# The shipped model, alone, in ngspice. Its numbers: 200k, 3 MHz, 13 V/µs, 3 mV, 125 Ω, 26 mA, ±13.5 V, 18 nV/√Hz.


def shipped(lines, analysis, outputs):
    """A test bench of the shipped model with ±15 V; returns the last plot."""
    text = load_hardware("vendor").amplifier.library_text
    bench = ["test bench", text, "Vp p 0 15", "Vn n 0 -15", *lines, f".save {outputs}", f".print tran {outputs}"]
    return run_deck("\n".join([*bench, ".options temp=27 tnom=27 reltol=1e-6", analysis, ".end", ""]), 60.0)[-1]


@pytest.mark.parametrize("signal", [-10e-6, 10e-6])
def test_shipped_model_has_its_dc_gain_and_offset(signal):
    """Output = A₀ (V_os + v), of 20 mV differential at most: tanh of the input pair bends by 1e-9, ngspice by 1e-6."""
    plot = shipped([f"Va a 0 {signal - 3e-3!r}", "Xa a 0 p n o opamp"], ".op", "v(o)")
    assert plot["v(o)"][0] == pytest.approx(200e3 * signal, rel=1e-4)


def test_shipped_model_follows_a_small_step_at_its_gain_bandwidth():
    """A follower is one pole at GBW: 10 mV (1 − e^{−2π GBW t}); tanh bends 10 mV of 0.69 V by 1e-4."""
    lines = ["Va a 0 pwl(0 0 1e-12 0.01)", "Xa a o p n o opamp", "Ro o 0 1e9"]
    plot = shipped(lines, ".tran 1e-9 3e-7 0 1e-9", "v(o)")
    step = 0.01 * (1 - np.exp(-2 * pi * 3e6 * plot["time"]))
    assert np.abs(plot["v(o)"] - plot["v(o)"][0] - step).max() < 0.01 * 1e-3


def test_shipped_model_slews_at_its_rate():
    """While 10 V are far from reached the input pair gives all its current: tanh(5 V / 0.69 V) is 1 to 1e-6."""
    lines = ["Va a 0 pwl(0 -5 1e-9 5)", "Xa a o p n o opamp"]
    plot = shipped(lines, ".tran 1e-9 1e-6 0 2e-9", "v(o)")
    middle = (plot["v(o)"] > -4) & (plot["v(o)"] < 0)
    slope = np.polyfit(plot["time"][middle], plot["v(o)"][middle], 1)[0]
    assert slope == pytest.approx(13e6, rel=1e-4)


@pytest.mark.parametrize("sign", [-1, 1])
def test_shipped_model_stops_at_its_headroom(sign):
    """15 V − 1.5 V, and the 39 mV at which the clamp of 10 mS takes the whole tail current of 390 µA."""
    plot = shipped([f"Va a 0 {sign}", "Xa a 0 p n o opamp"], ".op", "v(o)")
    assert sign * plot["v(o)"][0] == pytest.approx(13.5 + 0.039 * tanh(1 / 0.69), abs=1e-3)


def test_shipped_model_limits_its_current_and_draws_it_from_one_supply():
    """Into 10 Ω: V = I_max R tanh((13.539 − V) / (125 Ω I_max)), 0.26 V; the other supply gives its 1.4 mA."""
    lines = ["Va a 0 1", "Xa a 0 p n o opamp", "Ro o 0 10"]
    plot = shipped(lines, ".op", "v(o) i(vp) i(vn)")
    volts = 0.0
    for _ in range(50):
        volts = 0.26 * tanh((13.5 + 0.039 * tanh(1 / 0.69) - volts) / (125 * 26e-3))
    assert plot["v(o)"][0] == pytest.approx(volts, rel=1e-4)
    assert -plot["i(vp)"][0] == pytest.approx(1.4e-3 + volts / 10, rel=1e-4)
    assert plot["i(vn)"][0] == pytest.approx(1.4e-3, rel=1e-4)


def test_shipped_model_has_its_input_noise():
    """A follower's output at 1 kHz; the gain error is 1e-5 and 19.55 kΩ are 18 nV/√Hz to 1e-3."""
    lines = ["Va a 0 DC 0 AC 1", "Xa a o p n o opamp", ".print noise onoise_spectrum"]
    text = load_hardware("vendor").amplifier.library_text
    deck = ["test bench", text, "Vp p 0 15", "Vn n 0 -15", *lines, ".noise v(o) Va dec 1 1e3 1e4", ".end", ""]
    assert run_deck("\n".join(deck), 60.0)[0]["onoise_spectrum"][0] == pytest.approx(18e-9, rel=1e-3)
