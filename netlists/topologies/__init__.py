"""Topologies of arrays: how each is programmed, what its circuit is, and which part of the board each element is.

A topology is one file with one class (see ``netlists.array.ProgrammedArray``) and one line here.
"""

from netlists.array import ProgrammedArray
from netlists.topologies.active import ActiveArray
from netlists.topologies.factored import FactoredArray
from netlists.topologies.passive import PassiveArray

TOPOLOGIES: dict[str, type[ProgrammedArray]] = {
    "active": ActiveArray,
    "factored": FactoredArray,
    "passive": PassiveArray,
}
