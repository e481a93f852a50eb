"""The page about PyTorch says what its examples print, and what natural gradients do there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.training.tasks.fashion import FOLDER

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "torch.md").read_text(encoding="utf-8")
BEGIN = "## The network on Fashion-MNIST"
IMAGES = Path(os.environ.get("SPU_FASHION_MNIST", FOLDER))
"""The four IDX files, for the example that needs them."""


def code_of(text):
    return "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))


def judged(text):
    """(name, loss, accuracy) of each training that was printed."""
    return re.findall(r"^(device|Adam) +loss .* (\S+), test accuracy (\S+) %$", text, flags=re.MULTILINE)


def check(program, shown, count):
    """Losses within a tenth of those shown, accuracies within 2 %: other processors round otherwise."""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    printed = judged(run.stdout)
    assert len(shown) == len(printed) == count
    for (name, loss, accuracy), (expected, wanted, right) in zip(printed, shown, strict=True):
        assert name == expected
        assert abs(float(loss) - float(wanted)) <= 0.1 * float(wanted) + 0.01
        assert abs(float(accuracy) - float(right)) <= 2


def test_the_examples_run_and_print_what_the_page_shows():
    digits, _ = PAGE.split(BEGIN)
    check(code_of(digits), judged(digits), 12)


@pytest.mark.skipif(not IMAGES.is_dir(), reason="no IDX files of Fashion-MNIST; SPU_FASHION_MNIST=folder names them")
def test_the_example_on_fashion_mnist_prints_what_the_page_shows():
    """With the functions of the first example, whose trainings the first test runs."""
    digits, fashion = PAGE.split(BEGIN)
    functions = code_of(digits).split("for seed in range")[0]
    program = code_of(fashion)
    assert "folder = None" in program
    check(functions + program.replace("folder = None", f"folder = Path({str(IMAGES)!r})"), judged(fashion), 6)
