"""A table as text, read back, and as groups of flat elements: the same circuit three times."""

import numpy as np
import pytest

from netlists.crossbar import laid_out
from netlists.deck import circuit_of
from netlists.device import batch_of
from netlists.elements import Nodes
from solvers.network.by_text import space_of
from solvers.network.reader import GROUND, read_circuit
from solvers.network.relaxation import charges, joined, split
from solvers.network.structure import Structure
from spu_circuit.amplifiers.subckt import SUPPLIES
from tests.cases import CASES, board_of, programmed_of, quiet, samples_of, table_of, varied

ALL = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
ROUNDING = 1e-15
"""A formula's value, or a resistance that was a conductance: two roundings. All else is the same to the last bit."""


def listed(table):
    """What is no subcircuit, in the reader's words: name → kind, nodes, value, initial voltage; without open ones."""
    found = {}
    for group in (part for each in table.elements for part in laid_out(each)):
        if group.kind == "X":
            continue
        nodes = zip(*(nodes.names for nodes in group.nodes), strict=True)
        starts = group.parameters.get("start", [None] * group.count)
        for name, ends, value, start in zip(group.names, nodes, group.value, starts, strict=True):
            if value != np.inf:
                found[name] = group.kind, tuple(end.lower() for end in ends), value, start
    return found


def flat(structure, values):
    """All flat elements of a structure whose groups have these values, in the reader's words."""
    found = {}
    coefficients, starts = structure.coefficients(values), structure.initial(values)
    labels = {group.label: group for group in structure.table.elements}
    for group in structure.groups:
        label, dot, inner = group.key.partition(".")
        names = labels[label].names if label in labels else [label]
        nodes = zip(*(node_names(structure, family, index) for family, index in group.nodes), strict=True)
        value = np.broadcast_to(coefficients[group.key][0], group.count)
        initial = np.broadcast_to(starts[group.key][0] if group.kind == "C" else np.nan, group.count)
        for name, ends, own, start in zip(names, nodes, value, initial, strict=True):
            if group.kind == "R" and own == 0:
                continue
            own = 1 / own if group.kind == "R" else own
            found[f"{name}{dot}{inner}"] = group.kind, ends, own, None if np.isnan(start) else start
    return found


def node_names(structure, family, index):
    if family < 0:
        return [GROUND] * len(index)
    name = structure.families[family]
    if name in {node for node, _ in SUPPLIES.values()}:
        return [name] * len(index)
    return [own.lower() for own in Nodes(name, index).names]


def read_back(table):
    elements = read_circuit(circuit_of(table)).elements
    assert len({element.name for element in elements}) == len(elements)
    return {e.name: (e.kind, e.nodes, e.value, e.initial) for e in elements}


def sampled_table(case):
    device = case.changed(variation=varied(case.hardware).variation).device()
    board = board_of(device)
    return table_of(board, device, samples_of(board, 3), 2)


def assert_same(found, expected, rtol=0.0):
    assert found.keys() == expected.keys()
    for name, (kind, nodes, value, start) in expected.items():
        own = found[name]
        assert own[:2] == (kind, nodes), name
        assert own[2] == pytest.approx(value, rel=rtol, abs=0), name
        # What a circuit begins at where nothing says is 0 V, or rest where it is precharged.
        assert own[3] == (start if start is None else pytest.approx(start, rel=rtol, abs=0)), name


@pytest.mark.parametrize("sampled", [False, True], ids=["nominal", "a sample"])
@ALL
def test_a_table_reads_back_from_its_text(case, sampled):
    """All digits of all values; a sample's stuck and moved parts too."""
    table = sampled_table(case) if sampled else case.device().circuit
    found = {name: own for name, own in read_back(table).items() if "." not in name and not name.startswith("Vspu_")}
    assert_same(found, listed(table))


@pytest.mark.parametrize("name", ["paper", "bench", "passive", "factored", "three arrays, real amplifiers"])
def test_a_table_with_wires_reads_back_from_its_text(name):
    (case,) = (case for case in CASES if case.name == name)
    table = case.changed(array=case.hardware.array.model_copy(update={"wire_resistance": 0.5})).device().circuit
    found = read_back(table)
    assert_same({name: own for name, own in found.items() if "." not in name}, listed(table))
    assert len(found) > len(read_back(case.device().circuit))


@pytest.mark.parametrize("sampled", [False, True], ids=["nominal", "a sample"])
@ALL
def test_flat_groups_are_the_elements_that_the_reader_finds(case, sampled):
    """Amplifiers flattened: thousands at a time in one, one by one in the other; with a sample's offsets and gains."""
    device = case.device()
    values = {**device.array.values(), **device.inputs}
    table = device.circuit
    if sampled:
        case = case.changed(variation=varied(case.hardware).variation)
        device = case.device()
        board = board_of(device)
        one = samples_of(board, 3)[2]
        values = {**board.values(one, {k: np.atleast_2d(v) for k, v in values.items()})}
        values |= board.inputs(one, {k: np.atleast_2d(v) for k, v in device.inputs.items()})
        table = sampled_table(case)
    values = {key: np.atleast_2d(value) for key, value in values.items()}
    found = flat(Structure(device.array.circuit(device.hardware)), values)
    assert_same(found, read_back(table), ROUNDING)


@pytest.mark.parametrize("share", [1e-3, 0.2, 10.0])
@ALL
def test_steps_are_those_of_the_dense_law_of_the_text(case, share):
    """Implicit steps from capacitors at random: ``O (I + hM)⁻¹ z``; states stand in another order there.

    So what ``k`` steps leave is compared, by the outputs of each: ``(I + hM)⁻ᵏ`` of a start that both know, that of
    the device. Rounding of two eliminations, which slow and fast amplifiers magnify: 1e-8. A precharged circuit's
    other capacitors come to rest beside those that 1e3 S hold at their voltages, and in the text's law beside sources.
    A thousandth of an ohm beside its kilohms is a few parts in 10⁷: 1e-6.
    """
    device = case.changed(noise=quiet(case.hardware).noise).device()
    structure = Structure(device.circuit)
    programmed = programmed_of(device)
    coefficients, rest = programmed.settled(batch_of(device))
    step = share * float(device.time_constant)
    blocks = programmed.structure.blocks({**coefficients, **rest.slopes})
    steps = programmed.structure.stepping(blocks, programmed.structure.shares(coefficients, step), 1)
    text = space_of(device.circuit, None, True)
    rested = text.law.fixed_point()
    W = np.linalg.inv(np.eye(len(rested)) + step * text.law.drift)
    own = programmed.start(batch_of(device))[:, :, None]
    own = own - charges(programmed.structure, rest.volts, 1)
    states, expected = own.shape[1], text.start - rested
    assert states == sum(group.count for group in structure.capacitors) == len(expected)
    bound = 1e-6 if device.circuit.precharged else 1e-8
    for _ in range(3):
        found = steps.apply(own)
        expected = W @ expected
        own = found[:, :states]
        outputs = text.output @ expected
        np.testing.assert_allclose(found[0, states:, 0], outputs, rtol=0, atol=bound * np.abs(outputs).max())


@ALL
def test_capacitors_are_joined_and_split_in_their_order(case):
    device = case.device()
    structure = Structure(device.circuit)
    rng = np.random.default_rng(0)
    states = {group.key: rng.normal(size=(3, group.count)) for group in structure.capacitors}
    whole = joined(structure, states, 3)
    assert whole.shape == (3, sum(group.count for group in structure.capacitors), 1)
    back = split(structure, whole)
    assert back.keys() == states.keys()
    for key, own in states.items():
        np.testing.assert_array_equal(back[key][:, :, 0], own)
