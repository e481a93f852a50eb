"""What a large output dimension costs a step, and whether labels drawn from the model take the cost away."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.decrease import share_of
from experiments.claims.statements.language_models import LanguageModel, measured
from experiments.shared.figures import FigureEntry
from optim.cost import DIGITAL, PREPARED, Work

if TYPE_CHECKING:
    from jax import Array

    from solvers.solution import Solver
    from spu_circuit.problem import GgnSystem

GAUSS_NEWTON, SAMPLED = "Gauss-Newton", "sampled Fisher"
EXACT = "exact"
TOPOLOGIES = {"dual": "active", "factored": "factored"}
GRADIENT = "gradient"


@dataclass(frozen=True)
class Protocol:
    """One step of a network with one hidden layer and so many outputs, whose weights and samples are random; and one of
    language models.

    Args:
        outputs: d_z.
        samples: b.
        inputs, hidden: widths before the outputs.
        scale: standard deviation of the logits, about: so sure the network is.
        damping: λ in mean eigenvalues of the sampled Fisher matrix.
        devices: presets beside the exact solver.
        models: language models.
        text_damping: λ of theirs, likewise; their gradients are smaller.
    """

    seeds: tuple[int, ...]
    outputs: tuple[int, ...] = (10, 100, 1000, 10_000)
    samples: int = 32
    inputs: int = 16
    hidden: int = 16
    scale: float = 3.0
    damping: float = 0.1
    devices: tuple[str, ...] = ("paper", "bench")
    models: tuple[LanguageModel, ...] = (LanguageModel(256), LanguageModel(10_000))
    text_damping: float = 0.01

    def parameters(self, outputs: int) -> int:
        """N."""
        return (self.inputs + 1) * self.hidden + (self.hidden + 1) * outputs


def _measure(protocol: Protocol, given: Given) -> Rows:
    return [
        *_costs(protocol),
        *(row for d in protocol.outputs for seed in protocol.seeds for row in given.kept(_step, protocol, d, seed)),
        *(
            row
            for own in protocol.models
            for seed in protocol.seeds
            for row in given.kept(measured, own, seed, protocol.text_damping)
        ),
    ]


def _costs(protocol: Protocol) -> list[Row]:
    """Operations that a step leaves to the digital side, beside those of SGD."""
    found: list[Row] = []
    for outputs in protocol.outputs:
        b, N = protocol.samples, protocol.parameters(outputs)
        for curvature, rows in ((GAUSS_NEWTON, b * (outputs - 1)), (SAMPLED, b)):
            work = Work(N, b, rows)
            for mapping, topology in TOPOLOGIES.items():
                resistors = rows**2 if mapping == "dual" else 2 * rows * N
                found.append(
                    {
                        "part": "cost",
                        "outputs": outputs,
                        "curvature": curvature,
                        "mapping": mapping,
                        "cells": rows,
                        "entries": resistors,
                        "times_sgd": PREPARED[topology](work) / DIGITAL["SGD"](work),
                    }
                )
    return found


def _step(protocol: Protocol, outputs: int, seed: int) -> list[Row]:
    """How much of the decrease that damped Gauss-Newton promises each direction reaches at its best length."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    from optim.curvature import loss_and_gradient, sampled_fisher_factor
    from optim.losses import softmax_cross_entropy as loss
    from solvers.digital import Digital
    from solvers.network import Network
    from solvers.spu import Spu
    from spu_circuit.hardware import load_hardware
    from spu_circuit.problem import GgnSystem

    own, teacher, data, labels, draws = jax.random.split(jax.random.key(seed), 5)

    def model(params: Any, x: "Array") -> "Array":
        hidden = jnp.tanh(x @ params["W"] + params["b"])
        return hidden @ params["V"] + params["c"]

    def drawn(key: "Array") -> Any:
        first, second = jax.random.split(key)
        h = protocol.hidden
        return {
            "W": jax.random.normal(first, (protocol.inputs, h)) / jnp.sqrt(protocol.inputs),
            "b": jnp.zeros(h),
            # A hyperbolic tangent of a standard normal number has a variance of 0.39.
            "V": jax.random.normal(second, (h, outputs)) * protocol.scale / jnp.sqrt(0.39 * h),
            "c": jnp.zeros(outputs),
        }

    params = drawn(own)
    x = jax.random.normal(data, (protocol.samples, protocol.inputs))
    y = jax.random.categorical(labels, model(drawn(teacher), x))
    g = ravel_pytree(loss_and_gradient(model, loss, params, x, y)[1])[0]
    B = sampled_fisher_factor(model, loss, params, x, y, draws)
    damping = protocol.damping * float(jnp.sum(B**2)) / protocol.samples

    share = share_of(model, params, x, g, damping)
    system = GgnSystem(np.asarray(B, float), damping, np.asarray(g, float))
    solvers: dict[str, Solver] = {EXACT: Digital("woodbury")}
    solvers |= {name: Spu(load_hardware(name), Network()) for name in protocol.devices}
    row = {"part": "step", "outputs": outputs, "seed": seed, "gradient": share(g)}
    return [row | {"solver": name} | _solved(solver, system, share) for name, solver in solvers.items()]


def _solved(solver: "Solver", system: "GgnSystem", share: Any) -> dict[str, Any]:
    from optim.mapping import solve_mapped
    from spu_circuit.errors import MappingError

    try:
        return {
            "share": share(solve_mapped(solver, system, "dual" if solver.analog else "primal").value),
            "refused": "",
        }
    except MappingError as error:
        return {"share": None, "refused": str(error)}


def _conditions(rows: Rows) -> list[Condition]:
    costs = {
        (row["curvature"], row["mapping"], row["outputs"]): row["times_sgd"] for row in rows if row["part"] == "cost"
    }
    least = min(outputs for _, _, outputs in costs)
    found = [
        Condition(
            f"work of {curvature}, {mapping}",
            _point(outputs),
            (times / costs[curvature, mapping, least],),
            outputs / least,
            "below",
            exact=True,
        )
        for (curvature, mapping, outputs), times in costs.items()
        if outputs > least
    ]
    steps = grouped([row for row in rows if row["part"] == "step"], "solver", "outputs")
    found += [_better(f"{SAMPLED}, {solver}", outputs, own) for (solver, outputs), own in steps.items()]
    drawn = [row for row in rows if row["part"] == "language" and row["drawn"]]
    texts = grouped(drawn, "curvature", "outputs")
    return found + [_better(f"language model, {kind}", outputs, own) for (kind, outputs), own in texts.items()]


def _better(setting: str, outputs: int, rows: Rows) -> Condition:
    """Whether a share is above the gradient's."""
    apart = np.subtract(column(rows, "share"), column(rows, "gradient"))
    return Condition(setting, _point(outputs), tuple(apart.tolist()), 0.0, "above")


def _point(outputs: int) -> str:
    return f"d_z = {outputs:,}"


def _finding(rows: Rows) -> str:
    costs = grouped([row for row in rows if row["part"] == "cost"], "outputs")
    most = max(costs)
    work = ", ".join(
        f"{row['curvature']} {row['mapping']} {row['times_sgd']:.3g} ({row['cells']:,} cells)" for row in costs[most]
    )
    told = []
    for (outputs,), own in grouped([row for row in rows if row["part"] == "step"], "outputs").items():
        means = {solver: np.mean(column(some, "share")) for (solver,), some in grouped(own, "solver").items()}
        shares = ", ".join(f"{solver} {mean:.2f}" for solver, mean in means.items())
        told.append(f"{_point(outputs)}: {shares}, gradient {np.mean(column(own, 'gradient')):.2f}")
    texts = grouped([row for row in rows if row["part"] == "language"], "outputs")
    for (outputs,), own in texts.items():
        means = {kind: np.mean(column(some, "share")) for (kind,), some in grouped(own, "curvature").items()}
        shares = ", ".join(f"{kind} {mean:.2f}" for kind, mean in means.items())
        told.append(f"language model of {_point(outputs)}: {shares}, gradient {np.mean(column(own, 'gradient')):.2f}")
    return (
        f"Work of a step in the place of SGD's at {_point(most[0])}: {work}. Share of Gauss-Newton's decrease, means "
        f"over seeds: {'; '.join(told)}."
    )


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    steps = [row for row in rows if row["part"] == "step"]
    shown: list[Row] = [{**row, "case": f"{SAMPLED}, {row['solver']}"} for row in steps]
    shown += [{**row, "case": GRADIENT, "share": row["gradient"]} for row in steps if row["solver"] == EXACT]
    texts = [row for row in rows if row["part"] == "language"]
    shown += [{**row, "case": f"language model, {row['curvature']}"} for row in texts]
    if texts:
        first = texts[0]["curvature"]
        shown += [
            {**row, "case": f"language model, {GRADIENT}", "share": row["gradient"]}
            for row in texts
            if row["curvature"] == first
        ]
    return curves(
        *(shown, "case", "outputs", "share", None, False),
        xlabel="output dimension d_z",
        ylabel="share of Gauss-Newton's decrease",
        xscale="log",
    )


CLAIM = Claim(
    name="output-dimension",
    statement="TNGD bears large output dimensions: a step's work beside SGD's grows no faster than d_z. Labels drawn "
    "from the model make it independent of d_z, and the step is still better than the gradient's.",
    source="arXiv 2405.13817, table 1 (O(b d_z N) for TNGD, O(bN) for SGD) and its question of large d_z; sampled "
    "labels are this project's",
    method="A network with one hidden layer, softmax outputs, random weights and samples, labels of another such "
    "network. Work by the ledger's counts. A direction is judged by the decrease of the damped Gauss-Newton model at "
    "its best length, as a share of the most that is possible, which conjugate gradients find. One label for each "
    "sample; solved exactly and by operating points of the devices. Likewise two small transformers that tell the next "
    "symbol of a made-up text, of 256 and of 10,000 symbols, after some steps of Adam: sampled Fisher with one draw "
    "and with four, and empirical Fisher, solved exactly.",
    rule="Work over SGD's, beside the same at the least d_z, is below the quotient of the d_z (computed, no interval); "
    "the share is above the gradient's in the mean over seeds, paired.",
    full=Protocol(FRESH[150:170]),
    quick=Protocol((0, 1, 2), outputs=(10, 100, 1000), samples=16, models=(LanguageModel(256, steps=50),)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry(
        "output-dimension", "Share of Gauss-Newton's decrease", "Means over seeds, 95 % intervals.", _draw
    ),
)
