import numpy as np
import pytest
from scipy.constants import Boltzmann

from netlists.device import load
from netlists.topologies.active import program_active
from solvers.ideal import law_of
from spu_circuit.hardware import Noise, load_hardware
from spu_circuit.noise import johnson_current_density


def device(hardware, A, **noise):
    hardware = hardware.model_copy(update={"noise": Noise(**noise)})
    return load(program_active(np.asarray(A, dtype=float), hardware), np.ones(len(A)), hardware, 0.1)


def test_johnson_density_of_one_kilohm_is_four_nanovolts_per_root_hertz():
    # Textbook: √(4kTR) = 4.07 nV/√Hz at 300.15 K, as a current over 1 kΩ.
    assert np.sqrt(johnson_current_density(1e-3, 300.15)) * 1e3 == pytest.approx(4.07e-9, rel=1e-3)
    with pytest.raises(ValueError, match="negative"):
        johnson_current_density(-1.0, 300.0)


def test_one_cell_with_one_resistor_has_kt_over_c():
    """With only its feedback resistor a cell is an RC circuit; the input resistor adds its share G_in / G."""
    hardware = load_hardware("paper")
    single = device(hardware, [[1.0]], thermal=True)
    expected = Boltzmann * hardware.temperature / hardware.cell.capacitance * (1 + 1e-3 / hardware.array.G_max)
    assert law_of(single).stationary_covariance()[0, 0] == pytest.approx(expected, rel=1e-12)


def test_injected_noise_alone_is_isotropic_and_encodes_the_inverse():
    """κ₀ A⁻¹ of the paper, in volts squared."""
    A = np.array([[2.0, -0.5], [-0.5, 1.0]])
    array = device(load_hardware("paper"), A, thermal=False, injected="1 mV")
    covariance = law_of(array).stationary_covariance()
    np.testing.assert_allclose(covariance, 1e-6 * np.linalg.inv(array.array.matrix), rtol=1e-10)


def test_thermal_noise_is_not_isotropic():
    """By hand, in mS: a row has its ΣG + G_in, and 2 R_inv G² for the inverting stage that it uses."""
    found = device(load_hardware("paper"), [[4.0, -1.0], [-1.0, 1.0]], thermal=True)
    D = found.array.diffusion(found.hardware)
    first, second = (1 + 0.25) + 1 + 2 * 10 * 0.25**2, (0.25 + 0.25) + 1 + 2 * 10 * 0.25**2
    # 1e-4: G is quantized to 16 bits.
    assert D[0, 0] / D[1, 1] == pytest.approx(first / second, rel=1e-4)


def test_shared_inverter_correlates_the_rows_that_use_it():
    A = np.array([[3.0, 0.0, -1.0], [0.0, 3.0, -1.0], [-1.0, -1.0, 3.0]])
    hardware = load_hardware("paper")
    found = device(hardware, A, thermal=True)
    D = found.array.diffusion(found.hardware)
    G = hardware.array.G_max / 3
    # Output noise 8 k T R of the inverting stage through G into both rows; D = S / (4 C²).
    shared = 2 * Boltzmann * hardware.temperature * hardware.cell.inverter_resistance * G**2
    # 1e-4: G is quantized to 16 bits.
    assert D[0, 1] == pytest.approx(shared / hardware.cell.capacitance**2, rel=1e-4)
