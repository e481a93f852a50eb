"""The ideal amplifier: a voltage-controlled voltage source, ``V_out = A₀ (V_plus − V_minus)``, A₀ = 1e15."""

from spu_circuit.amplifiers.fields import AmplifierFields
from spu_circuit.amplifiers.model import AmplifierModel

GAIN = 1e15
"""A settled array is off by about its condition number over this: 1e-9 at condition 1e6. ngspice needs a number."""


def _lines(amplifier: AmplifierFields, temperature: float | None, noise_hold: float | None) -> list[str]:
    return [f"Eout output 0 plus minus {{{GAIN!r}*gain}}"]


IDEAL = AmplifierModel((), _lines, varying=lambda amplifier: ("gain",), linear=lambda amplifier: True)
