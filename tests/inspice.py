"""InSpice, the maintained fork of PySpice, in its place: ``make test-inspice``."""

import sys
from importlib import import_module

for module in ("", ".Spice", ".Spice.Netlist"):
    sys.modules[f"PySpice{module}"] = import_module(f"InSpice{module}")
