from dataclasses import replace
from math import inf, log

import numpy as np
import pytest
from scipy.constants import Boltzmann

from experiments.shared.systems import ggn_system, spd_system
from netlists.ledger import dissipation, output_power, parts
from optim.cost import (
    FORMED,
    PREPARED,
    Effort,
    Machine,
    Work,
    device_step,
    digital_step,
    landauer,
    orthogonalised,
    solve_energy,
    solve_time,
    total,
)
from solvers.ideal import IdealLaw
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware, presets

GPU = Machine("GPU", 1e12, 1e10, "round numbers")
WORK = Work(parameters=1000, samples=64, rows=6)


def device(name, system=None):
    hardware = load_hardware(name)
    return Spu(hardware, IdealLaw()).solve(system or spd_system(6, 3.0)).device


def step(name, system=None, time=6.0, work=WORK):
    return {item.name.split()[0]: item for item in device_step(device(name, system), time, work, GPU)}


def test_a_step_on_the_bench_is_the_sum_of_its_parts_by_hand():
    items, made = step("bench"), device("bench")
    assert parts(made)["array_resistor"] == 2 * 6 * 6
    assert parts(made)["amplifier"] == 12
    assert items["writing"].seconds == pytest.approx(12 * 0.32e-6)  # six rows at a time, 12 resistors in each
    assert items["writing"].joules == pytest.approx(72 * 35e-12)
    bits = 72 * 10 + 6 * 16 + 6 * 16
    assert items["transfer"].seconds == pytest.approx(bits / 50e9)
    assert items["transfer"].joules == pytest.approx(bits * 5e-12)
    assert items["6"].name in ("6 DACs", "6 ADCs")
    seconds = 6 * float(made.time_constant)
    heat = float(dissipation(made, made.at_rest()[None])[0])
    assert items["relaxing"].seconds == pytest.approx(seconds)
    assert items["relaxing"].joules == pytest.approx(seconds * heat)
    assert items["static"].joules == pytest.approx(seconds * 12 * 42e-3)
    assert items["static"].seconds == 0  # it is while the array relaxes


def test_the_papers_transfer_of_the_jacobian_takes_four_milliseconds():
    """arXiv 2405.13817: b d_z = 640 and N = 10⁴ at 16 bits and 50 Gb/s, two copies of J on two rails beside H."""
    words = 640 * (640 + 2 * 10_000)
    assert words * 16 / 50e9 == pytest.approx(4.2e-3, rel=0.01)
    small = step("factored", ggn_system(4, 7, 0.5))
    words = 2 * 2 * 4 * 7 + 7  # both rails of both copies, and the damping
    assert small["transfer"].seconds == pytest.approx((16 * words + 7 * 32) / 50e9)


def test_digital_work_by_hand():
    """N = 1000, b = 64, K = 6."""
    gradient, factor = 6 * 64 * 1000, (2 * 64 + 4 * 6) * 1000
    dual = 36 * 1000 + 4 * 6 * 1000 + 2000
    assert digital_step("SGD", WORK, GPU).seconds == pytest.approx((gradient + 2000) / 1e12)
    woodbury = digital_step("NGD, Woodbury", WORK, GPU)
    assert woodbury.seconds == pytest.approx((gradient + factor + dual + 72 + 72) / 1e12)
    assert woodbury.joules == pytest.approx(woodbury.seconds * 1e12 / 1e10)
    # An active array takes over the factorisation and the substitutions, K³/3 + 2K², and nothing else.
    assert step("bench")["digital"].seconds == pytest.approx((gradient + factor + dual) / 1e12)
    assert step("factored", ggn_system(4, 7, 0.5))["digital"].seconds == pytest.approx((gradient + factor) / 1e12)


def test_what_is_not_known_is_not_zero():
    items = list(step("paper").values())
    found = total(items)
    assert found.joules is None
    assert "costs.transfer_energy is not in this hardware" in found.missing
    assert found.seconds == pytest.approx(sum(item.seconds for item in items))
    bare = device("paper")
    without = replace(bare, hardware=load_hardware("ideal"))
    found = total(device_step(without, 6.0, WORK, GPU))
    assert found.seconds is None
    assert "costs.transfer_rate is not in" in found.missing
    assert {"costs.transfer_rate", "costs.write_time", "costs.adc_energy"} <= {*found.lacks}


def test_more_programs_and_reads_take_more_of_each_part():
    once, made = step("bench"), device("bench")
    effort = Effort(programs=2, reads=3, flop=1e6, seconds=1e-3)
    more = {item.name.split()[0]: item for item in device_step(made, None, WORK, GPU, effort)}
    assert more["writing"].seconds == pytest.approx(2 * once["writing"].seconds)
    assert more["writing"].joules == pytest.approx(2 * once["writing"].joules)
    assert more["6"].joules == pytest.approx(3 * once["6"].joules)
    assert more["relaxing"].seconds == pytest.approx(3e-3)
    assert more["static"].joules == pytest.approx(3e-3 * 12 * 42e-3)
    assert more["digital"].seconds == pytest.approx(once["digital"].seconds + 1e6 / 1e12)
    bits = 2 * 72 * 10 + 3 * 2 * 6 * 16
    assert more["transfer"].seconds == pytest.approx(bits / 50e9)


def test_solves_of_several_samples_take_what_a_step_takes_without_its_digital_work():
    made = device("bench")
    settled = np.stack([made.at_rest(), 0 * made.at_rest()])
    seconds, solves, programs = np.array([1e-4, 2e-4]), np.array([3.0, 1.0]), np.array([2.0, 1.0])
    times = solve_time(made, seconds, solves, programs)
    energies = solve_energy(made, settled, seconds, solves, programs)
    step = device_step(made, None, WORK, GPU, Effort(2, 3, seconds=1e-4))[1:]
    assert times[0] == pytest.approx(sum(item.seconds for item in step))
    assert energies[0] == pytest.approx(sum(item.joules for item in step))
    # Cells at 0 V dissipate in the input resistors alone, by the DACs.
    heat = 2e-4 * (12 * 42e-3 + output_power(made, settled)[1])
    moved = 72 * (35e-12 + 10 * 5e-12) + 6 * (0.7e-6 + 62.5e-9 + 32 * 5e-12)
    assert energies[1] == pytest.approx(heat + moved)
    with pytest.raises(InputError, match=r"costs\.amplifier_power is not in"):
        solve_energy(device("paper"), settled, seconds, solves, programs)
    assert solve_time(device("paper"), seconds, solves, programs)[1] > 2e-4


def test_a_time_of_reading_that_nobody_says_is_not_known():
    items = {item.part: item for item in device_step(device("paper"), None, WORK, GPU)}
    assert items["settle"].seconds is None
    assert items["settle"].lacks == ("analog_time",)
    assert items["static"].lacks == ("analog_time", "costs.amplifier_power")
    assert items["program"].seconds == 0  # the paper says so


def test_the_work_of_each_mapping_by_hand():
    """N = 1000, K = 6."""
    found = {mapping: PREPARED["active"](replace(WORK, mapping=mapping)) for mapping in FORMED}
    begun = PREPARED["factored"](WORK)
    assert found["primal"] - begun == 6 * 1000**2
    assert found["dual"] - begun == 36 * 1000 + 4 * 6 * 1000 + 2000
    assert found["kernel"] - begun == 36 * 1000 + 2 * 6 * 1000
    cholesky = digital_step("NGD, Cholesky", WORK, GPU).seconds * GPU.rate
    assert cholesky == pytest.approx(begun + 6 * 1000**2 + 1000**3 / 3 + 2 * 1000**2)


def test_the_work_of_muon_is_the_same_for_a_matrix_and_its_transpose():
    """Five times X Xᵀ and its square and the product with X: 2·9·4 twice and 2·27."""
    assert orthogonalised(3, 4) == orthogonalised(4, 3) == 5 * (2 * 2 * 9 * 4 + 2 * 27)


def test_a_step_needs_an_end():
    with pytest.raises(InputError, match="infinite"):
        device_step(device("bench"), inf, WORK, GPU)


def test_the_bound_of_landauer():
    assert landauer(device("bench")) == pytest.approx(6 * 16 * Boltzmann * 300.15 * log(2))


@pytest.mark.parametrize("name", presets())
def test_every_cost_of_a_preset_has_a_source(name):
    costs = load_hardware(name).costs
    given = [getattr(costs, field) for field in type(costs).model_fields if field != "buses"]
    assert all(one.source for one in given if one is not None)
    assert name == "ideal" or any(one is not None for one in given)
