"""The stochastic processing unit as data: hardware description, problems, programming, converters."""

__version__ = "0.1.0"
