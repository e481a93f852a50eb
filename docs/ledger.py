"""The tables of the page on costs, from the descriptions in code."""

from docs.markdown import table
from experiments.cost.tables import at, order_cells
from optim.asymptotics import Sizes, evaluated
from optim.cost import Work
from spu_circuit.costs import Costs, Sourced
from spu_circuit.hardware import load_hardware, presets
from spu_circuit.quantity import shown, unit_of

PAPER = Sizes(Work(parameters=10_000, samples=32, rows=32 * 20, iterations=200), outputs=20, analog_time=50.0)
"""Those of the paper's runtime figure at its smallest model."""
ASSUMED = "assumption"


def orders() -> str:
    """The paper's Table 1 at the sizes of its runtime figure, beside what is counted here."""
    head = ("optimizer", "runtime", "there", "counted, FLOP", "memory", "there", "counted, numbers")
    return f"{table(head, (order_cells(row) for row in evaluated(PAPER)))}\n\nAt {at(PAPER)}."


def preset_costs() -> str:
    """What each preset's table costs says; a star marks an assumption."""
    costs = {name: load_hardware(name).costs for name in presets()}
    fields = [name for name, field in Costs.model_fields.items() if name not in ("buses", "amplifier_package")]
    return table(
        ("`costs`", *(f"`{name}`" for name in costs)),
        ([f"`{field}`", *(_value(getattr(own, field)) for own in costs.values())] for field in fields),
    )


def _value(found: Sourced | None) -> str:
    if found is None:
        return "–"
    field = type(found).model_fields["value"]
    text = shown(found.value, unit_of(field.annotation, field.metadata), 3)
    return text + ("\\*" if found.source.startswith(ASSUMED) else "")
