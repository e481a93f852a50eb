"""Amplifier models: one file each says which fields it takes and what circuit they make."""

from spu_circuit.amplifiers.ideal import IDEAL
from spu_circuit.amplifiers.macromodel import MACROMODEL
from spu_circuit.amplifiers.model import AmplifierModel
from spu_circuit.amplifiers.subckt import SUBCKT

AMPLIFIERS: dict[str, AmplifierModel] = {"ideal": IDEAL, "macromodel": MACROMODEL, "subckt": SUBCKT}
"""By the name that a description gives as ``model``."""
