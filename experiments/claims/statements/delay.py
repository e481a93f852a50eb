"""Whether a state that is kept, or a delay, beats exact natural gradients, across kinds of networks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.figures import PALETTE
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.devices import ENGINE
from experiments.claims.statements.digits import last_step, trainings
from experiments.claims.statements.early_settings import told_of
from experiments.claims.statements.tuning import FORGOTTEN, Range, settings, tuned
from experiments.shared.figures import FigureEntry

Table = dict[str, Any]
IMAGES: Table = {"task": "digits", "data": {"train": 1257, "validation": 180, "test": 360}}
TEXTS: Table = {
    "task": "characters",
    "data": {"train": 4000, "validation": 500, "test": 500, "context": 16, "words": 30},
}
SMALL = "small perceptron"
"""Of 61 parameters: an array has one cell for each of them, and fewer rows of a batch."""
NETWORKS: dict[str, Table] = {
    "perceptron": IMAGES | {"network": {"kind": "mlp", "hidden": [32]}},
    "convolutional": IMAGES | {"network": {"kind": "cnn", "hidden": [16], "channels": 4}},
    "recurrent": TEXTS | {"network": {"kind": "gru", "width": 8, "hidden": 16}},
    "transformer": TEXTS | {"network": {"kind": "transformer", "width": 8, "hidden": 16}},
    SMALL: {
        "task": "regression",
        "data": {"source": "friedman", "train": 1000, "validation": 500, "test": 500},
        "network": {"hidden": [5]},
        "batch_size": 32,
    },
}
EXACT = "exact NGD"
CURVED: Table = {
    "curvature": "sampled fisher",
    "learning_rates": [Range(0.05, 5.0)],
    "damping": Range(0.03, 3.0),
}
WARM: Table = CURVED | {"kind": "tngd", "hardware": "none", "mapping": "primal", "warm_start": True, "analog_time": 5.0}
WAYS: dict[str, Table] = {
    EXACT: CURVED | {"kind": "ngd"},
    "no delay": WARM,
    "delay of 0.2 τ": WARM | {"delay": 0.2},
    "delay of 1 τ": WARM | {"delay": 1.0},
    "read after 1 τ": WARM | {"analog_time": 1.0},
}
ON_A_CIRCUIT = [way for way in WAYS if way != EXACT]
CONTROLS: dict[str, Table] = {
    "NGD with momentum": CURVED | {"kind": "ngd", "momentum": FORGOTTEN},
    "NGD with memory": CURVED | {"kind": "ngd", "memory": FORGOTTEN},
    "SGD with momentum": {"kind": "sgd", "learning_rates": [Range(0.03, 3.0)], "momentum": FORGOTTEN},
}
"""What else carries old steps on. They are shown, and are no conditions of the claim."""
LINEAR = 0.02
"""Difference of losses up to which the figure's scale is linear."""
DIGITAL = "none"
"""In the place of a preset: the ideal equation, or none at all."""


@dataclass(frozen=True)
class Protocol:
    """Trainings; settings are chosen on the tuning seeds, for each network and way.

    Args:
        count: settings that are tried of each.
        circuits: presets that train the small perceptron, with the settings of the ideal equation.
        batch: where a network has none of its own.
    """

    seeds: tuple[int, ...]
    tuning: tuple[int, ...]
    steps: int = 100
    networks: tuple[str, ...] = tuple(NETWORKS)
    ways: tuple[str, ...] = (*WAYS, *CONTROLS)
    count: int = 16
    batch: int = 64
    circuits: tuple[str, ...] = ("paper", "bench", "rram")


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for network in protocol.networks:
        for way in protocol.ways:
            rows, chosen = tuned(
                (
                    (setting, given.kept(_trained, protocol, network, DIGITAL, way, setting, protocol.tuning, "tuning"))
                    for setting in settings((WAYS | CONTROLS)[way], protocol.count)
                ),
                lambda row: row["loss"],
            )
            found += rows
            for device in (DIGITAL, *(protocol.circuits if network == SMALL and way in ON_A_CIRCUIT else ())):
                found += given.kept(_trained, protocol, network, device, way, chosen, protocol.seeds, "verdict")
    return found


def _trained(
    protocol: Protocol, network: str, device: str, way: str, setting: Table, seeds: Sequence[int], part: str
) -> Iterator[Row]:
    """A row for each seed: the validation loss at the end, None where a training broke off."""
    from experiments.training.config import read_experiment

    optimizer = setting if device == DIGITAL else {**setting, "hardware": device, **ENGINE}
    sizes = {"steps": protocol.steps, "batch_size": protocol.batch, "evaluate_every": protocol.steps}
    experiment = read_experiment(
        {"name": "claim", **sizes, **NETWORKS[network], "seeds": list(seeds), "optimizers": {"one": optimizer}}, "claim"
    )
    for seed, chunk in trainings(experiment):
        last = last_step(chunk, protocol.steps)
        told: Table = {"network": network, "device": device, "way": way, "settings": told_of(setting), "part": part}
        ended: Table = {"loss": last.validation_loss if last else None, "score": last.score if last else None}
        raised = sum(step.doublings > 0 for step in chunk.steps)
        yield told | {"seed": seed} | ended | {"raised": raised, "failure": str(chunk.error or "")}


def _conditions(rows: Rows) -> list[Condition]:
    judged = _judged(rows)
    return [
        Condition(_place(network, device), way, _apart(own, judged[network, DIGITAL, EXACT]), 0.0, "below")
        for (network, device, way), own in judged.items()
        if way in ON_A_CIRCUIT
    ]


def _judged(rows: Rows) -> dict[tuple[str, str, str], list[Row]]:
    """Rows of the verdict's seeds, by network, device and way."""
    return grouped([row for row in rows if row["part"] == "verdict"], "network", "device", "way")


def _place(network: str, device: str) -> str:
    """A network, and the circuit that trains it."""
    return network if device == DIGITAL else f"{network}, {device}"


def _apart(rows: Rows, exact: Rows) -> tuple[float, ...]:
    """Losses less those of exact NGD, of the seeds in which this does not break off."""
    pairs = zip(column(rows, "loss"), column(exact, "loss"), strict=True) if rows else ()
    found = tuple(own - theirs for own, theirs in pairs if np.isfinite(theirs))
    return found if len(found) > 1 else (np.nan, np.nan)


def _finding(rows: Rows) -> str:
    told: dict[str, list[str]] = {}
    for (network, device, way), own in _judged(rows).items():
        end = f"{way} {np.mean(column(own, 'loss')):.3f} ({own[0]['settings']})"
        told.setdefault(_place(network, device), []).append(end)
    ends = "; ".join(f"{place}: {', '.join(own)}" for place, own in told.items())
    raised = sum(row["raised"] for row in rows)
    return (
        f"Validation losses at the end, means over seeds, nan where one broke off. {ends}. Circuits raised λ in "
        f"{raised} steps in all."
    )


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    figure = Figure(figsize=(11, 5), layout="constrained")
    panel, judged = figure.subplots(), _judged(rows)
    places = list(dict.fromkeys(key[:2] for key in judged))
    ways = [way for way in dict.fromkeys(way for _, _, way in judged) if way != EXACT]
    told = []
    for k, way in enumerate(ways):
        label: str | None = way
        for n, place in enumerate(places):
            apart = _apart(judged.get((*place, way), []), judged[place[0], DIGITAL, EXACT])
            if not np.isfinite(apart).all():
                continue
            mean, low, high = Condition("", "", apart, 0.0, "below").interval
            panel.errorbar(
                [n + 0.12 * (k - (len(ways) - 1) / 2)], [mean], [[mean - low], [high - mean]],
                fmt="o", ms=5, capsize=3, color=PALETTE[k % len(PALETTE)], label=label,
            )  # fmt: skip
            told.append(f"{_place(*place)}, {way}: {mean:+.3g}")
            label = None
    if not told:
        return None
    panel.axhline(0, color="k", lw=1, ls="--")
    panel.set_xticks(range(len(places)), [_place(*place).replace(",", "").replace(" ", "\n") for place in places])
    panel.set_yscale("symlog", linthresh=LINEAR)
    panel.set(ylabel="validation loss less that of exact NGD")
    figure.legend(loc="outside right center", fontsize=9)
    return figure, f"Validation loss at the end less that of exact NGD. {'; '.join(told)}"


CLAIM = Claim(
    name="delay",
    statement="A state that the array keeps, and a delay of gradient and curvature, act as a momentum that beats exact "
    "natural gradients, whatever the network.",
    source="arXiv 2405.13817, for one convolutional network; across networks it is an open question there",
    method="The ideal equation in all parameters, warm, read after 5 τ, with no delay, 0.2 τ and 1 τ, and after 1 τ; "
    "exact NGD; and as controls NGD with a momentum, and with the memory of SPRING, and SGD with a momentum. A "
    "perceptron and a convolutional network on digits, gated recurrent units and a transformer on characters, in "
    "batches of 64; a perceptron of 61 parameters on Friedman's function, in batches of 32. One drawn label each. "
    "Of every way 16 settings are tried on tuning seeds, points of Sobol's sequence in its learning rate, λ of natural "
    "gradients, and momentum or memory; the least validation loss at the end chooses. A state can be kept in "
    "the parameters alone, with a cell for each of them (in the dual mapping cells stand for samples, others in every "
    "batch), so the smallest network is trained on circuits, too: those of three presets with their noise and the "
    "settings of the ideal equation. What they hold is read in every step, and put back at the scale of the next one's "
    "voltages.",
    rule="The validation loss at the end is below that of exact NGD in the mean over seeds, paired, for each network, "
    "device and delay. A training that breaks off makes its condition fail; seeds in which exact NGD itself does count "
    "for nothing.",
    full=Protocol(FRESH[372:388], (0, 1, 2, 3, 4, 5)),
    quick=Protocol(
        *((2, 3), (0,), 30, ("perceptron", SMALL), (EXACT, "no delay", "delay of 1 τ"), 2), circuits=("bench",)
    ),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("delay", "What a kept state is worth", "Means over seeds with 95 % intervals.", _draw),
)
