"""Lines of noise sources at an amplifier's input.

Each is a resistor on a node of its own, whose Johnson voltage controls it. So every analysis that knows the noise of
resistors knows it; transients get the resistor's noise current.
"""

from spu_circuit.noise import BOLTZMANN, johnson_current_density, white_current

CARRIER = 4e-9
"""V/√Hz, of the node whose voltage makes a noise current: that of 1 kΩ."""


def resistance_of(density: float, temperature: float) -> float:
    """The resistance, Ω, whose Johnson voltage is ``density``, V/√Hz, at a temperature in K."""
    return density**2 / (4 * BOLTZMANN * temperature)


def noise_node(name: str, density: float, temperature: float, noise_hold: float | None) -> list[str]:
    """A node to ground with a noise voltage of ``density``, V/√Hz. See ``AmplifierModel.lines``."""
    resistance = resistance_of(density, temperature)
    lines = [f"R{name} {name} 0 {resistance!r}"]
    if noise_hold:
        current = white_current(johnson_current_density(1 / resistance, temperature), noise_hold)
        lines.append(f"I{name} 0 {name} {current}")
    return lines


def current_noise(density: float | None, temperature: float | None, noise_hold: float | None) -> list[str]:
    """Of ``density``, A/√Hz, into the inverting input; the other one is at ground, where its own makes no voltage."""
    if not density or not temperature:
        return []
    node = noise_node("current", CARRIER, temperature, noise_hold)
    return [*node, f"Gcurrent 0 minus current 0 {density / CARRIER!r}"]
