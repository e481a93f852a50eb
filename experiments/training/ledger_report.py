"""Time and energy of trainings, as people read them: sentences and a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.training.ledger import PARTS, costs_of
from experiments.training.store import Step
from experiments.training.summary import results, shares
from spu_circuit.quantity import shown

NAMES = {"settle": "relaxing", "static": "amplifiers meanwhile", "convert": "converting", "program": "writing"}
"""Parts of a step, where another word says more."""
ABOUT = """Time and energy by the table costs of each device, for as many programs and reads of a step as there were on
average. Digital work is counted in operations of a computer: {machines}; a tenth of that rate is assumed. What nobody
knows is named by the field that lacks it, and makes no sum."""


def add_costs(
    summary: dict[str, Any],
    history: Sequence[Step],
    configs: Sequence[dict[str, Any]],
    sizes: Mapping[str, Any] | None,
) -> None:
    """Put time and energy into the entries of a summary, of every optimizer at every point.

    Args:
        sizes: of steps, as stores keep them; None: the run was begun without.
    """
    points = summary.get("points", [summary])
    kept = [{}] * len(configs) if sizes is None else sizes["points"]
    for entry, config, own, known in zip(points, configs, shares(history, configs), kept, strict=True):
        for result in results(own, config):
            entry["optimizers"][result.optimizer]["costs"] = costs_of(result, config, known.get(result.optimizer))


def sentence(entry: Mapping[str, Any]) -> str:
    """What a training takes with a GPU for its digital work, in a line."""
    found = entry["costs"]["gpu"]
    told = [f"a step takes {both(found['step'])}", f"the training {both(found['training'])}"]
    told += [f"to a loss of {target} {both(own)}" for target, own in found["to"].items() if own["reached"]]
    lacking = found["step"]["not_known"]
    why = f" Not known are {', '.join(lacking)}." if lacking else ""
    return f" With a GPU for digital work {', '.join(told)}.{why}"


def fields(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the page shows of optimizers by their titles; nothing where there are none."""
    if not entries:
        return {}
    costs = [entry["costs"] for entry in entries.values()]
    machines = dict.fromkeys(own["machine"] for each in costs for own in each.values())
    targets = dict.fromkeys(target for each in costs for own in each.values() for target in own["to"])
    parts = [NAMES.get(part, part) for part in PARTS]
    return {
        "head": ["optimizer", "computer", *parts, "a step", "the training", *(f"to {target}" for target in targets)],
        "rows": [row for title, entry in entries.items() for row in rows(title, entry)],
        "about": ABOUT.format(machines=" or ".join(machines)),
    }


def rows(name: str, entry: Mapping[str, Any]) -> list[list[Any]]:
    """Of an optimizer: one for each computer. Cells have a line for time and one for energy."""
    found = []
    for machine, own in entry["costs"].items():
        step = own["step"]
        parts = [lines(step["parts"][part]) if part in step["parts"] else "–" for part in PARTS]
        reached = [lines(to) if to["reached"] else "–" for to in own["to"].values()]
        found.append([name, machine.upper(), *parts, lines(step), lines(own["training"]), *reached])
    return found


def both(own: Mapping[str, Any]) -> str:
    """Time and energy in a phrase."""
    seconds, joules = own["seconds"], own["joules"]
    if seconds is None and joules is None:
        return "a time and an energy that are not known"
    time = "a time that is not known" if seconds is None else shown(seconds, "s", 3)
    return f"{time} and {'an energy that is not known' if joules is None else shown(joules, 'J', 3)}"


def lines(own: Mapping[str, Any]) -> list[str]:
    """Time and energy, a line each; what lacks where they are not known."""
    lacking = own.get("not_known", [])
    texts = [
        "not known" if own[name] is None else shown(own[name], unit, 3)
        for name, unit in (("seconds", "s"), ("joules", "J"))
    ]
    return [*texts, *lacking]
