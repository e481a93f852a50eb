"""How all figures look."""

from typing import Any

STYLE: Any = {
    "figure.figsize": (7.2, 4.2),
    "figure.dpi": 130,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10.5,
    "legend.frameon": False,
}
