"""Natural gradients for PyTorch: ``.grad`` of a module becomes g̃, and any of torch's optimizers steps with it."""

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optim.mapping import OUTSIDE, Mapping, solve_mapped
from optim.options import at_least, check_options, real, whole
from optim.seeds import step_seed
from optim.torch.curvature import PART, check_budget, curvature_factor, curvature_named, gradient_coordinates
from optim.torch.losses import loss_named
from optim.torch.module import (
    Inputs,
    Named,
    PerSample,
    batch_size,
    called,
    check_module,
    random_state,
    refuse_coupled,
    seeded,
    trained_parameters,
)
from solvers.precision.rotated import Rotating
from solvers.refinement import UNHELD
from solvers.solution import Solution, Solver
from spu_circuit.errors import InputError, MappingError
from spu_circuit.problem import GgnSystem

Array = NDArray[np.float64]
Schedule = Callable[[int], float]
"""A function of the number of the step."""

ALONE = 10
"""In square roots of a type's resolution: how far outputs of a sample alone may be from its outputs in a batch."""


class NaturalGradient:
    """Replace the gradient g of a module by the solution of ``(BᵀB + λI) g̃ = g`` (arXiv 2405.13817).

    ``step`` takes the place of ``loss.backward()``; clipping, schedules and the optimizer's own ``step`` follow it as
    they do there. What requires no gradient is neither differentiated nor touched.

    g is what torch's autograd gives for the batch. B has a row for each sample and column of the curvature, by
    ``torch.func``; the device solves in double precision on the host, wherever the module and whatever its type is.

    With memory μ it is the SPRING step (arXiv 2401.10190, Eq. 27), see ``optim.natural_gradient``.

    Args:
        model: outputs (b, ...) of a batch; no sample may influence another.
        loss: ``torch.nn.CrossEntropyLoss()``, ``MSELoss()`` or ``BCEWithLogitsLoss()``, a mean over the batch.
        solver: digital, ideal or an ``Spu``, or what is made of one.
        damping: λ > 0, or a function of the step's number. Kept as an attribute, which a training may change.
        curvature: "ggn", "fisher" (empirical) or "sampled fisher", of targets drawn from the model.
        draws: m, targets drawn for each sample; of a sampled Fisher matrix alone.
        analog_time: t in τ. Infinite: the natural gradient.
        mapping: "primal" relaxes N cells, "dual" and "kernel" K cells; see ``optim.mapping``.
        warm_start: the array keeps g̃ between steps instead of starting from g. Primal only.
        seed: of drawn targets, the device's noise and random numbers in the module, such as dropout's, together with
            the number of the step; below 2³².
        memory: μ, from 0 to below 1.
        doublings: how often λ is doubled, at most, in a step whose matrix a device cannot hold: it cannot be
            programmed, or refinement with it does not converge.
        micro_batch_size: samples whose rows of B are made together; None: as many as 256 MB hold.
        budget: bytes that B may take in double precision.

    Attributes:
        number: of the next step, from 0.
        solution: what the solver said of the last step, with its statistics; None before the first.
        solved_damping: λ of the last solve, larger than the wanted one where it was doubled; None before the first.

    Raises:
        InputError: an option out of range, options that exclude each other, a loss whose curvature is not known, or a
            module that trains nothing.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        solver: Solver | Rotating,
        damping: float | Schedule,
        *,
        curvature: str = "ggn",
        draws: int = 1,
        analog_time: float = inf,
        mapping: Mapping = "dual",
        warm_start: bool = False,
        seed: int = 0,
        memory: float = 0.0,
        doublings: int = 0,
        micro_batch_size: int | None = None,
        budget: int = 4 * 10**9,
    ):
        check_module(model)
        known = None if callable(damping) else damping
        if not callable(damping):
            real("damping", damping)
        analog_time = real("analog_time", analog_time)
        at_least(1, "draws", whole("draws", draws))
        at_least(0, "doublings", whole("doublings", doublings))
        at_least(1, "budget", real("budget", budget))
        if micro_batch_size is not None:
            at_least(1, "micro_batch_size", whole("micro_batch_size", micro_batch_size))
        check_options(solver, known, analog_time != inf, mapping, warm_start, 0.0, whole("seed", seed), memory)
        if mapping == "kernel" and curvature == "sampled fisher":
            raise InputError(f"mapping 'kernel': {OUTSIDE}")
        if draws != 1 and curvature != "sampled fisher":
            raise InputError(f"draws is {draws}, but {curvature} draws nothing; use curvature='sampled fisher'")
        self.model, self.loss, self.solver, self.damping = model, loss, solver, damping
        self.curvature, self.draws = curvature, draws
        self.analog_time, self.mapping, self.warm_start = analog_time, mapping, warm_start
        self.seed, self.memory, self.doublings = seed, memory, doublings
        self.micro_batch_size, self.budget = micro_batch_size, budget
        self.number = 0
        self.solution: Solution | None = None
        self.solved_damping: float | None = None
        self._loss, self._kind = loss_named(loss), curvature_named(curvature)
        self._names = tuple(self._trained())
        self._remembered: Array | None = None
        self._voltages: Array | None = None
        self._basis: Array | None = None

    def step(self, inputs: Inputs, targets: Tensor) -> Tensor:
        """Put g̃ into ``.grad`` of the parameters that require one, in their own types and on their own devices.

        Args:
            inputs: of a batch, (b, ...); a tuple of several or a mapping of names where the module takes more.
            targets: as torch's loss takes them.

        Returns:
            The loss of the batch, (), without a graph.

        Raises:
            InputError: a loss, gradient or curvature that is not finite; samples that influence each other; targets
                or outputs that do not fit the loss; a factor above the budget; parameters that were frozen or thawed
                while there is memory.
            MappingError, SimulationError: what the solver says. After any error neither gradients nor state changed.
        """
        trained = self._trained()
        kept = (self._remembered, self._voltages, self._basis)
        if tuple(trained) != self._names and any(part is not None for part in kept):
            raise InputError("the trained parameters are others than a step before; make a new NaturalGradient")
        refuse_coupled(self.model)
        value, gradient, B, coordinates = self._linearised(trained, inputs, targets)
        system = GgnSystem(B, self._wanted_damping(), gradient)
        remembered = np.zeros_like(gradient) if self._remembered is None else self.memory * self._remembered
        if self.memory:
            known = B @ remembered
            system = system.facing(gradient - B.T @ known)
            coordinates = None if coordinates is None else coordinates - known
        solution, damping, basis = self._solved(system, coordinates)
        natural = solution.value + remembered
        begin = 0
        for parameter in trained.values():
            part = natural[begin : begin + parameter.numel()].reshape(tuple(parameter.shape))
            parameter.grad = torch.from_numpy(part.copy()).to(parameter.device, parameter.dtype)
            begin += parameter.numel()
        self._names, self.number = tuple(trained), self.number + 1
        self.solution, self.solved_damping, self._basis = solution, damping, basis
        self._remembered = natural if self.memory else None
        self._voltages = natural if self.warm_start else None
        return value

    def state_dict(self) -> dict[str, Any]:
        """What a run keeps between steps: numbers, names and tensors, for ``torch.save``.

        A damping that is a function is not kept; it knows its value by the number of the step.
        """
        kept = {"remembered": self._remembered, "voltages": self._voltages, "basis": self._basis}
        return {
            "number": self.number,
            "seed": self.seed,
            "damping": None if callable(self.damping) else float(self.damping),
            "parameters": list(self._names),
            **{name: None if part is None else torch.from_numpy(part.copy()) for name, part in kept.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another run was; the same options and batches then give the same bits.

        Raises:
            InputError: it is of other parameters, or keeps what these options do not use, or the reverse.
        """
        own = set(self.state_dict())
        if not isinstance(state, dict):
            raise InputError(f"state is a {type(state).__name__}; give what state_dict() returned")
        if set(state) != own:
            raise InputError(f"state has {', '.join(sorted(state)) or 'nothing'}; it needs {', '.join(sorted(own))}")
        trained = self._trained()
        if list(trained) != list(state["parameters"]):
            raise InputError(
                f"state is of {len(state['parameters'])} parameters, the module trains {len(trained)} or others; load "
                "it with the module that it was saved with, with the same ones frozen"
            )
        size = sum(parameter.numel() for parameter in trained.values())
        uses = {"remembered": ("memory", bool(self.memory)), "voltages": ("warm_start", self.warm_start)}
        for name, (option, used) in uses.items():
            part = state[name]
            if (part is not None) != (used and state["number"] > 0):
                raise InputError(f"state was saved {'with' if part is not None else 'without'} {option}; use the same")
            if part is not None and tuple(part.shape) != (size,):
                raise InputError(f"state: {name} has shape {tuple(part.shape)}; this module needs ({size},)")
        self.number, self.seed, self._names = int(state["number"]), int(state["seed"]), tuple(trained)
        if state["damping"] is not None and not callable(self.damping):
            self.damping = state["damping"]
        self._remembered, self._voltages, self._basis = (
            None if state[name] is None else np.asarray(state[name].cpu().double().numpy(), dtype=np.float64).copy()
            for name in ("remembered", "voltages", "basis")
        )

    def _trained(self) -> Named:
        trained = trained_parameters(self.model)
        if not trained:
            raise InputError("model: no parameter requires a gradient; set requires_grad on what is to be trained")
        return trained

    def _wanted_damping(self) -> float:
        return real("damping", self.damping(self.number) if callable(self.damping) else self.damping)

    def _linearised(self, trained: Named, inputs: Inputs, targets: Tensor) -> tuple[Tensor, Array, Array, Array | None]:
        """The loss (), g (N,), B (K, N), and for the kernel mapping ρ (K,), of this step."""
        if not isinstance(targets, Tensor):
            raise InputError(f"targets are a {type(targets).__name__}; give a tensor")
        seed = step_seed(self.seed, self.number, 1)  # there is no delay here, whose seed this is
        with torch.enable_grad(), seeded(seed, self.model):
            before = random_state(self.model)
            outputs = called(self.model, inputs)
            draws_random = any(not torch.equal(a, b) for a, b in zip(before, random_state(self.model), strict=True))
            if refusal := self._loss.refusal(self.loss, outputs, targets):
                raise InputError(f"loss: {refusal}")
            loss = self.loss(outputs, targets)
            found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True, materialize_grads=True)
        self._check_finite(loss, dict(zip(trained, found, strict=True)))
        gradient = np.concatenate([part.reshape(-1).cpu().double().numpy() for part in found])
        shape, samples = tuple(outputs.shape[1:]), batch_size(inputs)
        check_budget(self.curvature, self._loss, shape, samples, self.draws, gradient.size, self.budget)
        rows = self._kind.rows(self._loss, shape, self.draws)
        together = self.micro_batch_size or max(1, PART // (rows * sum(p.nbytes for p in trained.values())))
        B, alone = curvature_factor(
            self._kind, self._loss, PerSample(self.model, trained), inputs, targets, self.draws, seed, together
        )
        if not draws_random:
            _check_alone(outputs.detach(), alone)
        if not np.isfinite(B).all():
            sample = int(np.argmin(np.isfinite(B).all(axis=1))) // rows
            raise InputError(f"curvature of sample {sample} is not finite in step {self.number}; {CALMER}")
        coordinates = None
        if self.mapping == "kernel":
            coordinates = gradient_coordinates(self._kind, self._loss, alone, targets)
        return loss.detach(), gradient, B, coordinates

    def _check_finite(self, loss: Tensor, gradient: Named) -> None:
        for name, part in gradient.items():
            if part.layout != torch.strided:
                raise InputError(f"gradient of {name} is sparse; make the module that has it with sparse=False")
        for name, part in {"loss": loss, **{f"gradient of {name}": part for name, part in gradient.items()}}.items():
            if not bool(torch.isfinite(part).all()):
                raise InputError(f"{name} is not finite in step {self.number}; {CALMER}")

    def _solved(self, system: GgnSystem, coordinates: Array | None) -> tuple[Solution, float, Array | None]:
        """The solution of this step, the λ that it was solved with, and the basis that the solver rotated into."""
        seed = step_seed(self.seed, self.number)
        solver, basis = self.solver, None
        if isinstance(solver, Rotating):
            A = (system.primal() if self.mapping == "primal" else system.dual()).A
            if self._basis is not None and self._basis.shape != A.shape:
                raise InputError(
                    f"the device is rotated into {len(self._basis)} eigenvectors, this batch makes {len(A)} unknowns; "
                    "keep the batch size"
                )
            old, number = (np.zeros_like(A), 0) if self._basis is None else (self._basis, self.number)
            bases, _ = solver.renewed(old[None], A[None], np.array([number]))
            basis, solver = bases[0], solver.around(bases)
        earlier: Solution | None = None
        for doubled in range(self.doublings + 1):
            damping = system.damping * 2**doubled
            try:
                raised = system.damped(damping - system.damping)
                found = solve_mapped(
                    *(solver, raised, self.mapping, self.analog_time, self._voltages, seed), coordinates
                )
            except MappingError:
                if doubled == self.doublings:
                    raise
                continue
            found = found.after(earlier) if earlier else found
            if found.statistics.outcome not in UNHELD or doubled == self.doublings:
                return found, damping, basis
            earlier = found
        raise AssertionError("a loop of one or more rounds ends by a return or an error")


CALMER = "lower the learning rate or raise the damping, and look for zeros under roots, quotients and logarithms"


def _check_alone(outputs: Tensor, alone: Tensor) -> None:
    """Raises InputError where outputs of samples that were taken one by one differ from those of the batch."""
    apart = (outputs.double() - alone.double()).abs().max()
    allowed = ALONE * torch.finfo(outputs.dtype).eps ** 0.5 * outputs.double().abs().max()
    if not bool(apart <= allowed):
        raise InputError(
            f"model: outputs of a sample alone differ by {float(apart):.3g} from those in its batch, so samples are "
            "coupled and have no Jacobians of their own; take out what mixes them, as normalisation over the batch"
        )
