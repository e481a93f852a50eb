"""TNGD-Adam without Adam's memories takes signs of what the device returns, of the gradient where t is short."""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Any

from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.digits import experiment_of
from experiments.shared.figures import FigureEntry

MARGIN = 0.02
"""Difference of the final validation loss that is as good as none."""
SIGN, ADAM = "sign", "adam without memory"


@dataclass(frozen=True)
class Protocol:
    """Short trainings on digits, each from the same weights on the same batches for all optimizers.

    Args:
        times: of the device, τ; 0: the gradient itself.
    """

    seeds: tuple[int, ...]
    steps: int
    times: tuple[float, ...] = (0.0, 0.01, 0.1, 0.4, 5.0)
    hidden: int = 8
    batch: int = 32
    rate: float = 0.01
    damping: float = 1.0


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for time in protocol.times:
        for update in (SIGN, ADAM):
            trained = _training(protocol, time, update)
            for seed in protocol.seeds:
                row: dict[str, Any] = {"time_tau": time, "update": update, "seed": seed}
                found.append(row | trained(seed))
    return found


def _training(protocol: Protocol, time: float, update: str) -> Callable[[int], dict[str, float]]:
    """Makes of a seed the validation loss and score after a training on what the ideal equation returns."""
    import jax
    import jax.numpy as jnp
    import optax

    from experiments.training.methods import learner_of
    from experiments.training.tasks import task_named
    from experiments.training.trial import batch
    from optim.curvature import gauss_newton_factor, loss_and_gradient
    from optim.natural_gradient import scale_by_natural_gradient
    from solvers.sde import Sde

    settings = {"kind": "signsgd", "learning_rates": [protocol.rate]}
    experiment = experiment_of(settings, protocol.seeds, protocol.steps, protocol.hidden, protocol.batch)
    learner, data = learner_of(experiment), task_named("digits").load(experiment.data, None)
    steps = {SIGN: optax.sign_sgd(protocol.rate), ADAM: optax.adam(protocol.rate, b1=0.0, b2=0.0)}
    optimizer = optax.chain(scale_by_natural_gradient(Sde(), protocol.damping, time, "primal"), steps[update])
    (inputs, targets), own = data.train, (learner.model, learner.loss)

    @jax.jit
    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        _, gradient = loss_and_gradient(*own, params, x, y)
        updates, state = optimizer.update(gradient, state, params, curvature=gauss_newton_factor(*own, params, x, y))
        return optax.apply_updates(params, updates), state

    def trained(seed: int) -> dict[str, float]:
        params = learner.begin(seed)
        state = optimizer.init(params)
        for number in range(protocol.steps):
            rows = batch(number, protocol.batch, len(targets), seed)
            params, state = step(params, state, inputs[rows], targets[rows])
        seen, wanted = map(jnp.asarray, data.validation)
        outputs = learner.model(params, seen)
        return {"loss": float(learner.loss.mean(outputs, wanted)), "score": float(learner.score(outputs, wanted))}

    return trained


def _final(rows: Rows, time: float, update: str) -> dict[int, float]:
    """Losses by seed; NaN where there is none."""
    return {
        row["seed"]: nan if row["loss"] is None else row["loss"]
        for row in rows
        if row["time_tau"] == time and row["update"] == update
    }


def _apart(ours: dict[int, float], theirs: dict[int, float]) -> tuple[float, ...]:
    return tuple(ours[seed] - theirs[seed] for seed in ours)


def _conditions(rows: Rows) -> list[Condition]:
    times = [time for (time,) in grouped(rows, "time_tau")]
    alike = [
        Condition(
            "Adam beside signs of the same g̃",
            f"{time:g} τ",
            _apart(_final(rows, time, ADAM), _final(rows, time, SIGN)),
            MARGIN,
            "within",
        )
        for time in times
    ]
    plain = _final(rows, 0.0, SIGN)
    short = [
        Condition(
            "Adam beside sign SGD",
            f"{time:g} τ",
            _apart(_final(rows, time, ADAM), plain),
            MARGIN,
            "within",
        )
        for time in times
        if time > 0
    ]
    return alike + short


def _finding(rows: Rows) -> str:
    told = []
    for condition in _conditions(rows):
        mean, low, high = condition.interval
        told.append(f"{condition.group} at {condition.point} {mean:+.4f} ({low:+.4f} to {high:+.4f})")
    return f"Differences of the final validation loss: {'; '.join(told)}."


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    return curves(
        *(rows, "update", "time_tau", "loss"),
        xlabel="time of the device (τ); 0: sign SGD",
        ylabel="final validation loss",
    )


CLAIM = Claim(
    name="sign-descent",
    statement="TNGD-Adam at β₁ = β₂ = 0 is sign descent on what the device returns, and at the paper's times of 0.1 to "
    "0.4 τ nothing but sign SGD.",
    source="arXiv 2405.13817, experiment on SQuAD (β₁ = β₂ = 0, λ = 1, t = 0.1, 0.2, 0.4 τ), without this control",
    method="Short trainings of a small network on digits: gradients relax for t on the ideal equation (primal mapping, "
    "λ = 1), then steps of their signs, or of Adam without memory, from the same weights on the same batches.",
    rule=f"The difference of the final validation loss is within {MARGIN:g} in the mean over seeds, paired: of Adam "
    "from signs at the same t, for each t; and of Adam at each t above 0 from sign SGD.",
    full=Protocol(FRESH[100:116], 60),
    quick=Protocol(tuple(range(3)), 10, (0.0, 0.1, 5.0)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry(
        "sign-descent", "Final loss by time of the device", "Geometric means over seeds, 95 % intervals.", _draw
    ),
)
