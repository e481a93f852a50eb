"""The factored array: summing amplifiers form ``u = −R_f G₁ V``, a second array brings it back to the integrators.

``C dV_i/dt = −Σ_k (G₂⁺_ik − G₂⁻_ik) u_k − G_λ,i V_i − V_DAC,i / R_in + I_n`` (arXiv 2405.13817); with a Hessian
one more stage of summing amplifiers stands between the two arrays.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySpice.Spice.Netlist import Circuit

from netlists.amplifier import NAME, define_amplifier
from netlists.crossbar import crossbar
from netlists.netlist import Netlist
from netlists.noise import white_current
from spu_circuit.factored import FactoredArray, SignedResistors
from spu_circuit.noise import johnson_current_density
from spu_circuit.program import Device

Array = NDArray[np.float64]

PARTS = {
    "array_resistor": (
        *(rf"R{array}{sign}(\d+)_(\d+)" for array in ("s0", "s1", "b") for sign in "pm"),
        r"Rd(\d+)",
    ),
    "input_resistor": (r"Rin(\d+)",),
    "inverter_resistor": (r"Rh(\d+)", r"Rn(\d+)", *(rf"R{end}{s}_(\d+)" for s in (0, 1) for end in "hn")),
    "summing_resistor": (r"Rf0_(\d+)", r"Rf1_(\d+)"),
    "capacitor": (r"C(\d+)",),
    "amplifier": (r"Xv(\d+)", r"Xn(\d+)", *(rf"X{output}{s}_(\d+)" for s in (0, 1) for output in "un")),
    "dac": (r"Vin(\d+)",),
}
"""Names of the elements that are parts of a kind, with row and column."""


def factored(device: Device, noise_hold: float | None = None) -> Netlist:
    """The circuit of a programmed device.

    Nodes of cell i: ``in``i (DAC), ``g``i (virtual ground of the integrator), ``v``i (its output, the unknown), ``h``i
    and ``n``i (virtual ground and output of the inverting stage; only where a resistor uses it). Nodes of summing
    amplifier k of stage s, counted from 0: ``g``s``_``k, ``u``s``_``k, and ``h``s``_``k, ``n``s``_``k. Wires start at
    outputs and end in virtual grounds; see ``crossbar``.

    Args:
        noise_hold: seconds for which each value of the noise currents is held; None: no noise sources.
    """
    hardware, cell, array = device.hardware, device.hardware.cell, device.array
    assert isinstance(array, FactoredArray)
    circuit = Circuit("spu-circuit: factored array")
    define_amplifier(circuit, hardware, noise_hold)
    ground = circuit.gnd
    wire_resistance = hardware.array.wire_resistance
    noise_each = wire_resistance > 0 and hardware.noise.thermal
    inverter_noise = array.inverter_noise_density(hardware)

    def resistor(name: str, first: str, second: str, resistance: float) -> None:
        circuit.R(name, first, second, resistance)
        if noise_each and noise_hold:
            density = johnson_current_density(1 / resistance, hardware.temperature)
            circuit.I(name, first, second, white_current(density, noise_hold))

    def noise(node: str, density: float) -> None:
        if noise_hold and density > 0:
            circuit.I(node, ground, node, white_current(density, noise_hold))

    def inverters(
        suffixes: Sequence[str], outputs: Sequence[str], starts: list[float], driven: SignedResistors
    ) -> None:
        used = np.any(driven.inverted, axis=0).tolist()
        for suffix, output, start, wanted in zip(suffixes, outputs, starts, used, strict=True):
            if wanted:
                circuit.R(f"h{suffix}", output, f"h{suffix}", cell.inverter_resistance)
                circuit.R(f"n{suffix}", f"h{suffix}", f"n{suffix}", cell.inverter_resistance)
                circuit.X(f"n{suffix}", NAME, ground, f"h{suffix}", f"n{suffix}", start=-start)
                noise(f"h{suffix}", inverter_noise)

    def signed(
        name: str, resistors: SignedResistors, outputs: Sequence[str], inverses: Sequence[str], suffixes: Sequence[str]
    ) -> None:
        grounds = [f"g{suffix}" for suffix in suffixes]
        crossbar(resistor, f"{name}p", resistors.direct, outputs, grounds, wire_resistance)
        crossbar(resistor, f"{name}m", resistors.inverted, inverses, grounds, wire_resistance)

    def own_noise(density: Array, resistors: SignedResistors) -> list[float]:
        """Without the array's resistors where each has a noise current of its own: behind wires."""
        if noise_each:
            density = density - johnson_current_density(resistors.into_rows, hardware.temperature)
        return density.tolist()

    cells = [str(i) for i in range(device.cells)]
    outputs = [f"v{i}" for i in cells]
    dac_volts, initial_volts = device.dac_volts.tolist(), device.initial_volts.tolist()
    row_noise = own_noise(array.integrator_noise_density(hardware), array.backward)
    for i, output, volts, start, damping, density in zip(
        cells, outputs, dac_volts, initial_volts, array.damping.tolist(), row_noise, strict=True
    ):
        circuit.V(f"in{i}", f"in{i}", ground, f"DC {volts!r}" + (" AC 1" if i == "0" else ""))
        circuit.R(f"in{i}", f"in{i}", f"g{i}", cell.input_resistance)
        circuit.C(i, output, f"g{i}", cell.capacitance, initial_condition=start)
        circuit.X(output, NAME, ground, f"g{i}", output, start=start)
        circuit.R(f"d{i}", output, f"g{i}", 1 / damping)
        if cell.leakage_resistance is not None:
            circuit.R(f"leak{i}", output, f"g{i}", cell.leakage_resistance)
        noise(f"g{i}", density)
    inverters(cells, outputs, initial_volts, array.stages[0].resistors)

    rails = outputs, [f"n{i}" for i in cells]
    for s, (stage, driven, start_volts) in enumerate(
        zip(array.stages, array.driven, array.summed(device.initial_volts), strict=True)
    ):
        rows = [f"{s}_{k}" for k in range(len(start_volts))]
        sums, starts = [f"u{row}" for row in rows], start_volts.tolist()
        densities = own_noise(array.summing_noise_density(stage, hardware), stage.resistors)
        for row, output, start, density in zip(rows, sums, starts, densities, strict=True):
            circuit.R(f"f{row}", output, f"g{row}", stage.feedback)
            circuit.X(output, NAME, ground, f"g{row}", output, start=start)
            noise(f"g{row}", density)
        inverters(rows, sums, starts, driven)
        signed(f"s{s}", stage.resistors, *rails, rows)
        rails = sums, [f"n{row}" for row in rows]
    signed("b", array.backward, *rails, cells)

    kind = "H between B and its transpose" if len(array.stages) > 1 else "B and its transpose"
    notes = (
        f"{device.cells} cells, hardware {hardware.name}: {hardware.description}",
        f"unknown i = scale_i V(v<i>) / v_u, v_u = {device.volts_per_unit!r} V per unit",
        f"scales: {' '.join(map(repr, array.scaling.tolist()))}",
        f"{kind}: Rs<stage>p and m into summing amplifiers, Rbp and Rbm back into integrators, Rd the damping",
        f"{array.siemens_per_unit!r} S per unit of the matrix, at the integrators; resistors in ohms",
        f"one unit of dimensionless time = {device.time_constant!r} s",
    )
    injected = array.injected_noise_density(hardware)
    noise_currents = tuple((f"g{i}", injected) for i in cells) if injected else ()
    precharged = hardware.amplifier.model == "subckt"
    return Netlist(circuit, tuple(outputs), "Vin0", notes, noise_currents, precharged)
