"""Natural gradient descent: curvature factors of JAX models, and optax transformations that call a solver."""
