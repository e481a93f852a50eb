"""A small board, its specification and what it may be made of."""

from collections import deque

from experiments.design.choices import Parts
from experiments.design.config import Design
from experiments.design.search import explore
from experiments.shared.executor import Here
from experiments.shared.hardware import hardware_of
from spu_circuit.catalogue import load_catalogue
from spu_circuit.documents import from_document, merged
from spu_circuit.hardware import hardware_tables

RESISTORS = ["RC0603 1 %", "RT0603 0.1 % 50"]
SMALL = {
    "name": "small",
    "resistances": ["1 kΩ"],
    "capacitances": ["1 nF"],
    "samples": 192,
    "audit": 0.01,
    "parts": {
        "amplifier": ["TL074", "OPA1679"],
        "array_resistor": RESISTORS,
        "input_resistor": RESISTORS,
        "inverter_resistor": RESISTORS,
        "capacitor": ["GRM1885C1H 5 %", "C0805C 1 %"],
        "dac": ["AD5724R", "AD5734R"],
        "adc": ["ADS8528", "AD7606"],
    },
    "specification": {
        "least_yield": "85 %",
        "limits": {
            "relative_error": {"max": "2 %"},
            "settling_time": {"max": "100 µs"},
            "supply_power": {"max": "5 W"},
        },
    },
    "hardware": {"base": "bench"},
    "workload": {"kind": "random", "size": 3, "condition": 5},
}


def parts_of(changes=None):
    """The parts of the small board's config with changes."""
    design = from_document(Design, merged(SMALL, changes or {}), "config small")
    catalogue = load_catalogue(design.catalogue).priced(design.prices)
    return Parts(design, catalogue, hardware_of(design.hardware))


def base_of(parts):
    return merged(hardware_tables(parts.design.hardware["base"]), parts.design.changes)


def sheets_of(parts):
    return explore(parts, Here(), base_of(parts))


class Counting(Here):
    """Computes here, and counts the jobs."""

    def __init__(self):
        self.jobs = 0

    def results(self, work, queue):
        self.jobs += len(queue)
        yield from super().results(work, deque(queue))
