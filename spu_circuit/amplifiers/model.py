"""What an amplifier model is: the fields that it takes, and the circuit that it makes of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from spu_circuit.amplifiers.fields import AmplifierFields


def _nothing(amplifier: AmplifierFields, folder: Path) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class AmplifierModel:
    """A way to describe amplifiers.

    Args:
        takes: fields that mean something to it. Others must be left out.
        lines: its circuit in SPICE, between ``.subckt`` and ``.ends``, of an amplifier, its temperature (K; None:
            without thermal noise), and the seconds for which each value of a noise source is held. ``WHITE``: engines
            know the noise of its resistors; None: so they do, and a library's own parts make theirs. Nodes ``plus``,
            ``minus`` and ``output`` are its pins; ``start`` is the output voltage at time 0 of a transient that uses
            initial conditions.
        varying: the parameters in those lines by which samples of a device differ: ``offset`` (V) and ``bias`` (A),
            which add, 0 where nothing is said; ``gain`` and ``bandwidth``, which multiply, else 1.
        linear: whether no element of its circuit is nonlinear.
        completed: the fields that follow from the others, in a folder that paths are relative to. Raises ValueError
            where fields do not go together.
    """

    takes: tuple[str, ...]
    lines: Callable[[AmplifierFields, float | None, float | None], list[str]]
    varying: Callable[[AmplifierFields], tuple[str, ...]]
    linear: Callable[[AmplifierFields], bool]
    completed: Callable[[AmplifierFields, Path], Mapping[str, str]] = _nothing
