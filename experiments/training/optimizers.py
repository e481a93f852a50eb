"""Kinds of optimizers. A kind is one entry here; its fields are those of ``Settings``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from experiments.shared.engines import EngineSettings
from experiments.shared.extras import require
from experiments.training.settings import Settings
from experiments.training.task import Learner
from optim.cost import FORMED, Work, factorised, gradient, iterated, orthogonalised, prepared
from optim.mapping import Mapping as Placement
from solvers.arithmetic import Arithmetic
from solvers.digital import Digital
from solvers.precision.rotated import Rotating
from solvers.sde import Sde
from solvers.solution import Solver
from solvers.spu import Spu
from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.files import shortened
from spu_circuit.hardware import Hardware

if TYPE_CHECKING:
    from optim.kfac import Kfac

Matrices = Sequence[tuple[int, int]]
"""Shapes of the parameters that are matrices."""
Table = Mapping[str, Any]
"""An optimizer's table in a resolved config: what its kind takes, and nothing else."""


@dataclass(frozen=True)
class Kind:
    """A kind of optimizer.

    Args:
        takes: its fields besides kind and learning rates.
        label: its settings in words.
        plain: what makes steps of gradients or natural gradients: an optax transformation of the settings and the
            learning rate, which may be traced.
        colour: of its curves.
        solver: of its linear systems, given the hardware that its settings name, where that is at hand; None: it has
            none.
        preconditioner: what scales its gradients by a curvature that it estimates of its own, for a learner and the
            parameters that it begins with; None: nothing does.
        flop: digital operations of a step that no array takes over; InputError where nobody knows them. None: nobody
            has counted them.
        needs: fields that must be given.
        hardware: what it has where its settings name no base.
    """

    takes: frozenset[str]
    label: Callable[[Table], str]
    plain: Callable[[Settings, Any], Any]
    colour: str
    solver: Callable[[Settings, Hardware | None], Solver | Rotating] | None = None
    preconditioner: "Callable[[Settings, Learner, Any], Kfac] | None" = None
    flop: Callable[[Settings, Work, Matrices], float] | None = None
    needs: frozenset[str] = frozenset()
    hardware: str = "none"

    @property
    def curved(self) -> bool:
        """Whether it solves systems with a factor of the curvature."""
        return self.solver is not None

    @property
    def analog(self) -> bool:
        """Whether a simulated array solves its systems."""
        return "analog_time" in self.takes

    @property
    def exact(self) -> bool:
        """Whether its systems are solved digitally."""
        return self.curved and not self.analog


def kind_named(name: str) -> Kind:
    """A kind of optimizer by its name. Raises InputError where there is none."""
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    raise InputError(f"no optimizer of kind {shortened(name)}; {did_you_mean(name, OPTIMIZERS, 'kinds')}")


def label(name: str, settings: Table) -> str:
    """An optimizer as people call it."""
    text = kind_named(settings["kind"]).label(settings)
    return text if name == settings["kind"] else f"{name}: {text}"


def _adam(settings: Settings, rate: Any) -> Any:
    import optax

    return optax.adam(rate, *settings.betas)


def _adamw(settings: Settings, rate: Any) -> Any:
    import optax

    return optax.adamw(rate, *settings.betas, weight_decay=settings.weight_decay)


def _muon(settings: Settings, rate: Any) -> Any:
    import optax.contrib

    return optax.contrib.muon(rate, beta=settings.momentum, weight_decay=settings.weight_decay)


def _sign(settings: Settings, rate: Any) -> Any:
    import optax

    return optax.sign_sgd(rate)


def _sgd(settings: Settings, rate: Any) -> Any:
    import optax

    return optax.sgd(rate, settings.momentum or None, settings.nesterov)


def _array_step(settings: Settings, rate: Any) -> Any:
    """Steps of natural gradients. With Adam, or signs, the momentum is one of what goes into it."""
    if not (settings.adam or settings.signs):
        return _sgd(settings, rate)
    import optax

    before = [optax.trace(settings.momentum, settings.nesterov)] if settings.momentum else []
    return optax.chain(*before, _sign(settings, rate) if settings.signs else _adam(settings, rate))


def _kfac(settings: Settings, learner: Learner, params: Any) -> "Kfac":
    require("kfac", "an optimizer of kind 'kfac'")
    from optim.kfac import kfac

    own = (settings.curvature, settings.draws, settings.curvature_decay)
    return kfac(learner.model, learner.loss, params, learner.sample, *own)


def _sgd_label(settings: Table) -> str:
    return f"SGD, momentum {settings['momentum']:g}" if settings["momentum"] else "SGD"


def _array(settings: Settings, hardware: Hardware | None) -> Solver | Rotating:
    device = hardware or settings.device()
    if device is None:
        return Sde(settings.injected_noise)
    return settings.made_precise(Spu(device, settings.chosen()))


def _digital(settings: Settings, hardware: Hardware | None) -> Solver:
    device = hardware or settings.device()
    if device is None:
        # Woodbury's identity is one of the mappings; what is left of it there is the factorisation of its K×K system.
        mapped = settings.solver == "woodbury" and settings.mapping in ("dual", "kernel")
        return Digital("cholesky" if mapped else settings.solver, iterations=settings.cg_iterations)
    iterations = settings.cg_iterations or MOST_ITERATIONS if settings.solver == "cg" else None
    return Spu(device, Arithmetic(iterations))


def _digital_label(settings: Table) -> str:
    solver, base = settings["solver"], settings["hardware"]["base"]
    iterations = f", {settings['cg_iterations']} iterations" if settings["cg_iterations"] else ""
    errors = "" if base == "none" else f", errors of {base}"
    return f"{'NGD' if errors or iterations else 'exact NGD'}{_memory(settings)} ({solver}{iterations}{errors})"


def _array_label(settings: Table) -> str:
    base = settings["hardware"]["base"]
    where = "ideal SDE" if base == "none" else f"{settings['engine']}, {base}"
    steps = "-Adam" if settings["adam"] else ", signs" if settings.get("signs") else ""
    return f"TNGD{steps}{_memory(settings)} ({where}{_precision(settings)})"


def _precision(settings: Table) -> str:
    """What is done for more precision, in words."""
    given = settings.get("precision") or {}
    told = [
        f"{given['refine']} corrections by {given['corrections']}" if given.get("refine") is not None else "",
        f"{given['reads']} reads" if given.get("reads", 1) > 1 else "",
        f"{given['programs']} programs" if given.get("programs", 1) > 1 else "",
        f"eigenvectors of every {given['rotate']} steps" if given.get("rotate") else "",
    ]
    return "".join(f", {text}" for text in told if text)


def _memory(settings: Table) -> str:
    return f" with memory {settings['memory']:g}" if settings.get("memory") else ""


def _first_order(operations: float) -> Callable[[Settings, Work, Matrices], float]:
    """Of gradients, and so many operations for each parameter."""
    return lambda settings, work, matrices: gradient(work) + (operations + _kept(settings)) * work.parameters


def _kept(settings: Settings) -> float:
    """Operations of a momentum for each parameter."""
    return (2.0 + 2.0 * settings.nesterov) if settings.momentum else 0.0


def _muon_flop(settings: Settings, work: Work, matrices: Matrices) -> float:
    return _first_order(4.0)(settings, work, matrices) + sum(orthogonalised(*shape) for shape in matrices)


def _array_flop(settings: Settings, work: Work, matrices: Matrices) -> float:
    """Of the step itself: what the array leaves to be done depends on its topology."""
    return ((12.0 if settings.adam else 2.0) + _kept(settings)) * work.parameters


def _digital_flop(settings: Settings, work: Work, matrices: Matrices) -> float:
    # Woodbury's identity in the parameters is the dual mapping, see _digital.
    mapping: Placement = "dual" if settings.solver == "woodbury" and work.mapping == "primal" else work.mapping
    mapped = replace(work, mapping=mapping)
    formed = prepared(work) + (2.0 + _kept(settings)) * work.parameters
    if settings.solver != "cg":
        return formed + FORMED[mapping](mapped) + factorised(mapped.cells)
    iterations = settings.cg_iterations or (MOST_ITERATIONS if settings.has_device else None)
    if iterations is None:
        raise InputError("cg_iterations: none is given, and how many reach 1e-10 depends on the system; give a number")
    return formed + iterated(replace(mapped, iterations=iterations))


MOST_ITERATIONS = 1000
"""Of conjugate gradients with errors, where no number is given."""
EVERY = frozenset({"batch_size", "schedules", "seeds"})
CURVED = EVERY | {
    "momentum",
    "nesterov",
    "damping",
    "damping_rule",
    "memory",
    "curvature",
    "curvature_samples",
    "micro_batch_size",
    "draws",
}
ENGINE = frozenset(EngineSettings.model_fields)
OPTIMIZERS = {
    "tngd": Kind(
        takes=CURVED
        | ENGINE
        | {
            "adam",
            "signs",
            "betas",
            "hardware",
            "copies",
            "injected_noise",
            "mapping",
            "analog_time",
            "warm_start",
            "delay",
            "doublings",
            "precision",
        },
        label=_array_label,
        plain=_array_step,
        colour="#d1495b",
        flop=_array_flop,
        solver=_array,
        hardware="bench",
    ),
    "ngd": Kind(
        takes=CURVED | {"mapping", "solver", "cg_iterations", "hardware", "copies", "doublings"},
        label=_digital_label,
        plain=_sgd,
        colour="#30638e",
        flop=_digital_flop,
        solver=_digital,
    ),
    "kfac": Kind(
        takes=EVERY | {"momentum", "nesterov", "damping", "curvature", "draws", "curvature_decay"},
        label=lambda settings: "K-FAC",
        plain=_sgd,
        colour="#3e8e7e",
        preconditioner=_kfac,
    ),
    "adam": Kind(
        takes=EVERY | {"betas"},
        label=lambda settings: "Adam",
        plain=_adam,
        colour="#edae49",
        flop=_first_order(12.0),
    ),
    "adamw": Kind(
        takes=EVERY | {"betas", "weight_decay"},
        label=lambda settings: "AdamW",
        plain=_adamw,
        colour="#c98a2b",
        flop=_first_order(14.0),
    ),
    "muon": Kind(
        takes=EVERY | {"momentum", "weight_decay"},
        label=lambda settings: "Muon",
        plain=_muon,
        colour="#8d6a9f",
        flop=_muon_flop,
        needs=frozenset({"momentum"}),
    ),
    "signsgd": Kind(
        takes=EVERY, label=lambda settings: "sign SGD", plain=_sign, colour="#7a7a7a", flop=_first_order(2.0)
    ),
    "sgd": Kind(
        takes=EVERY | {"momentum", "nesterov"},
        label=_sgd_label,
        plain=_sgd,
        colour="#66a182",
        flop=_first_order(2.0),
    ),
}
