"""Time and energy to a training loss: steps as trained, each with what the ledger says that it takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.devices import ENGINE
from experiments.claims.statements.digits import experiment_of, trainings
from experiments.claims.statements.early_settings import ADAM, NATURAL, QUICK, Tuning, chosen, steps_needed, told_of
from experiments.cost.machines import MACHINES
from experiments.shared.figures import FigureEntry
from experiments.shared.systems import ggn_system
from experiments.training.summary import SMOOTH, steps_to
from optim.cost import Item, Work, device_step, digital_step, total
from solvers.ideal import IdealLaw
from solvers.spu import Spu
from spu_circuit.hardware import load_hardware

GPU = MACHINES["gpu"]
WOODBURY = "NGD, Woodbury"
MEASURES = {"time": "seconds", "energy": "joules"}


@dataclass(frozen=True)
class Protocol:
    """Trainings on digits through devices, and by a graphics processor alone.

    Args:
        seeds: of the verdict.
        tuning: what chooses the settings.
        time: of a relaxation, τ.
    """

    seeds: tuple[int, ...]
    tuning: Tuning
    devices: tuple[str, ...] = ("paper", "bench", "rram")
    time: float = 6.0


def _measure(protocol: Protocol, given: Given) -> Rows:
    tuning = protocol.tuning
    natural, first_order = (chosen(tuning, given, name, [steps_needed])[1][0] for name in (NATURAL, ADAM))
    experiments: dict[str, dict[str, Any]] = {
        ADAM: first_order,
        WOODBURY: natural,
        **{device: {**natural, **_table(device, protocol.time)} for device in protocol.devices},
    }
    found: list[Row] = []
    for name, optimizer in experiments.items():
        found += given.kept(_trained, protocol, name, optimizer, natural["damping"])
    return found


def _trained(protocol: Protocol, name: str, optimizer: dict[str, Any], damping: float) -> Iterator[Row]:
    """A row for each seed and loss: the steps to it, and what a step takes."""
    tuning = protocol.tuning
    experiment = experiment_of(optimizer, protocol.seeds, tuning.steps, tuning.hidden, tuning.batch)
    parameters = sum(np.size(leaf) for leaf in _parameters(experiment))
    step = _step(name, Work(parameters, tuning.batch, tuning.batch), protocol.time, damping)
    for seed, chunk in trainings(experiment):
        losses = [taken.loss for taken in chunk.steps]
        for target in tuning.targets:
            yield {
                "optimizer": name,
                "settings": told_of(optimizer),
                "seed": seed,
                "loss": target,
                "steps": steps_to(target, losses),
                "all_steps": tuning.steps,
                "doublings": sum(taken.doublings for taken in chunk.steps),
                "step_seconds": step.seconds,
                "step_joules": step.joules,
                "missing": step.missing,
                "error": str(chunk.error or ""),
            }


def _table(device: str, time: float) -> dict[str, Any]:
    """Of an optimizer on this device's circuit."""
    return {"kind": "tngd", "hardware": device, "mapping": "dual", "analog_time": time, **ENGINE}


def _parameters(experiment: Any) -> list[Any]:
    import jax

    from experiments.training.methods import initial, learner_of

    return jax.tree.leaves(initial(learner_of(experiment), 0))


def _step(name: str, work: Work, time: float, damping: float) -> Item:
    """What a step takes."""
    if name in (ADAM, WOODBURY):
        return digital_step(name, work, GPU)
    system = ggn_system(work.rows, work.parameters, damping).dual()
    device = Spu(load_hardware(name), IdealLaw()).solve(system).device
    assert device is not None, "an Spu says its device"
    return total(device_step(device, time, work, GPU))


def _conditions(rows: Rows) -> list[Condition]:
    groups = grouped(rows, "optimizer", "loss")
    devices = [name for name in dict.fromkeys(row["optimizer"] for row in rows) if name not in (ADAM, WOODBURY)]
    losses = list(dict.fromkeys(row["loss"] for row in rows))
    found = []
    for (measure, field), device, rival, loss in product(MEASURES.items(), devices, (ADAM, WOODBURY), losses):
        own, other = groups[device, loss], groups[rival, loss]
        if own[0][f"step_{field}"] is None:
            continue  # nobody knows it
        # A rival that does not reach the loss counts with all its steps, which are too few; more solves cost more.
        known = tuple(float(row["all_steps"] if row["steps"] is None else row["steps"]) for row in other)
        paid = tuple(float("nan") if row["doublings"] else 1.0 for row in own)
        steps = np.divide(column(own, "steps"), known) * paid
        ratio = steps * own[0][f"step_{field}"] / other[0][f"step_{field}"]
        found.append(
            Condition(f"{measure}, {device} beside {rival}", f"to {loss:g}", tuple(ratio.tolist()), 1.0, "below", True)
        )
    return found


def _finding(rows: Rows) -> str:
    told = []
    for (name,), own in grouped(rows, "optimizer").items():
        first = own[0]
        joules = "energy not known" if first["step_joules"] is None else f"{1e6 * first['step_joules']:.3g} µJ"
        counts = ", ".join(
            f"{np.mean(column(some, 'steps')):.1f} steps to {loss:g}" for (loss,), some in grouped(own, "loss").items()
        )
        told.append(f"{name} ({first['settings']}) {1e6 * first['step_seconds']:.3g} µs and {joules} a step, {counts}")
    ratios = [
        f"{c.group} {c.point} not reached by all" if c.failed else f"{c.group} {c.point} {c.interval[0]:.3g}"
        for c in _conditions(rows)
    ]
    return f"{'; '.join(told)}. Ratios: {'; '.join(ratios)}."


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    shown = [
        {**row, "joules": None if None in (row["steps"], row["step_joules"]) else row["steps"] * row["step_joules"]}
        for row in rows
    ]
    return curves(
        *(shown, "optimizer", "loss", "joules"), xlabel="training loss", ylabel="energy to it, J", yscale="log"
    )


CLAIM = Claim(
    name="to-target",
    statement="TNGD reaches a training loss in less time, and with less energy, than Adam or NGD with Woodbury on a "
    "graphics processor.",
    source="arXiv 2405.13817 claims runtimes near those of first-order methods; energy is not treated there",
    method="Digits, a network of 2,410 parameters, batches of 64. Steps to a loss are those of trainings through each "
    "preset's circuit, read after 6 τ, with a memory and a sampled Fisher matrix on 64 cells; time and energy of a "
    "step are those of the ledger of `spu-circuit cost`, with a GPU at a tenth of its peak rate for all digital work. "
    "Settings are those that early-lead tries, 64 of each optimizer; the fewest steps to both losses on tuning "
    f"seeds choose, those of exact solves for all natural gradients. Training loss: mean of {SMOOTH} batches.",
    rule="The ratio to the rival is below 1 in the geometric mean over seeds, paired, for each device and loss. A loss "
    "that the device does not reach, or a step whose λ had to be raised, makes its condition fail; a rival that does "
    "not reach it counts with all steps. Where a description does not say an energy there is no condition.",
    full=Protocol(FRESH[322:332], Tuning()),
    quick=Protocol((5, 6), QUICK, ("bench",)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("to-target", "Energy to a training loss", "Geometric means over seeds, 95 % intervals.", _draw),
)
