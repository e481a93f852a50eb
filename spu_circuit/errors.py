"""What can go wrong, as types. A message names the field, the value and the cure, in one line."""


class SpuError(Exception):
    """Base of every error that this project raises on purpose."""


class InputError(SpuError, ValueError):
    """What the user gave cannot be used."""


class MappingError(InputError):
    """The hardware cannot hold this problem."""


class SimulationError(SpuError, RuntimeError):
    """A simulation was started and gave no usable result."""
