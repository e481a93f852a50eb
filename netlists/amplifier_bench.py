"""Decks of test benches: an amplifier alone, as a data sheet measures it."""

from collections.abc import Sequence

from netlists.amplifier import NAME, AmplifierCircuit
from netlists.deck import Numerics, lines_of
from netlists.spice import empty_circuit
from spu_circuit.amplifier import Amplifier
from spu_circuit.hardware import load_hardware


def bench_deck(
    amplifier: Amplifier,
    lines: Sequence[str],
    analysis: str,
    saved: Sequence[str],
    numerics: Numerics,
    temperature: float = 300.15,
) -> str:
    """The deck of amplifiers at their supplies among sources and loads.

    Args:
        lines: SPICE statements; ``instance`` makes those of the amplifiers.
        analysis: one statement, such as ".op".
        saved: what of the result is kept, such as "v(out)".
        temperature: K.
    """
    circuit = empty_circuit("test bench")
    # The rest of a board says nothing of an amplifier alone, but for noise sources, of which a library has its own.
    AmplifierCircuit(load_hardware("ideal").model_copy(update={"amplifier": amplifier})).define(circuit)
    circuit.raw_spice += "\n".join([*lines, ""])
    celsius = repr(temperature - 273.15)
    kept = [] if analysis.startswith(".noise") else [f".save {' '.join(saved)}"]
    printed = analysis.split()[0].removeprefix(".")
    return "\n".join(
        [
            ".title test bench",
            *lines_of(circuit),
            f".options temp={celsius} tnom={celsius} {numerics.options}",
            *kept,
            f".print {printed} {' '.join(saved)}",
            analysis,
            ".end",
            "",
        ]
    )


def instance(name: str, plus: str, minus: str, output: str) -> str:
    """An amplifier between nodes."""
    return f"X{name} {plus} {minus} {output} {NAME}"
