"""The exact network: circuits as blocks of equations, prepared once; at rest, on the way there, with their noise."""

from solvers.network.engine import Network, state_space

__all__ = ["Network", "state_space"]
