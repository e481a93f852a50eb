"""The active array: op-amp integrators whose outputs feed each other's virtual grounds through resistors.

Fig. 6 of arXiv 2405.13817, with an inverting stage per cell for entries of the other sign:
``C dV_i/dt = −Σ_j (G⁺_ij − G⁻_ij) V_j − V_DAC,i / R_in + I_n``.
"""

import numpy as np
from PySpice.Spice.Netlist import Circuit

from netlists.amplifier import NAME, define_amplifier
from netlists.crossbar import crossbar
from netlists.netlist import Netlist
from netlists.noise import white_current
from spu_circuit.active import ActiveArray
from spu_circuit.noise import johnson_current_density
from spu_circuit.program import Device

PARTS = {
    "array_resistor": (r"Rp(\d+)_(\d+)", r"Rm(\d+)_(\d+)"),
    "input_resistor": (r"Rin(\d+)",),
    "inverter_resistor": (r"Rh(\d+)", r"Rn(\d+)"),
    "capacitor": (r"C(\d+)",),
    "amplifier": (r"Xv(\d+)", r"Xn(\d+)"),
    "dac": (r"Vin(\d+)",),
}
"""Names of the elements that are parts of a kind, with row and column."""


def active(device: Device, noise_hold: float | None = None) -> Netlist:
    """The circuit of a programmed device.

    Nodes of cell i: ``in``i (DAC), ``g``i (virtual ground of the integrator), ``v``i (its output, the unknown), ``h``i
    and ``n``i (virtual ground and output of the inverting stage; only where a resistor uses it). Wires start at v, n
    and g; see ``crossbar``.

    Args:
        noise_hold: seconds for which each value of the noise currents is held; None: no noise sources.
    """
    hardware, cell, array = device.hardware, device.hardware.cell, device.array
    assert isinstance(array, ActiveArray)
    circuit = Circuit("spu-circuit: active array")
    define_amplifier(circuit, hardware, noise_hold)
    ground = circuit.gnd
    with_inverse = np.any(array.inverted, axis=0).tolist()
    dac_volts, initial_volts = device.dac_volts.tolist(), device.initial_volts.tolist()
    inverter_noise = array.inverter_noise_density(hardware)
    row_noise = array.integrator_noise_density(hardware)
    wire_resistance = hardware.array.wire_resistance
    noise_each = wire_resistance > 0 and hardware.noise.thermal
    if noise_each:
        # Behind wires the array's resistors do not end in the virtual ground: each has a noise current of its own.
        row_noise -= johnson_current_density((array.direct + array.inverted).sum(axis=1), hardware.temperature)

    def resistor(name: str, first: str, second: str, resistance: float) -> None:
        circuit.R(name, first, second, resistance)
        if noise_each and noise_hold:
            density = johnson_current_density(1 / resistance, hardware.temperature)
            circuit.I(name, first, second, white_current(density, noise_hold))

    for i in range(device.cells):
        start = initial_volts[i]
        circuit.V(f"in{i}", f"in{i}", ground, f"DC {dac_volts[i]!r}" + (" AC 1" if i == 0 else ""))
        circuit.R(f"in{i}", f"in{i}", f"g{i}", cell.input_resistance)
        circuit.C(f"{i}", f"v{i}", f"g{i}", cell.capacitance, initial_condition=start)
        circuit.X(f"v{i}", NAME, ground, f"g{i}", f"v{i}", start=start)
        if cell.leakage_resistance is not None:
            circuit.R(f"leak{i}", f"v{i}", f"g{i}", cell.leakage_resistance)
        if noise_hold and row_noise[i] > 0:
            circuit.I(f"g{i}", ground, f"g{i}", white_current(float(row_noise[i]), noise_hold))
        if with_inverse[i]:
            circuit.R(f"h{i}", f"v{i}", f"h{i}", cell.inverter_resistance)
            circuit.R(f"n{i}", f"h{i}", f"n{i}", cell.inverter_resistance)
            circuit.X(f"n{i}", NAME, ground, f"h{i}", f"n{i}", start=-start)
            if noise_hold and inverter_noise > 0:
                circuit.I(f"h{i}", ground, f"h{i}", white_current(inverter_noise, noise_hold))

    for name, rail, conductances in (("p", "v", array.direct), ("m", "n", array.inverted)):
        outputs_of = [f"{rail}{j}" for j in range(device.cells)]
        crossbar(resistor, name, conductances, outputs_of, [f"g{i}" for i in range(device.cells)], wire_resistance)

    notes = (
        f"{device.cells} cells, hardware {hardware.name}: {hardware.description}",
        f"unknown i = scale_i V(v<i>) / v_u, v_u = {device.volts_per_unit!r} V per unit",
        f"scales: {' '.join(map(repr, array.scaling.tolist()))}",
        f"matrix entry = (G_p - G_m) / g_u, g_u = {array.siemens_per_unit!r} S per unit; resistors in ohms",
        f"one unit of dimensionless time = {device.time_constant!r} s",
    )
    outputs = tuple(f"v{i}" for i in range(device.cells))
    injected = array.injected_noise_density(hardware)
    noise_currents = tuple((f"g{i}", injected) for i in range(device.cells)) if injected else ()
    return Netlist(circuit, outputs, "Vin0", notes, noise_currents, precharged=hardware.amplifier.model == "subckt")
