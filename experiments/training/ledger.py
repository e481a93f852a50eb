"""What the steps of a training take in time and energy: on its device, or on a digital computer alone.

A step's device is set and read as often as the training did it on average; before there is one, as often as its
settings say at most. What is not known is said by the field that does not say it, and never counts as zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, get_args

import numpy as np

from experiments.cost.ledger import Ledger, ledger
from experiments.cost.machines import MACHINES
from experiments.training.optimizers import kind_named
from experiments.training.settings import Settings
from experiments.training.store import Step
from experiments.training.summary import Result, of_seeds, steps_to
from optim.asymptotics import Sizes
from optim.cost import ONCE, Effort, Item, Machine, Part, Work, digital_item, prepared, total
from spu_circuit.errors import InputError, SpuError
from spu_circuit.hardware import Hardware


@dataclass(frozen=True)
class StepSizes:
    """The numbers that decide what a step of an optimizer takes.

    Args:
        parameters: N.
        samples: b, of a batch.
        outputs: d_z, of the model for one sample.
        rows: K, of the curvature factor; None: there is none.
        matrices: shapes of the parameters that are matrices.
    """

    parameters: int
    samples: int
    outputs: int
    rows: int | None
    matrices: Sequence[tuple[int, int]] = ()

    def work(self, settings: Settings) -> Work:
        """Of a step; without a factor of its own, with the paper's rows."""
        rows = self.rows or self.samples * self.outputs
        iterations = settings.cg_iterations or Work.iterations
        return Work(self.parameters, self.samples, rows, iterations, settings.mapping or "primal")

    def of_table(self, settings: Settings, hardware: Hardware | None) -> Sizes:
        """What the paper's table is evaluated at."""
        relaxes = kind_named(settings.kind).analog and settings.analog_time < inf
        topology = "factored" if hardware is None else hardware.topology
        return Sizes(self.work(settings), self.outputs, settings.analog_time if relaxes else None, topology)


def step_of(
    settings: Settings,
    hardware: Hardware | None,
    sizes: StepSizes,
    machine: Machine,
    effort: Effort | None = None,
    analog_time: float | None = None,
) -> Ledger:
    """A step of an optimizer, part by part.

    Args:
        settings: with their mapping.
        hardware: of the device; None: there is none.
        machine: that does the digital work.
        effort: how often the device is used; None: as often as the settings say, at most.
        analog_time: in the place of the settings'.
    """
    kind, work = kind_named(settings.kind), sizes.work(settings)
    try:
        if kind.flop is None:
            raise InputError(f"kind: nobody has counted the digital work of kind {settings.kind!r}")
        flop = kind.flop(settings, work, sizes.matrices)
    except InputError as error:
        return Ledger(settings.kind, [_unknown("digital work", error, "digital work", "digital")])
    where = f"digital work ({machine.name})"
    if not kind.analog:
        return Ledger(settings.kind, [digital_item(where, flop, machine)])
    own = effort or planned(settings, work)
    own = replace(own, flop=own.flop + flop)
    time = settings.analog_time if analog_time is None else analog_time
    try:
        if hardware is None:
            raise InputError("hardware: the ideal equation has no parts whose time and energy are known; name a device")
        return ledger(hardware, work, None if time == inf else time, machine, own)
    except SpuError as error:
        begun = digital_item(where, prepared(work) + own.flop, machine)
        return Ledger(settings.kind, [begun, _unknown("device", error, "hardware", "settle")])


def planned(settings: Settings, work: Work) -> Effort:
    """How often a step uses its device by its settings, at most; auto-ranging reads more often, as does a raised λ."""
    precision = settings.precision
    if precision is None:
        return ONCE
    corrections, size = precision.refine or 0, float(work.cells) ** 2
    solves = 1 + corrections
    reads = (solves + precision.estimate) * precision.reads * precision.programs
    rotations = 4.0 * size * work.cells + 4.0 * size * solves if precision.rotate else 0.0
    # Programs that are averaged are set anew for every solve.
    programs = precision.programs * (solves + precision.estimate if precision.programs > 1 else 1)
    return Effort(programs, reads, 2.0 * size * corrections + rotations)


def taken(steps: Sequence[Step], work: Work) -> Effort | None:
    """How often steps used their device on average; None where they used none."""
    words, solves = sum(step.adc_words for step in steps), sum(step.solves for step in steps)
    if not words or not solves:
        return None
    lasts: dict[Any, float] = {}
    for step in steps:
        lasts[step.trial] = max(step.analog_seconds, lasts.get(step.trial, 0.0))
    relaxed, count = sum(lasts.values()), len(steps)
    return Effort(
        programs=sum(step.programs for step in steps) / count,
        reads=words / work.cells / count,
        flop=sum(step.flops for step in steps) / count,
        seconds=relaxed / solves if relaxed else None,
    )


def costs_of(result: Result, config: Mapping[str, Any], sizes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Time and energy of an optimizer's training, for ``summary.json``: by what does its digital work.

    Args:
        config: of the point, as stores keep it.
        sizes: of its steps, as stores keep them; None: the run was begun without.
    """
    settings = Settings.model_validate(config["optimizers"][result.optimizer])
    description = config["hardware"].get(result.optimizer)
    hardware = None if description is None else Hardware.model_validate(description)
    steps = float(np.mean([len(own) for own in result.trials.values()]))
    reached = {f"{target:g}": mean_steps(target, result) for target in config["targets"]}
    found = {}
    for name, machine in MACHINES.items():
        if sizes is None:
            step = Ledger(result.optimizer, [UNSIZED])
        else:
            own = StepSizes(**sizes)
            step = step_of(settings, hardware, own, machine, taken(result.steps, own.work(settings)))
        found[name] = entry(step, steps, reached, machine)
    return found


def mean_steps(target: float, result: Result) -> float | None:
    """Steps to a training loss in the mean over the seeds that reach it; None: none does."""
    counts = {trial: steps_to(target, [step.loss for step in own]) for trial, own in result.trials.items()}
    known = list(of_seeds(counts).values())
    return float(np.mean(known)) if known else None


def entry(step: Ledger, steps: float, reached: Mapping[str, float | None], machine: Machine) -> dict[str, Any]:
    """What a summary says: of a step and its parts, of all steps, and of those to each training loss.

    Args:
        steps: of a training, on average.
        reached: steps to each loss, on average; None: none reached it.
    """
    whole = step.together
    parts = {part: [item for item in step.items if item.part == part] for part in PARTS}
    return {
        "machine": f"{machine.name}: {machine.source}",
        "step": _said(whole) | {"parts": {part: _said(total(items)) for part, items in parts.items() if items}},
        "training": _times(whole, steps),
        "to": {target: {"reached": count is not None} | _times(whole, count) for target, count in reached.items()},
        "why_not_known": whole.missing,
    }


PARTS = get_args(Part)
OLDER = "sizes: the run was begun by a version that did not keep them; train anew"
UNSIZED = Item("step", None, None, OLDER, ("sizes",), "digital")


def _said(item: Item) -> dict[str, Any]:
    return {"seconds": item.seconds, "joules": item.joules, "not_known": list(item.lacks)}


def _times(item: Item, count: float | None) -> dict[str, float | None]:
    values = {"seconds": item.seconds, "joules": item.joules}
    return {name: None if value is None or count is None else value * count for name, value in values.items()}


def _unknown(name: str, error: SpuError, lacks: str, part: Part) -> Item:
    return Item(name, None, None, str(error), (lacks,), part)
