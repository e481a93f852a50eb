"""The page about PyTorch says what its example prints, and what natural gradients do there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "torch.md").read_text(encoding="utf-8")


def test_the_examples_run_and_print_what_the_page_shows(tmp_path):
    """Losses within a tenth of those shown, accuracies within 2 %: other processors round otherwise."""
    program = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    shown = re.findall(r"^(device|Adam) +loss .* (\S+), test accuracy (\S+) %$", PAGE, flags=re.MULTILINE)
    printed = re.findall(r"^(device|Adam) +loss .* (\S+), test accuracy (\S+) %$", run.stdout, flags=re.MULTILINE)
    assert len(shown) == len(printed) == 12
    for (name, loss, accuracy), (expected, wanted, right) in zip(printed, shown, strict=True):
        assert name == expected
        assert abs(float(loss) - float(wanted)) <= 0.1 * float(wanted) + 0.01
        assert abs(float(accuracy) - float(right)) <= 2
