"""More digits from coarse devices: refinement beside the literature, averages beside their law, estimates of errors."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import cg

from experiments.benchmarks.measure import Figure, at_least
from experiments.shared.systems import dominant_system, spd_system
from netlists.device import program_array
from solvers.digital import Digital
from solvers.network import Network
from solvers.precision.accuracy import Estimated
from solvers.precision.refined import Refined
from solvers.precision.rotated import Rotated
from solvers.solution import Solver
from solvers.spu import Spu
from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware, load_hardware
from spu_circuit.problem import LinearSystem, LinearSystems

BITS = 24
MOST = 24
"""Solves that a refinement may take."""
MATRICES = 40
CELLS = 16
ASPECTS = (2, 4, 8, 16, 64)
"""Samples for each dimension of a Wishart matrix: the more, the nearer to the identity."""
GOAL = 1e-8
"""Residual that systems in old eigenvectors are refined to."""
PROGRAMS = 4096
FACTOR = 2.0
"""By which an estimate of an error may be off."""


def refinement() -> list[Figure]:
    """Solves to 24 bits on 8 levels of 0.5 to 35 µS, 16×16.

    Zuo et al. (Nature Electronics 2025) took 9 to 10 refinements on cells of this kind.
    """
    figures = []
    for scaling in ("none", "jacobi"):
        hardware = load_hardware("rram").model_copy(update={"scaling": scaling})
        for aspect in ASPECTS:
            systems, refused = _wishart(hardware, aspect)
            figures += [_to_bits(hardware, systems, aspect, method, refused) for method in ("refinement", "cg")]
    return figures


def averaging() -> list[Figure]:
    """Errors of means over programs whose levels are drawn: ε/√R at random, ε² always."""
    system = spd_system(8, 4, 1)
    exact = np.linalg.solve(system.A, system.b)
    size = np.linalg.norm(exact)
    stack = LinearSystems(np.tile(system.A, (PROGRAMS, 1, 1)), np.tile(system.b, (PROGRAMS, 1)))
    figures, single, always = [], [], []
    for bits in (3, 4, 5, 6):
        spu = Spu(_coarse(bits), Network(), rounding="stochastic")
        away = (spu.solve_batch(stack, seeds=range(PROGRAMS)).values - exact) / size
        errors = {}
        for count in (1, 16, 256, PROGRAMS):
            means = away.reshape(-1, count, len(exact)).mean(axis=1)
            errors[count] = float(np.sqrt((means**2).sum(axis=1).mean()))
        nearest = replace(spu, rounding="nearest")
        corrected = [np.linalg.norm(Refined(nearest, k, 1e-12).solve(system).value - exact) / size for k in range(3)]
        # What chance adds to the mean of all is known from their spread.
        chance = float(away.var(axis=0).sum()) / PROGRAMS
        single.append(errors[1])
        always.append(np.sqrt(max(errors[PROGRAMS] ** 2 - chance, 0.0)))
        listed = ", ".join(f"R = {count}: {error:.2g}" for count, error in errors.items())
        note = (
            f"{listed}; of it by chance {np.sqrt(chance):.1g}; on one program of nearest levels, 1, 2 and 3 solves of "
            f"a refinement: {', '.join(f'{error:.2g}' for error in corrected)}; 8 cells, condition 4"
        )
        ratio = float(always[-1] / single[-1] ** 2)
        figures.append(Figure(f"bias of averages over drawn programs / ε², {bits} bits", ratio, "", note=note))
    slope = float(np.polyfit(np.log(single), np.log(always), 1)[0])
    note = f"3 to 6 bits, {PROGRAMS} programs; 2 is the law of arXiv 2401.16231"
    return [*figures, at_least("exponent of the bias of averages in ε", slope, "", 1.7, note)]


def rotation(cells: int = 32, condition: float = 1e5) -> list[Figure]:
    """Devices that hold a matrix in the eigenvectors of an older one, beside what these vectors do without a device."""
    system = spd_system(cells, condition, 2)
    values, vectors = np.linalg.eigh(system.A)
    root = vectors * np.sqrt(values)
    noise = np.random.default_rng(1).normal(size=(cells, cells))
    figures = []
    for off in (0.01, 0.05, 0.1):
        older = root @ (np.eye(cells) + off * (noise + noise.T) / 2) @ root.T
        basis = np.linalg.eigh((older + older.T) / 2).eigenvectors
        diagonal = np.einsum("ij,ij->j", basis, system.A @ basis)
        plain, old = (_steps_of_cg(system, M) for M in (None, basis / diagonal @ basis.T))
        note = f"digital CG alone: {plain} steps, with the old eigenvectors as preconditioner: {old}"
        for name in ("paper", "bench", "rram"):
            solver = Refined(Rotated(Spu(load_hardware(name), Network()), basis), 4 * MOST, GOAL, "cg")
            solution = solver.solve(system)
            assert solution.refinement is not None
            what = f"{name}, cg, rotated into eigenvectors {100 * off:g} % old"
            count = float(solution.statistics.solves)
            said = f"{solution.refinement.outcome}; {note}; {cells} cells, condition {condition:.0e}, one matrix"
            figures.append(Figure(f"solves to a residual of {GOAL:g}, {what}", count, "solves", note=said))
    return figures


def _steps_of_cg(system: LinearSystem, M: NDArray[np.float64] | None) -> int:
    steps: list[None] = []
    cg(system.A, system.b, rtol=GOAL, M=M, callback=lambda _: steps.append(None))
    return len(steps)


def estimates() -> list[Figure]:
    """How often an estimate from one more solve is within a factor of two of the error."""
    figures: list[Figure] = []
    all_ratios: list[float] = []
    for name in ("paper", "bench", "rram", "passive"):
        solver = Estimated(Spu(load_hardware(name), Network()))
        make = dominant_system if name == "passive" else spd_system
        ratios, refused = [], 0
        for condition in (1, 3, 10, 30, 100, 1e3, 1e4):
            for size in (4, 8, 16, 32):
                for seed in range(1000, 1010):
                    system = make(size, condition, seed)
                    try:
                        solution = solver.solve(system)
                    except MappingError:
                        refused += 1
                        continue
                    exact = np.linalg.solve(system.A, system.b)
                    error = np.linalg.norm(solution.value - exact) / np.linalg.norm(exact)
                    assert solution.statistics.estimated_error is not None
                    ratios.append(float(solution.statistics.estimated_error / error))
        low, high = np.quantile(ratios, [0.025, 0.975])
        note = (
            f"{len(ratios)} systems of 4 to 32 cells, conditions 1 to 10⁴, {refused} more that it cannot hold; "
            f"95 % of the ratios from {low:.2f} to {high:.2f}"
        )
        figures.append(at_least(f"estimates of the error within a factor of 2, {name}", _within(ratios), "%", 95, note))
        all_ratios += ratios
    note = f"{len(all_ratios)} systems"
    return [*figures, at_least("estimates of the error within a factor of 2, all", _within(all_ratios), "%", 95, note)]


def _within(ratios: list[float]) -> float:
    return 100 * float(np.mean((np.array(ratios) > 1 / FACTOR) & (np.array(ratios) < FACTOR)))


def _wishart(hardware: Hardware, aspect: int) -> tuple[LinearSystems, float]:
    """Systems with the covariance of random samples that the hardware can hold, and the share that it cannot, %."""
    held = []
    for seed in range(MATRICES):
        rng = np.random.default_rng(seed)
        samples = rng.normal(size=(CELLS, aspect * CELLS))
        system = LinearSystem(samples @ samples.T / samples.shape[1], rng.normal(size=CELLS))
        try:
            program_array(system, hardware)
        except MappingError:
            continue
        held.append(system)
    stack = LinearSystems(np.stack([system.A for system in held]), np.stack([system.b for system in held]))
    return stack, 100 * (1 - len(held) / MATRICES)


def _to_bits(hardware: Hardware, systems: LinearSystems, aspect: int, method: str, refused: float) -> Figure:
    needed = _needed(lambda count: Refined(Spu(hardware, Network()), count - 1, 1e-15, method), systems)
    alone = _needed(lambda count: Digital("cg", tolerance=1e-15, iterations=count), systems)
    rates = [-np.log2(_radius(hardware, systems[k])) for k in range(len(systems))]
    note = (
        f"median of {len(needed)}, 90 % quantile {np.quantile(needed, 0.9):.0f}, more than {MOST} in "
        f"{100 * float((needed > MOST).mean()):.0f} %; {refused:.0f} % refused; condition "
        f"{np.median(np.linalg.cond(systems.A)):.2g}, −log₂ ρ(C) = {np.median(rates):.2g} bits; digital "
        f"CG alone takes {np.median(alone):.0f} steps; Zuo et al.: 9 to 10"
    )
    what = f"8 levels, 16×16, Wishart of {aspect * CELLS} samples, scaling {hardware.scaling}, {method}"
    return Figure(f"solves to {BITS} bits, {what}", float(np.median(needed)), "solves", note=note)


def _needed(solver: Callable[[int], Solver], systems: LinearSystems) -> NDArray[np.intp]:
    """Solves that each system needs; one more than the most where these do not suffice.

    Args:
        solver: makes a solver of so many solves.
    """
    exact = np.linalg.solve(systems.A, systems.b[:, :, None])[:, :, 0]
    needed = np.full(len(systems), MOST + 1)
    for count in range(MOST, 0, -1):
        values = solver(count).solve_batch(systems).values
        errors = np.linalg.norm(values - exact, axis=1) / np.linalg.norm(exact, axis=1)
        needed[errors <= 2.0**-BITS] = count
    return needed


def _radius(hardware: Hardware, system: LinearSystem) -> float:
    """Spectral radius of C = I − Ã⁻¹ A."""
    array = program_array(system, hardware)
    wanted = array.scaling[:, None] * system.A * array.scaling
    return float(np.abs(np.linalg.eigvals(np.eye(len(wanted)) - np.linalg.solve(array.matrix, wanted))).max())


def _coarse(bits: int) -> Hardware:
    """Ideal but for levels of even conductance."""
    ideal = load_hardware("ideal")
    array = {"bits": bits, "G_min": ideal.array.G_max / (2**bits - 1)}
    return ideal.model_copy(update={"array": ideal.array.model_copy(update=array)})
