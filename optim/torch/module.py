"""A PyTorch module as a function of its trained parameters, and of one sample."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.func import functional_call, vjp, vmap

from spu_circuit.errors import InputError

Named: TypeAlias = "dict[str, Tensor]"
Inputs: TypeAlias = "Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]"
"""Of a batch: what the module takes, one tensor, several, or several by name; (b, ...) each."""

COUPLING = torch.nn.modules.batchnorm._BatchNorm
"""Modules whose outputs for a sample depend on the others of its batch."""
UNTAKEN: dict[type, str] = {
    torch.nn.RNNBase: "go through time with GRUCell or RNNCell",
    torch.nn.LSTMCell: "take GRUCell or RNNCell",
    torch.nn.DataParallel: "give the module in it, its .module",
    torch.nn.parallel.DistributedDataParallel: "give the module in it, its .module",
    torch.jit.ScriptModule: "give the module that it was made from",
}
"""Modules that ``torch.func`` has no rule for, and what to do."""


def trained_parameters(model: torch.nn.Module) -> Named:
    """The parameters that require a gradient, by name and in the module's order; shared ones once."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def of_each(function: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    """Inputs with each of their tensors through a function."""
    if isinstance(inputs, Mapping):
        return {name: function(part) for name, part in inputs.items()}
    return tuple(function(part) for part in inputs) if isinstance(inputs, tuple) else function(inputs)


def batch_size(inputs: Inputs) -> int:
    """b. Raises InputError where the inputs have none in common."""
    arguments, keywords = _arguments(inputs)
    parts = [*arguments, *keywords.values()]
    for part in parts:
        if not isinstance(part, Tensor):
            raise InputError(f"inputs hold a {type(part).__name__}; give tensors (b, ...), one, a tuple or a mapping")
    sizes = {len(part) if part.ndim else 0 for part in parts}
    if len(sizes) != 1 or 0 in sizes:
        raise InputError(f"inputs have first dimensions {sorted(sizes)}; give tensors (b, ...) of one batch")
    return sizes.pop()


def check_module(model: Any) -> None:
    """Raises InputError where it is no module, or holds one that ``torch.func`` does not take."""
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"model is a {type(model).__name__}; give a torch.nn.Module")
    for name, part in model.named_modules():
        for kind, cure in UNTAKEN.items():
            if isinstance(part, kind):
                raise InputError(
                    f"model: {name or 'it'} is a {type(part).__name__}, which torch.func cannot take sample by sample; "
                    f"{cure}"
                )


def refuse_coupled(model: torch.nn.Module) -> None:
    """Raises InputError where the module normalises over the batch: its samples have no Jacobians of their own."""
    for name, part in model.named_modules():
        if isinstance(part, COUPLING) and (part.training or part.running_mean is None):
            kind = type(part).__name__
            cure = f"take its running statistics by .eval() on it, or {kind} out for GroupNorm"
            if not part.training:
                cure = f"give it track_running_stats=True, or take {kind} out for GroupNorm"
            raise InputError(
                f"model: {name or 'it'} is a {kind} that normalises over the batch, so a sample's outputs depend on "
                f"the others and have no Jacobian of their own; {cure}"
            )


@contextmanager
def seeded(seed: int, model: torch.nn.Module) -> Iterator[None]:
    """Torch's global random numbers, as dropout takes them, from this seed; afterwards they are as they were."""
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)
        for device in devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def random_state(model: torch.nn.Module) -> list[Tensor]:
    """Where torch's global generators stand that a module on these devices draws from."""
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]


def called(model: torch.nn.Module, inputs: Inputs) -> Tensor:
    """Outputs of a batch, (b, ...). Raises InputError where the module returns anything but one such tensor."""
    size = batch_size(inputs)
    arguments, keywords = _arguments(inputs)
    outputs = model(*arguments, **keywords)
    _check_outputs(outputs, size)
    return outputs


class PerSample:
    """Outputs and pull-backs of each sample of a batch by itself.

    Args:
        model: with its frozen parameters and buffers as they are now.
        trained: what is differentiated.
    """

    def __init__(self, model: torch.nn.Module, trained: Named):
        self.model = model
        self.trained = {name: value.detach() for name, value in trained.items()}
        others = [*model.named_parameters(), *model.named_buffers()]
        self.fixed = {name: value.detach() for name, value in others if name not in trained}

    def outputs(self, inputs: Inputs) -> Tensor:
        """(b, ...)."""
        return _mapped(lambda sample: self._one(self.trained, sample), (inputs,))

    def pulled_back(self, inputs: Inputs, cotangents: Tensor) -> Named:
        """``cotangentᵀ J`` of every sample, (b, r, ...) by parameter, from cotangents (b, r, ...) of the outputs."""

        def rows(sample: Inputs, columns: Tensor) -> Named:
            outputs, pull = vjp(lambda trained: self._one(trained, sample), self.trained)
            return vmap(lambda column: pull(column.to(outputs.dtype))[0])(columns)

        return _mapped(rows, (inputs, cotangents))

    def _one(self, trained: Named, sample: Inputs) -> Tensor:
        arguments, keywords = _arguments(of_each(lambda part: part[None], sample))
        return functional_call(self.model, (trained, self.fixed), arguments, keywords)[0]


def _arguments(inputs: Inputs) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}


def _check_outputs(outputs: Any, size: int) -> None:
    if not isinstance(outputs, Tensor) or outputs.ndim == 0 or len(outputs) != size:
        shown = f"a tensor {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        raise InputError(
            f"model returns {shown} for {size} samples; it must return one tensor ({size}, ...): wrap it in a module "
            "that does"
        )


def _mapped(function: Any, arguments: tuple[Any, ...]) -> Any:
    """``vmap`` over samples, each of which draws its own random numbers."""
    try:
        return vmap(function, randomness="different")(*arguments)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:  # of code that took the whole batch before
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(
            f"model: torch.func.vmap cannot take it sample by sample: {line}; replace what it names by operations "
            "without in-place updates and without branches on values"
        ) from error
