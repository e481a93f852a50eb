"""PyTorch is no part of ``make test``. Where it is missing nothing here is collected, so ``make test-torch`` fails."""

import os
from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["*.py"]
# PyTorch's threads wait for one another by spinning: on a busy machine small problems take a hundred times as long.
os.environ["OMP_NUM_THREADS"] = "1"
