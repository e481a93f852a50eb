"""What the optimizers of a config will take for a step, before they are trained."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.cost.figure import write_steps
from experiments.cost.ledger import Ledger
from experiments.cost.machines import MACHINES
from experiments.cost.tables import write_orders
from experiments.shared.files import make_folder, write_csv
from experiments.shared.grid import setting_text
from experiments.training.config import Experiment, load_training
from experiments.training.ledger import StepSizes, step_of
from experiments.training.methods import sizes_of
from experiments.training.optimizers import label
from optim.asymptotics import Sizes
from optim.cost import Item

HEAD = ("optimizer", "computer", "item", "part", "time_s", "energy_j", "not_known")
LEDGER = "ledger.csv"


@dataclass(frozen=True)
class Planned:
    """A step of an optimizer of a config.

    Args:
        title: the optimizer, with what the grid sets.
        analog: whether a device solves its systems.
        ledgers: by the computer that does the digital work.
        sizes: for the paper's table.
    """

    title: str
    analog: bool
    ledgers: dict[str, Ledger]
    sizes: Sizes

    def items(self, machine: str) -> list[Item]:
        """The lines of a step, and their sum."""
        found = self.ledgers[machine]
        return [*found.items, found.together]


def planned(config: Path, time: float | None) -> list[Planned]:
    """Every optimizer of a training config, at every point of its grid at which it is trained.

    Args:
        time: of every device's relaxation, in τ; None: as the config says.

    Raises:
        InputError: the config is wrong, or a device or the task's model is not there.
    """
    training = load_training(config)
    return [
        _of(experiment, name, setting_text(setting), time)
        for point, (experiment, setting) in enumerate(zip(training.experiments, training.settings, strict=True))
        for name in experiment.optimizers
        if training.trained_at[point][name] == point
    ]


def _of(experiment: Experiment, name: str, where: str, time: float | None) -> Planned:
    optimizer = experiment.optimizers[name]
    analog, device = optimizer.entry.analog, optimizer.device()
    changes: dict[str, Any] = {"mapping": optimizer.placement}
    if time is not None and analog:
        changes["analog_time"] = time
    settings, sizes = optimizer.model_copy(update=changes), StepSizes(**sizes_of(experiment, name))
    title = ", ".join(filter(None, (label(name, settings.model_dump()), where)))
    steps = {each: step_of(settings, device, sizes, machine) for each, machine in MACHINES.items()}
    ledgers = {each: replace(step, hardware=title) for each, step in steps.items()}
    return Planned(title, analog, ledgers, sizes.of_table(settings, device))


def tabled(found: list[Planned]) -> list[Sizes]:
    """Where the paper's table is evaluated: at the sizes of every device; without one, of the first optimizer."""
    return list(dict.fromkeys(each.sizes for each in found if each.analog)) or [found[0].sizes]


def write(folder: Path, found: list[Planned], machine: str) -> None:
    """Write every line of every step as ledger.csv, table1.csv, and the figure of steps.

    Args:
        machine: does the digital work of the devices in the figure.
    """
    make_folder(folder)
    rows = (
        (each.title, machine, item.name, item.part or "sum", item.seconds, item.joules, " ".join(item.lacks))
        for each in found
        for machine in each.ledgers
        for item in each.items(machine)
    )
    write_csv(folder / LEDGER, HEAD, rows)
    write_orders(folder, tabled(found))
    drawn = [(each, where) for each in found for where in ([machine] if each.analog else each.ledgers)]
    write_steps([(f"{each.title} ({where.upper()})", each.items(where)) for each, where in drawn], folder)
