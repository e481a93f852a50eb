"""The factored array: ``BᵀB + λI`` from the factor B alone, by summing amplifiers between two arrays of resistors.

Summing amplifiers form ``u = −R_f G₁ V`` of the cells' voltages, a second array brings ``G₂ u`` back to the virtual
grounds of the integrators, and one resistor per cell is the damping, so the product ``BᵀB`` is never formed
(arXiv 2405.13817, where a third array between the two holds the Hessian H of the loss).
"""

import numpy as np
from numpy.typing import NDArray

from netlists.amplifier import AmplifierCircuit
from netlists.capacitors import capacitors
from netlists.crossbar import crossbar, own_noise, resistances
from netlists.elements import Elements, ElementTable, Nodes, NoiseCurrents, Values, ground
from netlists.limits import trusted_outputs
from netlists.topologies.factor import ProgrammedFactor, SignedResistors, Stage
from spu_circuit.hardware import Hardware
from spu_circuit.noise import johnson_current_density

Array = NDArray[np.float64]


class FactoredArray(ProgrammedFactor):
    """A programmed factor behind summing amplifiers. See ``ProgrammedArray``."""

    drive = -1.0
    """The integrators invert, so the DACs hold the negative right-hand side."""

    def circuit(self, hardware: Hardware) -> ElementTable:
        """See ``ProgrammedArray``.

        Nodes of cell i: ``in<i>`` (DAC), ``g<i>`` (virtual ground of the integrator), ``v<i>`` (its output, the
        unknown), ``h<i>`` and ``n<i>`` (virtual ground and output of the inverting stage). Nodes of summing amplifier k
        of stage s, counted from 0: ``g<s>_<k>``, ``u<s>_<k>``, and ``h<s>_<k>``, ``n<s>_<k>``. Wires start at outputs
        and end in virtual grounds; see ``crossbar``.
        """
        cell, wires = hardware.cell, hardware.array.wire_resistance
        noise_each = wires > 0 and hardware.noise.thermal
        n = self.damping.shape[-1]
        cells: NDArray[np.intp] = np.arange(n)
        each: Array = np.ones(n)
        ins, g, v = (Nodes(family, cells) for family in ("in", "g", "v"))
        elements = [
            Elements("Vin", (ins, ground(n)), 0 * each, cells, part="dac"),
            Elements("Rin", (ins, g), cell.input_resistance * each, cells, part="input_resistor"),
            capacitors("C", (v, g), hardware, cells, 0),
            Elements("Xv", (ground(n), g, v), 0 * each, cells, None, "amplifier", 0, {"start": 0 * each}),
            Elements("Rd", (v, g), 1 / self.damping, cells, None, "array_resistor", 6),
        ]
        if cell.leakage_resistance is not None:
            elements.append(Elements("Rleak", (v, g), cell.leakage_resistance * each, cells))
        arrays: list[Elements] = []

        def own(density: Array, resistors: SignedResistors) -> Array:
            """Without the array's resistors where each has a noise current of its own: behind wires."""
            return (
                density - johnson_current_density(resistors.into_rows, hardware.temperature) if noise_each else density
            )

        def inverters(tag: str, output: str, count: int, which: int) -> None:
            k, ones = np.arange(count), np.ones(count)
            v, h, inverse = Nodes(output, k), Nodes(f"h{tag}", k), Nodes(f"n{tag}", k)
            ohms = cell.inverter_resistance * ones
            elements.extend(
                [
                    Elements(f"Rh{tag}", (v, h), ohms, k, None, "inverter_resistor", 2 * which),
                    Elements(f"Rn{tag}", (h, inverse), ohms, k, None, "inverter_resistor", 2 * which + 1),
                    Elements(
                        f"Xn{tag}",
                        (ground(count), h, inverse),
                        0 * ones,
                        k,
                        None,
                        "amplifier",
                        2 * which + 1,
                        {"start": 0 * ones},
                    ),
                ]
            )
            density = self.inverter_noise_density(hardware) * ones
            noise.append(NoiseCurrents(f"Ih{tag}", (ground(count), h), density, k))

        noise = [
            NoiseCurrents("Ig", (ground(n), g), own(self.integrator_noise_density(hardware), self.backward), cells)
        ]
        inverters("", "v", n, 0)
        output, inverse = "v", "n"
        for s, stage in enumerate(self.stages):
            rows, tag = stage.resistors.direct.shape[-2], f"{s}_"
            k, ones = np.arange(rows), np.ones(rows)
            node, out = Nodes(f"g{tag}", k), Nodes(f"u{tag}", k)
            ohms = stage.feedback * ones
            elements += [
                Elements(f"Rf{tag}", (out, node), ohms, k, None, "summing_resistor", s),
                Elements(
                    f"Xu{tag}",
                    (ground(rows), node, out),
                    0 * ones,
                    k,
                    None,
                    "amplifier",
                    2 + 2 * s,
                    {"start": 0 * ones},
                ),
            ]
            density = own(self.summing_noise_density(stage, hardware), stage.resistors)
            noise.append(NoiseCurrents(f"Ig{tag}", (ground(rows), node), density, k))
            inverters(tag, f"u{tag}", rows, 1 + s)
            arrays += [
                crossbar(f"Rs{s}p", stage.resistors.direct, output, f"g{tag}", 2 * s, wires),
                crossbar(f"Rs{s}m", stage.resistors.inverted, inverse, f"g{tag}", 2 * s + 1, wires),
            ]
            output, inverse = f"u{tag}", f"n{tag}"
        arrays += [
            crossbar("Rbp", self.backward.direct, output, "g", 4, wires),
            crossbar("Rbm", self.backward.inverted, inverse, "g", 5, wires),
        ]
        if noise_each:
            noise += own_noise(arrays, hardware.temperature)
        injected = self.injected_noise_density(hardware)
        kind = "H between B and its transpose" if len(self.stages) > 1 else "B and its transpose"
        return ElementTable(
            "spu-circuit: factored array",
            (*elements, *arrays),
            AmplifierCircuit(hardware),
            (v,),
            "Vin0",
            (f"{kind}: Rs<stage>p and m into summing amplifiers, Rbp and Rbm back into integrators, Rd the damping",),
            tuple(noise),
            ((g, injected * each),) if np.any(injected) else (),
            hardware.amplifier.library_text is not None,
        )

    def values(self) -> Values:
        """See ``ProgrammedArray``."""
        found = {"Rd": 1 / self.damping}
        for s, stage in enumerate(self.stages):
            found[f"Rs{s}p"] = resistances(stage.resistors.direct)
            found[f"Rs{s}m"] = resistances(stage.resistors.inverted)
            found[f"Rf{s}_"] = np.asarray(stage.feedback)[..., None] * np.ones(stage.resistors.direct.shape[-2])
        return found | {"Rbp": resistances(self.backward.direct), "Rbm": resistances(self.backward.inverted)}

    def inputs(self, dac_volts: Array, initial_volts: Array) -> Values:
        """See ``ProgrammedArray``."""
        found = {"Vin": dac_volts, "C.start": initial_volts, "Xv.start": initial_volts, "Xn.start": -initial_volts}
        for s, volts in enumerate(self.summed(initial_volts)):
            found |= {f"Xu{s}_.start": volts, f"Xn{s}_.start": -volts}
        return found

    def outputs(self, volts: Array) -> Array:
        """See ``ProgrammedArray``: the cells' and those of the summing amplifiers, stage by stage."""
        return np.concatenate([volts, *self.summed(volts)], axis=-1)

    def output_limits(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``."""
        return trusted_outputs(hardware.amplifier, self.loads(hardware).max(axis=-2))

    def loads(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``.

        A cell drives its column of the first array, its damping and an inverting stage; a summing amplifier its column
        of the next array, its feedback and an inverting stage.
        """
        inverter = hardware.cell.inverter_resistance
        loads = [self.stages[0].resistors.loads(inverter)]
        loads[0][..., 0, :] += self.damping
        for stage, after in zip(self.stages, self.driven, strict=True):
            loads.append(after.loads(inverter))
            loads[-1][..., 0, :] += np.asarray(1 / stage.feedback)[..., None]
        return np.concatenate(loads, axis=-1)

    def dac_currents(self, volts: Array, dac_volts: Array, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``: into virtual grounds."""
        return np.broadcast_to(dac_volts / hardware.cell.input_resistance, volts.shape)

    def integrator_noise_density(self, hardware: Hardware) -> Array:
        """One-sided density of the noise current into each integrator's virtual ground, A²/Hz, (..., n)."""
        total = self._row_conductance(hardware) + hardware.cell.leakage_conductance
        return self._johnson(total, hardware) + np.asarray(self.injected_noise_density(hardware))[..., None]

    def summing_noise_density(self, stage: Stage, hardware: Hardware) -> Array:
        """One-sided density of resistors' noise current into the virtual grounds of a stage, A²/Hz, (K,)."""
        return self._johnson(stage.resistors.into_rows + np.asarray(1 / stage.feedback)[..., None], hardware)

    def inverter_noise_density(self, hardware: Hardware) -> float:
        """One-sided density of two resistors' noise current into an inverting stage's virtual ground, A²/Hz."""
        return float(self._johnson(np.array(2 / hardware.cell.inverter_resistance), hardware))

    def _johnson(self, conductance: Array, hardware: Hardware) -> Array:
        if not hardware.noise.thermal:
            return np.zeros_like(conductance)
        return johnson_current_density(conductance, hardware.temperature)

    def diffusion(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``.

        A current of one-sided density S into an integrator gives D = S / (4 C²). Into a summing amplifier it is a
        voltage R_f² S at its output, into an inverting stage R_inv² S, and these drive all that follows: with ``G`` the
        net conductances from a stage's outputs to the integrators, ``G R_f² S Gᵀ``, and with ``G⁻`` those from
        inverses, ``R_inv² S G⁻ G⁻ᵀ``; behind stages in between, what their gains make of it. Input noise e of an
        amplifier is ``2 e`` behind an inverting stage, a current ``e (ΣG + 1 / R_f)`` into a summing amplifier, and
        as in the active array ``(diag(ΣG) − g_u A) e`` into the integrators. Its noise current adds to that of
        resistors.
        """
        cell, amplifier = hardware.cell, hardware.input_noise_density
        current = hardware.input_current_noise_density
        inverse = cell.inverter_resistance**2 * (self.inverter_noise_density(hardware) + current) + 4 * amplifier
        onward, from_inverses = self.backward.net, self.backward.inverted
        total = _diagonal(self.integrator_noise_density(hardware) + current)
        total = total + inverse * from_inverses @ _transposed(from_inverses)
        if amplifier:
            drive = self.amplifier_drive(hardware)
            total = total + amplifier * drive @ _transposed(drive)
        for stage in reversed(self.stages):
            # Everything that reaches this stage's virtual grounds, its own noise and that of the inverses before it.
            inverted, feedback = stage.resistors.inverted, np.asarray(stage.feedback)[..., None]
            own = self.summing_noise_density(stage, hardware) + current
            own = own + amplifier * (stage.resistors.into_rows + 1 / feedback) ** 2
            currents = _diagonal(own) + inverse * inverted @ _transposed(inverted)
            transfer = feedback[..., None] * onward
            total = total + transfer @ currents @ _transposed(transfer)
            onward = onward @ stage.gain
        return total / (4 * cell.capacitance**2)

    def amplifier_drive(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``."""
        unit = np.asarray(self.siemens_per_unit)[..., None, None]
        return _diagonal(self._row_conductance(hardware)) - unit * self.matrix

    def direct_noise(self, hardware: Hardware) -> Array:
        """See ``ProgrammedArray``, and the active array, whose integrators these are."""
        amplifier = hardware.amplifier
        driven = self.stages[0].resistors.direct.sum(axis=-2) + self.damping + 1 / hardware.cell.inverter_resistance
        loop = 1 + amplifier.output_resistance * (self._row_conductance(hardware) + driven)
        return hardware.input_noise_density * np.pi / 2 * (amplifier.gain_bandwidth or 0.0) / loop

    def _row_conductance(self, hardware: Hardware) -> Array:
        """What ends in each integrator's virtual ground and does not begin at its own output's capacitor, S."""
        return self.backward.into_rows + self.damping + 1 / hardware.cell.input_resistance


def _diagonal(entries: Array) -> Array:
    """(..., n) as diagonal matrices (..., n, n)."""
    return entries[..., None] * np.eye(entries.shape[-1])


def _transposed(matrix: Array) -> Array:
    return matrix.swapaxes(-1, -2)
