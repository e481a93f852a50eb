"""Modules, batches and losses that the tests share."""

import torch
from torch import nn

INPUTS, IMAGES = (
    torch.randn(shape, generator=torch.Generator().manual_seed(k)) for k, shape in [(0, (6, 5)), (1, (6, 1, 6, 6))]
)
LABELS = torch.tensor([0, 1, 2, 2, 0, 1])
VALUES = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
COINS = torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0], [1, 0, 0], [0, 1, 1]])
LOSSES = {
    "classes": (nn.CrossEntropyLoss(), LABELS),
    "values": (nn.MSELoss(), VALUES),
    "coins": (nn.BCEWithLogitsLoss(), COINS),
}


class Tagger(nn.Module):
    """Classes at every position of a sequence of four: outputs (b, 3, 4)."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(7, 3), nn.Linear(3, 3)

    def forward(self, words):
        return self.head(torch.tanh(self.table(words))).movedim(1, 2)


def mlp(seed=0):
    return _initialised(seed, lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)))


def cnn(seed=0):
    return _initialised(seed, lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)))


def tagger(seed=0):
    return _initialised(seed, Tagger)


def _initialised(seed, made):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return made()


def gradients(model):
    """Of all parameters that have one, (N,)."""
    return torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])


def parameters(model):
    """(N,)."""
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])
