"""Derivatives through the device: every part beside finite differences and ngspice, and JAX beside both."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from netlists.board import Board
from netlists.device import Device, batch_of, stacked
from solvers.ideal import law_of
from solvers.network import Network
from solvers.network.block_plan import plan
from solvers.network.blocks import Factors
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware, load_hardware
from spu_circuit.problem import GgnSystem, LinearSystem, System
from spu_circuit.sampling import Sample, Samples, Sampling, adds, draw
from spu_circuit.variation import KINDS, Variation

Array = NDArray[np.float64]

RELATIVE_STEP, VOLTS_STEP, CODE_STEP = 1e-4, 1e-4, 1e-1
AMPERES_STEP = 1e-7
SIEMENS_STEP = 1e-9
"""Central differences are off by the third derivative: a few times the square of a step, 1e-8 to 1e-7. Rounding and
the chord method's end at 1e-10 of the outputs add 1e-10 / 2e-4 of them: 5e-7 where a derivative is as large as the
outputs."""


def system_of(n: int, seed: int = 0) -> LinearSystem:
    rng = np.random.default_rng(seed)
    M = rng.normal(size=(n, 2 * n))
    return LinearSystem(M @ M.T / (2 * n) + np.eye(n), rng.normal(size=n))


def dominant(n: int, seed: int = 0) -> LinearSystem:
    """For passive arrays."""
    rng = np.random.default_rng(seed)
    M = rng.normal(size=(n, n))
    off = (M + M.T) / 2 * (1 - np.eye(n))
    return LinearSystem(off + np.diag(np.abs(off).sum(axis=1) + 3), rng.normal(size=n))


def ggn(seed: int = 0) -> GgnSystem:
    rng = np.random.default_rng(seed)
    return GgnSystem(rng.normal(size=(3, 5)), 1.0, rng.normal(size=5))


def hardware_of(name: str) -> Hardware:
    """A preset whose levels are continuous, or one "with wires"."""
    base, wires, _ = name.partition(" with wires")
    hardware = load_hardware(base)
    continuous = {"bits": None, "levels": None, "G_min": 1e-9}
    array = hardware.array.model_copy(update=continuous | {"wire_resistance": 5.0 if wires else 0.0})
    return hardware.model_copy(update={"array": array, "noise": hardware.noise.model_copy(update={"thermal": False})})


def low_gain() -> Hardware:
    """Amplifiers so weak that their gain and bandwidth matter, with input currents."""
    hardware = hardware_of("bench")
    weak = hardware.amplifier.model_copy(update={"dc_gain": 300.0, "bias_current": 1e-6})
    return hardware.model_copy(update={"amplifier": weak})


CASES: dict[str, tuple[str, System]] = {
    "active, ideal amplifiers": ("ideal", system_of(5)),
    "active, saturating amplifiers": ("bench", system_of(5)),
    "active, scaled": ("paper", system_of(5)),
    "active, a vendor's amplifiers": ("vendor", system_of(3)),
    "active, low gain": ("low gain", system_of(5)),
    "passive": ("passive", dominant(5)),
    "factored": ("factored", ggn()),
    "active, wires": ("bench with wires", system_of(5)),
    "passive, wires": ("passive with wires", dominant(5)),
    "factored, wires": ("factored with wires", ggn()),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Hardware, System]:
    name, system = CASES[request.param]
    return low_gain() if name == "low gain" else hardware_of(name), system


def moved(board: Board, kind: str, step: float, base: Samples | None = None) -> Samples:
    """A sample for each part and sign: that part off by ± a step, the others as in ``base``."""
    count = len(board.places[kind].slots)
    off = np.concatenate([step * np.eye(count), -step * np.eye(count)])
    nothing = np.zeros((2 * count, 0), dtype=bool)
    relative = {} if base is None else {k: np.repeat(v, 2 * count, axis=0) for k, v in base.relative.items()}
    absolute = {} if base is None else {k: np.repeat(v, 2 * count, axis=0) for k, v in base.absolute.items()}
    if adds(board.hardware.variation, kind):
        absolute[kind] = absolute.get(kind, 0.0) + off
    else:
        relative[kind] = relative.get(kind, 1.0) * (1 + off)
    return Samples(relative, absolute, nothing, nothing, np.full(2 * count, 300.0), np.ones(2 * count))


def differences(
    board: Board, device: Device, kind: str, gradient: Array, base: Samples | None = None, time: float = np.inf
) -> Array:
    """Of ``gradient · x`` at a time, in τ, by each part of a kind, (parts,), by the network."""
    relative = SIEMENS_STEP if kind == "array_programming" else RELATIVE_STEP
    volts = VOLTS_STEP if kind.endswith(("offset", "rejection")) else relative
    step = CODE_STEP if kind.endswith("nl") else AMPERES_STEP if kind.endswith("bias") else volts
    samples = moved(board, kind, step, base)
    many = device_batch(device, samples.count)
    programmed = Network(linearise=True).prepare(board).program(many.array, samples)
    seconds = np.full(samples.count, time * float(device.time_constant))
    reading = programmed.read(many, seconds, np.zeros(samples.count, dtype=int))
    assert not any(reading.failures)
    found = board.read(samples, reading.volts) * device.unknowns_per_volt @ gradient
    high, low = np.split(found, 2)
    return (high - low) / (2 * step)


def device_batch(device: Device, count: int) -> Device:
    return replace(
        device,
        array=stacked([device.array] * count),
        volts_per_unit=np.repeat(device.volts_per_unit, count),
        dac_volts=np.repeat(device.dac_volts[None], count, axis=0),
        initial_volts=np.repeat(device.initial_volts[None], count, axis=0),
        clipped_codes=np.repeat(device.clipped_codes, count),
        lost_inputs=np.repeat(device.lost_inputs, count),
    )


def test_transposed_solve_is_that_of_the_transposed_matrix() -> None:
    rng = np.random.default_rng(0)
    blocks = {
        (0, 0): rng.uniform(1, 2, (1, 4)),
        (0, 2): rng.normal(size=(3, 4, 5)),
        (1, 1): rng.uniform(1, 2, (3, 4)),
        (1, 0): rng.normal(size=(1, 4)),
        (1, 2): rng.normal(size=(1, 4, 5)),
        (2, 1): rng.normal(size=(3, 5, 4)),
        (2, 2): rng.normal(size=(3, 5, 5)),
    }
    sizes = (4, 4, 5)
    starts = np.cumsum([0, *sizes])
    dense = np.zeros((3, 13, 13))
    for (r, c), block in blocks.items():
        whole = block if block.ndim == 3 else block[:, :, None] * np.eye(block.shape[1])
        dense[:, starts[r] : starts[r + 1], starts[c] : starts[c + 1]] = whole
    factors = Factors(plan(blocks, sizes, sizes), blocks, 3)
    for given in ((0,), (1, 2), (0, 1, 2)):
        right = {g: rng.normal(size=(3, sizes[g], 2)) for g in given}
        whole = np.concatenate([right.get(g, np.zeros((3, sizes[g], 2))) for g in range(3)], axis=1)
        for transposed, matrix in ((False, dense), (True, dense.swapaxes(1, 2))):
            found = factors.solve(right, range(3), transposed)
            wanted = np.linalg.solve(matrix, whole)
            for g, own in found.items():
                # 13 unknowns of condition below 1e4.
                np.testing.assert_allclose(own, wanted[:, starts[g] : starts[g + 1]], rtol=1e-9, atol=1e-11)


def test_every_part_has_the_derivative_of_finite_differences(case: tuple[Hardware, System]) -> None:
    hardware, system = case
    gradient = np.random.default_rng(1).normal(size=len(system.b))
    found = Spu(hardware, Network()).sensitivity(system, gradient)
    assert set(found.parts) == set(found.places) <= set(KINDS)
    assert len(found.parts) >= 10
    for kind, own in found.parts.items():
        wanted = differences(found.board, found.device, kind, gradient)
        assert own.shape == wanted.shape == (len(found.names(kind)),)
        np.testing.assert_allclose(own, wanted, rtol=1e-6, atol=1e-6 * max(1.0, np.abs(wanted).max()), err_msg=kind)


def test_every_part_has_the_derivative_of_finite_differences_on_the_way(case: tuple[Hardware, System]) -> None:
    hardware, system = case
    spu, time = Spu(hardware, Network(linearise=True)), 0.7
    if hardware.amplifier.model == "subckt":
        with pytest.raises(InputError, match="take a macromodel"):
            spu.sensitivity(system, np.ones(len(system.b)), time)
        return
    rng = np.random.default_rng(1)
    gradient, state = rng.normal(size=len(system.b)), 0.3 * rng.normal(size=len(system.b))
    found = spu.sensitivity(system, gradient, time, state)
    assert np.abs(found.parts["capacitor"]).max() > 1e-2
    for kind, own in found.parts.items():
        wanted = differences(found.board, found.device, kind, gradient, time=time)
        np.testing.assert_allclose(own, wanted, rtol=1e-6, atol=1e-6 * max(1.0, np.abs(wanted).max()), err_msg=kind)


def test_long_after_the_start_derivatives_are_those_at_rest() -> None:
    hardware, system, gradient = hardware_of("bench"), system_of(4), np.array([1.0, -1.0, 2.0, 0.5])
    spu = Spu(hardware, Network(linearise=True))
    late, settled = spu.sensitivity(system, gradient, 60.0), spu.sensitivity(system, gradient)
    for kind, own in settled.parts.items():
        np.testing.assert_allclose(late.parts[kind], own, rtol=1e-6, atol=1e-6 * max(1.0, np.abs(own).max()))


def test_ageless_parts_have_no_effect_at_rest(case: tuple[Hardware, System]) -> None:
    hardware, system = case
    found = Spu(hardware, Network()).sensitivity(system, np.ones(len(system.b)))
    for kind in {"capacitor", "amplifier_bandwidth"} & found.parts.keys():
        assert not found.parts[kind].any()


def test_a_sample_has_derivatives_about_its_own_parts() -> None:
    straight = low_gain()
    bent = straight.cell.model_copy(update={"linear_voltage_coefficient": -0.01})
    hardware = varied(straight.model_copy(update={"cell": bent}), 0.03)
    system, gradient = system_of(4), np.array([1.0, -2.0, 0.5, 0.0])
    spu = Spu(hardware, Network(), sample=Sample(Sampling(3), 7))
    found = spu.sensitivity(system, gradient)
    base = found.board.reread(found.board.drawn(Sample(Sampling(3), 7)), [0])
    assert set(base.relative) | set(base.absolute) == set(KINDS) - {"summing_resistor"}
    for kind, own in found.parts.items():
        wanted = differences(found.board, found.device, kind, gradient, base)
        np.testing.assert_allclose(own, wanted, rtol=1e-6, atol=1e-6 * max(1.0, np.abs(wanted).max()), err_msg=kind)


OF_OTHERS: dict[str, object] = {
    "array_programming": {"local": {"tolerance": 2e-6, "meaning": "sigma"}},
    "array_drift": {"spread": 3e-3, "age": 1e5, "reference": 10.0},
    "array_noise": {"read": 0.02},
    "amplifier_rejection": {"local": {"tolerance": 1e-3, "meaning": "sigma"}, "supply_change": 1.0},
}


def varied(hardware: Hardware, tolerance: float) -> Hardware:
    """Every kind of part that the hardware has varies."""
    kinds: dict[str, object] = {}
    for kind in KINDS:
        small = 1e-7 if kind.endswith("bias") else 1e-3 if kind.endswith("offset") else tolerance
        size = 0.5 if kind.endswith("nl") else small
        if kind in OF_OTHERS:
            kinds[kind] = OF_OTHERS[kind]
        elif kind != "summing_resistor":
            kinds[kind] = {"local": {"tolerance": size, "meaning": "sigma"}}
    return hardware.model_copy(update={"variation": Variation.model_validate(kinds)})


@pytest.mark.parametrize(
    ("name", "system"),
    [("bench", system_of(4)), ("ideal", system_of(4)), ("passive", dominant(4))],
    ids=lambda v: str(v)[:7],
)
def test_the_system_has_the_derivative_of_finite_differences(name: str, system: LinearSystem) -> None:
    # At one voltage scale, with converters that do not round; the largest entry stays, or the scale g_u would move.
    hardware, step = exact(name), 1e-5
    spu, gradient = Spu(hardware, Network()), np.array([1.0, -1.0, 2.0, 0.5])
    found = spu.sensitivity(system, gradient)
    scale = float(found.device.volts_per_unit)
    largest = np.unravel_index(np.abs(system.A).argmax(), system.A.shape)

    def at(A: Array, b: Array) -> float:
        device = batch_of(spu.program(LinearSystem(A, b), scale))
        programmed = Network().prepare(Board(hardware, device[0].circuit)).program(device.array)
        volts = programmed.read(device, np.array([np.inf]), np.zeros(1, dtype=int)).volts[0]
        return float(gradient @ (volts * device[0].unknowns_per_volt))

    wanted_b = [(at(system.A, system.b + h) - at(system.A, system.b - h)) / (2 * step) for h in step * np.eye(4)]
    np.testing.assert_allclose(found.b, wanted_b, rtol=1e-6, atol=1e-6)
    for i in range(4):
        for j in range(i + 1):
            if (i, j) == largest:
                continue
            h = np.zeros((4, 4))
            h[i, j] = h[j, i] = step
            wanted = (at(system.A + h, system.b) - at(system.A - h, system.b)) / (2 * step)
            own = found.matrix["A"][i, j] + (found.matrix["A"][j, i] if i != j else 0.0)
            np.testing.assert_allclose(own, wanted, rtol=1e-5, atol=1e-6, err_msg=f"{i} {j}")


def exact(name: str) -> Hardware:
    """Continuous levels and converters, no clipped code, and no scaling, which moves with the matrix."""
    hardware = hardware_of(name)
    return hardware.model_copy(
        update={
            "dac": hardware.dac.model_copy(update={"bits": None, "full_scale": 1e3}),
            "adc": hardware.adc.model_copy(update={"bits": None}),
            "scaling": "none",
        }
    )


def test_a_factor_has_nearly_the_derivative_of_the_equations() -> None:
    hardware, system = exact("factored"), ggn()
    spu, gradient = Spu(hardware, Network()), np.array([1.0, -1.0, 2.0, 0.5, 1.0])
    found = spu.sensitivity(system, gradient)
    x, damping = found.value, found.matrix["damping"]
    # Amplifiers are ideal but for a gain of 1e15, so the device solves (BᵀB + λ) x = g.
    A = system.primal().A
    back = np.linalg.solve(A, gradient)
    by_B = -(np.outer(system.B @ back, x) + np.outer(system.B @ x, back))
    np.testing.assert_allclose(found.b, back, rtol=0, atol=1e-6 * np.abs(back).max())
    np.testing.assert_allclose(found.matrix["B"], by_B, rtol=0, atol=1e-6 * np.abs(by_B).max())
    np.testing.assert_allclose(damping, -back @ x, rtol=1e-6)


def test_ngspice_moves_as_the_derivatives_say() -> None:
    hardware, system = hardware_of("bench"), system_of(4)
    gradient = np.array([1.0, 0.5, -1.0, 2.0])
    found = Spu(hardware, Network()).sensitivity(system, gradient)
    table, ngspice, law = found.device.circuit, Ngspice(), law_of(found.device)
    for kind, part, label in (
        ("array_resistor", 5, "Rp"),
        ("input_resistor", 2, "Rin"),
        ("inverter_resistor", 1, "Rh"),
    ):
        name = found.names(kind)[part]
        k = table.by_label[label].names.index(name)
        read = []
        for change in (0.01, -0.01):
            value = np.array(table.by_label[label].value)
            value[k] *= 1 + change
            run = ngspice.simulate(found.device, law, np.inf, 0, table.filled({label: value}))
            read.append(gradient @ (run.volts * found.device.unknowns_per_volt))
        # ngspice ends at 1e-3 of relative tolerance of Newton's steps, far nearer in truth; the step's square is 1e-4.
        np.testing.assert_allclose((read[0] - read[1]) / 0.02, found.parts[kind][part], rtol=1e-3, atol=1e-5)


def test_first_order_contributions_are_the_variance_of_samples() -> None:
    spread, volts = {"tolerance": 0.002, "meaning": "sigma"}, {"tolerance": 2e-4, "meaning": "sigma"}
    variation = {
        "array_resistor": {"local": spread, "lot": spread, "gradient": spread, "temperature_coefficient": 1e-4},
        "input_resistor": {"local": {"tolerance": 0.005, "meaning": "limit", "distribution": "uniform"}, "lot": spread},
        "inverter_resistor": {"local": spread | {"distribution": "truncated", "limit": 0.002}},
        "amplifier_offset": {"local": volts, "lot": volts},
        "dac_offset": {"local": volts},
        "adc_gain": {"local": spread},
        "correlation": {"array_resistor input_resistor": 0.8},
        "temperature": {"tolerance": 5, "meaning": "sigma"},
    }
    hardware = exact("bench").model_copy(update={"variation": Variation.model_validate(variation)})
    system, count, drawn = system_of(6), 2000, []

    def samples(board: Board) -> Samples:
        drawn.append(draw(board.hardware.variation, 300.15, board.places, range(count), Sampling(5)))
        return drawn[0]

    found = Spu(hardware, Network()).contributions(system, samples)
    assert set(found.kinds) == set(variation) - {"correlation"}
    assert found.total == pytest.approx(sum(map(sum, found.local.values())) + sum(found.common.values()))
    # A mean of 2000 squares, at worst all of one normal number: 1 / √1000 is one standard error, four are 13 %.
    assert (found.moved**2).sum(axis=1).mean() / (found.value @ found.value) == pytest.approx(found.total, rel=0.13)
    # What is left to second order is some 0.005 of each change.
    device = Spu(hardware, Network()).ranged(system)
    many = device_batch(device, count)
    reading = (
        Network()
        .prepare(found.board)
        .program(many.array, drawn[0])
        .read(many, np.full(count, np.inf), np.zeros(count, int))
    )
    x = found.board.read(drawn[0], reading.volts) * device.unknowns_per_volt
    off = np.linalg.norm(x - found.value - found.moved, axis=1)
    assert np.median(off / np.linalg.norm(found.moved, axis=1)) < 0.02
    kind, name, addition = found.largest(3)[0]
    assert addition == max(own.max() for own in found.local.values())
    assert found.local[kind][found.board.names(kind).index(name)] == addition


@pytest.mark.parametrize("kind", ["array_resistor", "capacitor", "amplifier_offset"])
def test_coefficients_that_spread_contribute_by_the_mean_square_of_the_temperature(kind: str) -> None:
    """Half of it is the way to the reference, half the temperature's own spread; those of all parts and of each."""
    unit = 50e-6 if kind == "amplifier_offset" else 200e-6
    drift = {"spread": unit, "tracking": 0.5 * unit, "meaning": "limit"}
    variation = {
        kind: {"temperature_coefficient": drift},
        "temperature": {"tolerance": 10, "meaning": "sigma"},
        "reference_temperature": 290.15,
    }
    hardware = exact("bench").model_copy(update={"variation": Variation.model_validate(variation)})
    system, count = system_of(6), 4000

    def samples(board: Board) -> Samples:
        return draw(board.hardware.variation, 300.15, board.places, range(count), Sampling(5))

    found = Spu(hardware, Network()).contributions(system, samples)
    moved = (found.moved**2).sum(axis=1) / (found.value @ found.value)
    assert moved.mean() == pytest.approx(found.total, rel=4 * moved.std() / np.sqrt(count) / max(moved.mean(), 1e-30))
    assert (found.total > 0) == (kind != "capacitor")  # which settles as it likes


def test_a_sample_has_no_contributions() -> None:
    with pytest.raises(InputError, match="leave sample out"):
        Spu(load_hardware("ideal"), Network(), sample=Sample(Sampling(0), 0)).contributions(system_of(2))


def test_what_has_no_derivative_is_refused() -> None:
    system = system_of(3)
    with pytest.raises(InputError, match="analog time is 0"):
        Spu(load_hardware("ideal"), Network()).sensitivity(system, np.ones(3), analog_time=0)
    with pytest.raises(InputError, match="engine = 'network'"):
        Spu(load_hardware("ideal"), Ngspice()).sensitivity(system, np.ones(3))
    with pytest.raises(InputError, match="gradient has length 2, the system 3"):
        Spu(load_hardware("ideal"), Network()).sensitivity(system, np.ones(2))


def test_a_gradient_may_be_a_function_of_the_solution() -> None:
    system, spu = system_of(3), Spu(load_hardware("ideal"), Network())
    value = spu.solve(system).value
    by_function, by_vector = spu.sensitivity(system, lambda x: 2 * x), spu.sensitivity(system, 2 * value)
    np.testing.assert_array_equal(by_function.b, by_vector.b)
    np.testing.assert_array_equal(by_function.value, value)
