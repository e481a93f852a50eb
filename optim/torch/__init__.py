"""Natural gradients of PyTorch modules. Nothing else here imports PyTorch, and nothing in here JAX."""

from optim.torch.natural_gradient import NaturalGradient

__all__ = ["NaturalGradient"]
