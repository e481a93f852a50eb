"""JAX in tests that compute little: compiling with care for speed would take longer than the computing."""

from functools import partial

import jax

quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""``jax.jit`` for a function that is called a few times."""
