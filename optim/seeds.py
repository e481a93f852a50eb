"""Seeds of the random numbers of a step."""

import numpy as np


def step_seed(seed: int, number: int, relaxation: int = 0) -> int:
    """The seed of a solver's random numbers in a step.

    Args:
        seed: of the run.
        number: of the step.
        relaxation: 0 for the solve of the step, 1 for a delay after it.
    """
    return int(np.random.SeedSequence([seed, number]).generate_state(2)[relaxation])
