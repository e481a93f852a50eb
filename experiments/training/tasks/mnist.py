"""MNIST: handwritten digits of 28 × 28 pixels, from OpenML once or from a local copy."""

from experiments.training.tasks.image_files import SIDE, Source
from experiments.training.tasks.images import image_task

TASK = image_task("mnist", SIDE, Source("MNIST", openml="mnist_784").load)
