"""Fashion-MNIST: ten kinds of clothing in 28 × 28 pixels (arXiv 1708.07747), in the format of MNIST."""

from pathlib import Path

from experiments.training.tasks.image_files import SIDE, Source
from experiments.training.tasks.images import image_task

FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts it."""
TASK = image_task("fashion", SIDE, Source("Fashion-MNIST", "Fashion-MNIST", FOLDER, "dataset-fashion-mnist").load)
