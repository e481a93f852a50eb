"""The passive array: differential cells of capacitors, coupled by resistors alone."""

import numpy as np
from PySpice.Spice.Netlist import Circuit

from netlists.crossbar import crossbar
from netlists.netlist import Netlist
from netlists.noise import white_current
from spu_circuit.noise import johnson_current_density
from spu_circuit.passive import PassiveArray
from spu_circuit.program import Device

PARTS = {
    "array_resistor": (
        *(rf"R{kind}(\d+)_(\d+)" for kind in ("pp", "qq", "pq", "qp")),
        *(rf"Rl{node}(\d+)" for node in "pq"),
    ),
    "input_resistor": (r"Rinp(\d+)", r"Rinq(\d+)"),
    "capacitor": (r"Cp(\d+)", r"Cq(\d+)"),
    "dac": (r"Vinp(\d+)", r"Vinq(\d+)"),
}
"""Names of the elements that are parts of a kind, with row and column."""


def passive(device: Device, noise_hold: float | None = None) -> Netlist:
    """The circuit of a programmed device.

    Nodes of cell i: ``p``i and ``q``i, whose difference is the unknown, and ``inp``i and ``inq``i, DAC outputs of
    opposite sign. Every resistor has a noise current of its own, since that of a coupling resistor reaches two cells.

    Args:
        noise_hold: seconds for which each value of the noise currents is held; None: no noise sources.
    """
    hardware, cell, array = device.hardware, device.hardware.cell, device.array
    assert isinstance(array, PassiveArray)
    circuit = Circuit("spu-circuit: passive array")
    ground = circuit.gnd
    injected = array.injected_noise_density(hardware)

    def resistor(name: str, first: str, second: str, resistance: float) -> None:
        circuit.R(name, first, second, resistance)
        if noise_hold and hardware.noise.thermal:
            density = johnson_current_density(1 / resistance, hardware.temperature)
            circuit.I(name, first, second, white_current(density, noise_hold))

    for i in range(device.cells):
        for node, sign in (("p", 1), ("q", -1)):
            volts, start = sign * float(device.dac_volts[i]), sign * float(device.initial_volts[i]) / 2
            stimulus = " AC 1" if (i, node) == (0, "p") else ""
            circuit.V(f"in{node}{i}", f"in{node}{i}", ground, f"DC {volts!r}{stimulus}")
            circuit.C(f"{node}{i}", f"{node}{i}", ground, cell.capacitance, initial_condition=start)
            resistor(f"in{node}{i}", f"in{node}{i}", f"{node}{i}", cell.input_resistance)
            if array.leak[i] > 0:
                resistor(f"l{node}{i}", f"{node}{i}", ground, 1 / float(array.leak[i]))
            if cell.leakage_resistance is not None:
                resistor(f"leak{node}{i}", f"{node}{i}", ground, cell.leakage_resistance)
            if noise_hold and injected:
                circuit.I(f"n{node}{i}", ground, f"{node}{i}", white_current(injected, noise_hold))

    # The wires of a cell's nodes run as rows and as columns; each pair of cells crosses once.
    wires = {node: [f"{node}{i}" for i in range(device.cells)] for node in ("p", "q")}
    kinds = (array.straight, "p", "p"), (array.straight, "q", "q"), (array.crossed, "p", "q"), (array.crossed, "q", "p")
    for conductances, row, column in kinds:
        once = np.tril(conductances, -1)
        crossbar(resistor, row + column, once, wires[column], wires[row], hardware.array.wire_resistance)

    notes = (
        f"{device.cells} cells, hardware {hardware.name}: {hardware.description}",
        f"unknown i = scale_i (V(p<i>) - V(q<i>)) / v_u, v_u = {device.volts_per_unit!r} V per unit",
        f"scales: {' '.join(map(repr, array.scaling.tolist()))}",
        f"matrix entry = conductance / g_u, g_u = {array.siemens_per_unit!r} S per unit; resistors in ohms",
        f"one unit of dimensionless time = {device.time_constant!r} s",
    )
    outputs = tuple((f"p{i}", f"q{i}") for i in range(device.cells))
    nodes = [node for pair in outputs for node in pair]
    noise_currents = tuple((node, injected) for node in nodes) if injected else ()
    return Netlist(circuit, outputs, "Vinp0", notes, noise_currents)
