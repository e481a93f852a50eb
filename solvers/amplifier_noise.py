"""What a library's amplifier has of noise, as sources at its input: measured once by ngspice's small-signal analysis.

A two-port with noise is one without it, with a voltage ``e`` and a current ``i`` at its input (Rothe, Dahlke, Proc. IRE
44:811, 1956). Their densities are taken as ``w + c/f + h f²``: white noise, flicker noise below the corner c/w, and
what later stages add where the gain falls. The white level stands for them in all transients.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import inf, log, pi, sqrt

import numpy as np
import scipy
from numpy.typing import NDArray

from netlists.amplifier_bench import bench_deck, instance
from netlists.deck import Numerics
from solvers.ngspice_process import run_deck
from spu_circuit.amplifier import Amplifier
from spu_circuit.errors import SimulationError
from spu_circuit.hardware import Hardware
from spu_circuit.quantity import shown

Array = NDArray[np.float64]

BAND = (10.0, 1e6)
"""Hz, in which the densities are measured."""
LOWEST = BAND[0] / 10
"""Hz, of a corner: of lower ones the band shows nothing."""
POINTS = 10
"""Of a decade."""
HUGE = 1e9
"""Henries that close the loop at rest alone, farads that hold the minus input for signals."""
SILENT = (1e-11, 1e-16)
"""V/√Hz and A/√Hz, below which nobody notices noise: that of 6 mΩ in series, and of 1.7 TΩ beside the input."""
TINY = 1e-60
"""Densities that are taken as nothing."""
NOTICED = 0.05
"""Of the white noise's variance: more of other noise is told."""
TIMEOUT = 30.0
"""Seconds that ngspice has for one analysis; it takes 0.03."""

PROBES = (("v(o)", "inoise_spectrum"), ("v(h)", "onoise_spectrum"))
"""What shows the voltage and the current: the output over the gain, and what flows into the input that is held."""


@dataclass(frozen=True)
class Level:
    """The noise of one source at the input.

    Args:
        white: V/√Hz or A/√Hz.
        corner: Hz, below which flicker noise is larger.
        rise: Hz, above which the noise of later stages is.
    """

    white: float
    corner: float = 0.0
    rise: float = inf


@dataclass(frozen=True)
class AmplifierNoise:
    """The noise of an amplifier.

    Args:
        voltage: between its inputs.
        current: into its inverting input.
    """

    voltage: Level
    current: Level


@lru_cache(maxsize=256)
def noise_of(amplifier: Amplifier, kelvin: float) -> AmplifierNoise | str:
    """The noise of a library's amplifier, at rest at 0 V and without load; or why it is not known."""
    bare = amplifier.model_copy(update={"input_noise": None, "input_current_noise": None})
    try:
        levels = [_level(*_spectrum(bare, kelvin, *probe)) for probe in PROBES]
    except SimulationError as error:
        return str(error)
    return AmplifierNoise(
        *(level if level.white > least else Level(0.0) for level, least in zip(levels, SILENT, strict=True))
    )


def _spectrum(amplifier: Amplifier, kelvin: float, probe: str, vector: str) -> tuple[Array, Array]:
    """Frequencies, and root densities with both inputs held for signals."""
    lines = [
        "Vin p 0 DC 0 AC 1",
        "Vheld m held DC 0",
        instance("a", "p", "held", "o"),
        f"Lfb o m {HUGE!r}",
        f"Cfb m 0 {HUGE!r}",
        "Hheld h 0 Vheld 1",
        "Rheld h 0 1 noisy=0",
    ]
    analysis = f".noise {probe} Vin dec {POINTS} {BAND[0]!r} {BAND[1]!r}"
    plot = run_deck(bench_deck(amplifier, lines, analysis, [vector], Numerics(reltol=1e-6), kelvin), TIMEOUT)[0]
    return plot["frequency"], plot[vector]


def _level(frequencies: Array, roots: Array) -> Level:
    """White level and corners of ``S = w + c/f + h f²``, by least squares of relative errors, none of them negative."""
    densities = np.maximum(roots**2, TINY)
    terms = np.stack([np.ones_like(frequencies), 1 / frequencies, frequencies**2], axis=1) / densities[:, None]
    sizes = terms.max(axis=0)
    white, flicker, rising = scipy.optimize.nnls(terms / sizes, np.ones(len(roots)))[0] / sizes
    if not white:
        return Level(0.0)
    corner = float(flicker / white)
    return Level(sqrt(white), corner if corner > LOWEST else 0.0, sqrt(white / rising) if rising else inf)


def with_noise(hardware: Hardware) -> Hardware:
    """The hardware whose library's amplifier has the white noise of its model where the description gives none."""
    amplifier = hardware.amplifier
    given = {"input_noise": amplifier.input_noise, "input_current_noise": amplifier.input_current_noise}
    if amplifier.library_text is None or not hardware.noise.thermal or None not in given.values():
        return hardware
    found = noise_of(amplifier, hardware.temperature)
    if isinstance(found, str):
        return hardware
    measured = {"input_noise": found.voltage.white, "input_current_noise": found.current.white}
    update = {name: measured[name] if value is None else value for name, value in given.items()}
    return hardware.model_copy(update={"amplifier": amplifier.model_copy(update=update)})


def note_of(hardware: Hardware, seconds: float, time_constant: float) -> str:
    """What a user must know of the amplifiers' noise in a transient; "": nothing.

    That is white. What is left out has these shares of its variance in the band of a cell, to 1/2πτ: flicker noise from
    1/2πt on ``4 τ f_c ln(t/τ)``, and the noise of later stages ``1 / 3(2πτ f_r)²``.

    Args:
        hardware: see ``with_noise``.
        seconds: t.
        time_constant: τ, s.
    """
    amplifier = hardware.amplifier
    if amplifier.library_text is None or not hardware.noise.thermal:
        return ""
    found = noise_of(amplifier, hardware.temperature)
    if amplifier.input_noise is None:
        return f"the amplifier's noise is not known ({found}); give amplifier.input_noise by its data sheet"
    if isinstance(found, str) or amplifier.input_noise != found.voltage.white:
        return ""
    if not amplifier.input_noise:
        return "the amplifier's model has no noise; give amplifier.input_noise by its data sheet"
    corner, rise = found.voltage.corner, found.voltage.rise
    flicker = 4 * corner * time_constant * max(log(seconds / time_constant), 1.0)
    left_out = {
        f"its flicker noise (below {shown(corner, 'Hz')})": flicker,
        f"that of its later stages (above {shown(rise, 'Hz')})": 1 / (3 * (2 * pi * time_constant * rise) ** 2),
    }
    told = [f"{what}, about {shown(share, '%', 2)} of it" for what, share in left_out.items() if share >= NOTICED]
    return "the amplifier's noise is taken as white, without " + ", and ".join(told) if told else ""
