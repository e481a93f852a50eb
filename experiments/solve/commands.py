"""The commands that solve one system, or write its deck."""

import sys
from dataclasses import asdict, replace
from math import inf
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from experiments.shared.files import check_output, writing
from experiments.shared.plain_json import json_text
from netlists.dialects import DIALECTS, check_dialect, portable
from solvers.engine import Engine
from solvers.engines import ENGINES, engine_named
from solvers.solution import Solution
from solvers.spu import Spu
from spu_circuit.arrays import read_array
from spu_circuit.documents import from_document
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware, Noise, load_hardware, presets
from spu_circuit.problem import GgnSystem, LinearSystem, System
from spu_circuit.quantity import parse_quantity, shown

Array = NDArray[np.float64]
console = Console()

STATISTICS = {
    "solver": ("engine", ""),
    "residual": ("residual |Ax - b| / |b|", ""),
    "settled_fraction": ("cells within 1 % of where ideal amplifiers would end", ""),
    "saturated_nodes": ("amplifiers beyond their trusted range", ""),
    "clipped_codes": ("clipped DAC codes", ""),
    "lost_inputs": ("inputs lost below half a DAC code", ""),
    "lost_entries": ("entries lost below the smallest conductance", ""),
    "ngspice_runs": ("ngspice runs", ""),
    "retries": ("settings with which ngspice did not converge", ""),
    "range_changes": ("changes of the voltage scale", ""),
    "analog_seconds": ("time on the device", "s"),
    "wall_seconds": ("time here", "s"),
    "volts_per_unit": ("voltage scale", "V per unit of x"),
    "siemens_per_unit": ("conductance scale", "S per unit of A"),
    "injected_noise": ("injected noise, squared, in units of x", ""),
    "estimated_error": ("estimated error |x - x*| / |x*|", ""),
    "solves": ("solves on the device", ""),
    "programs": ("times its resistors were set", ""),
    "dac_words": ("codes written to DACs", ""),
    "adc_words": ("codes read from ADCs", ""),
}
"""What is printed of a solution's statistics, with units."""
WRONG = 0.1
"""Residual, and estimated error, from which on a solution is doubted."""

MatrixFile = Annotated[
    Path | None, typer.Option("--matrix", help="A: .npy file, n × n, real, symmetric positive definite.")
]
FactorFile = Annotated[
    Path | None, typer.Option("--factor", help="B instead of A = BᵀB + λ: .npy file, k × n, real; needs --damping.")
]
Damping = Annotated[float | None, typer.Option("--damping", help="λ of --factor, above 0, units of A.")]
HessianFile = Annotated[
    Path | None, typer.Option("--hessian", help="H in A = BᵀHB + λ: .npy file, k × k, semidefinite. Default: identity.")
]
VectorFile = Annotated[Path, typer.Option("--vector", help="b: .npy file, length n, real.")]
HardwareName = Annotated[
    str, typer.Option("--hardware", help=f"Preset ({', '.join(presets())}) or a TOML file; see 'hardware show'.")
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        help=f"What computes the voltages: {', '.join(sorted(ENGINES))} (resistors alone: no wires, ideal amplifiers).",
    ),
]
AnalogTime = Annotated[
    float, typer.Option("--time", help="How long the array relaxes, in units of τ = C/g_u; inf: settled, no noise.")
]
InitialFile = Annotated[
    Path | None, typer.Option("--initial", help="x at time 0: .npy file, length n, units of x. Default: zeros.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the noise; a whole number, no unit.")]
Points = Annotated[
    int | None, typer.Option("--points", min=10, help="Steps of an ngspice transient, at least; of network's waveform.")
]
Timeout = Annotated[float | None, typer.Option("--timeout", min=0.1, help="Kill ngspice after this many seconds.")]
Linearise = Annotated[
    bool, typer.Option("--linearise", help="network: take amplifiers that saturate by their tangents at rest.")
]
Reltol = Annotated[float | None, typer.Option("--reltol", help="ngspice: relative tolerance. Default: 1e-4.")]
Method = Annotated[str | None, typer.Option("--method", help="ngspice: gear or trap. Default: trap.")]
ReadoutBandwidth = Annotated[
    str | None,
    typer.Option("--readout-bandwidth", help="network: bounds the noise that passes every capacitor, like '10 MHz'."),
]
Refine = Annotated[
    int | None,
    typer.Option("--refine", min=0, max=1_000_000, help="Corrections by a digital residual, at most. Default: none."),
]
Tolerance = Annotated[float | None, typer.Option("--tolerance", help="Residual at which --refine ends. Default: 1e-6.")]
Corrections = Annotated[str | None, typer.Option("--corrections", help="refinement, cg or gmres. Default: refinement.")]
DeviceDamping = Annotated[
    float | None, typer.Option("--device-damping", help="More on the device's diagonal while it refines, units of A.")
]
Reads = Annotated[
    int | None, typer.Option("--reads", min=1, max=1_000_000, help="Reads of one program that are averaged.")
]
Programs = Annotated[
    int | None,
    typer.Option("--programs", min=1, max=1_000_000, help="Stochastically rounded programs that are averaged."),
]
Estimate = Annotated[
    bool, typer.Option("--estimate/--no-estimate", help="Whether one more solve estimates the error of x.")
]


def solve(
    vector: VectorFile,
    matrix: MatrixFile = None,
    factor: FactorFile = None,
    damping: Damping = None,
    hessian: HessianFile = None,
    hardware: HardwareName = "ideal",
    engine: EngineName = "ngspice",
    time: AnalogTime = inf,
    initial: InitialFile = None,
    seed: Seed = 0,
    points: Points = None,
    timeout: Timeout = None,
    linearise: Linearise = False,
    readout_bandwidth: ReadoutBandwidth = None,
    reltol: Reltol = None,
    method: Method = None,
    refine: Refine = None,
    tolerance: Tolerance = None,
    corrections: Corrections = None,
    device_damping: DeviceDamping = None,
    reads: Reads = None,
    programs: Programs = None,
    estimate: Estimate = True,
    output: Annotated[Path | None, typer.Option("--output", help="Write x to this .npy file, in units of x.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Solve A x = b on a simulated device.

    A is given as it is (--matrix) or by its factor (--factor and --damping), which hardware of topology 'factored'
    takes without forming A.

    Prints x with one standard deviation of its noise, and how the solve went: residual |Ax - b| / |b|; settled
    fraction, the share of cells within 1 % of where the programmed resistors would end with ideal amplifiers;
    saturated cells and summing amplifiers, clipped DAC codes, entries lost below the smallest conductance; an estimate
    of the error of x, which may be far above the residual, by one more solve; the device's seconds; volts and siemens
    per unit.

    A coarse device is made more precise by corrections (--refine) or averages (--reads, --programs). A refinement that
    diverges, stalls or meets a singular matrix says so and gives its best iterate.
    """
    wanted = _given(
        refine=refine,
        tolerance=tolerance,
        corrections=corrections,
        device_damping=device_damping,
        reads=reads,
        programs=programs,
        estimate=estimate,
    )
    chosen = _engine(
        engine,
        points=points,
        timeout=timeout,
        linearise=linearise or None,
        readout_bandwidth=readout_bandwidth,
        reltol=reltol,
        method=method,
    )
    system = _system(vector, matrix, factor, damping, hessian)
    spu, state = _device(hardware, chosen, initial)
    if output is not None:
        check_output(output)
    if state is not None and time == inf:
        raise InputError("initial has no effect on the settled state; give a finite --time, or leave --initial out")
    from solvers.precision.description import Precision

    solution = from_document(Precision, wanted, "solve").of(spu).solve(system, time, state, seed)
    for warning in _doubts(solution, spu.hardware):
        print(f"warning: {warning}", file=sys.stderr)
    if output is not None:
        with writing(output) as file:
            np.save(file, solution.value)
    if as_json:
        print(json_text(_as_json(solution, output)))
    else:
        _print_solution(solution, output)


def netlist(
    vector: VectorFile,
    matrix: MatrixFile = None,
    factor: FactorFile = None,
    damping: Damping = None,
    hessian: HessianFile = None,
    hardware: HardwareName = "ideal",
    engine: EngineName = "ngspice",
    time: AnalogTime = inf,
    initial: InitialFile = None,
    seed: Seed = 0,
    points: Points = None,
    reltol: Reltol = None,
    method: Method = None,
    dialect: Annotated[
        str | None,
        typer.Option("--dialect", help=f"Without noise, for {', '.join(DIALECTS)}. Default: as solved, for ngspice."),
    ] = None,
) -> None:
    """Write the SPICE deck of a solve to standard output; it runs in plain ngspice -b.

    Takes the arguments of solve. The deck is ngspice's whatever the engine, and its voltage scale is chosen by the
    ideal law, so that ngspice need not be installed. In a dialect it is for LTspice, Xyce or any ngspice, without noise
    sources, which ngspice alone has.
    """
    if dialect is not None:
        check_dialect(dialect)
    system = _system(vector, matrix, factor, damping, hessian)
    engine_named(engine)
    spu, state = _device(hardware, _engine("ngspice", points=points, reltol=reltol, method=method), initial)
    if dialect is None:
        sys.stdout.write(spu.deck(system, time, state, seed))
        return
    quiet = replace(spu, hardware=spu.hardware.model_copy(update={"noise": Noise(thermal=False)}))
    if time < inf and quiet.hardware != spu.hardware:
        print("warning: a deck in a dialect has no noise; leave --dialect out for that of ngspice", file=sys.stderr)
    sys.stdout.write(portable(quiet.deck(system, time, state, seed), dialect))


def _given(**options: Any) -> dict[str, Any]:
    """Those that are not left out."""
    return {name: value for name, value in options.items() if value is not None}


def _engine(name: str, **given: Any) -> Engine:
    """The engine with the settings that are given; one that it does not have is refused."""
    text = given.get("readout_bandwidth")
    if text is not None:
        try:
            given["readout_bandwidth"] = parse_quantity(text, "Hz")
        except ValueError as error:
            raise InputError(f"readout-bandwidth: {error}") from None
    return engine_named(name, **given)


def _system(
    vector: Path, matrix: Path | None, factor: Path | None, damping: float | None, hessian: Path | None
) -> System:
    if matrix is not None and factor is None:
        if damping is not None or hessian is not None:
            raise InputError("--damping and --hessian belong to --factor; put them into the matrix, or give its factor")
        return LinearSystem(read_array(matrix, "matrix"), read_array(vector, "vector"))
    if factor is None or matrix is not None:
        raise InputError("give either --matrix, or --factor with --damping")
    if damping is None:
        raise InputError("--factor needs --damping: BᵀB alone has no inverse where B has fewer rows than columns")
    curvature = None if hessian is None else read_array(hessian, "hessian")
    return GgnSystem(read_array(factor, "factor"), damping, read_array(vector, "vector"), curvature)


def _device(hardware: str, engine: Engine, initial: Path | None) -> tuple[Spu, Array | None]:
    state = None if initial is None else read_array(initial, "initial state")
    return Spu(load_hardware(hardware), engine), state


def _doubts(solution: Solution, hardware: Hardware) -> list[str]:
    """What makes a solution less than its digits promise."""
    statistics, doubts = solution.statistics, [solution.note] if solution.note else []
    if statistics.saturated_nodes:
        cause = ", and the order of the library's pins" if hardware.amplifier.library_text is not None else ""
        doubts.append(
            f"{statistics.saturated_nodes} amplifiers saturate at every voltage scale; check rails and offset{cause}"
        )
    noise, steps = solution.standard_error, solution.step_error
    if noise is not None and steps is not None and noise.all() and (worst := float(np.abs(steps / noise).max())) > 1:
        doubts.append(
            f"ngspice's steps are off by up to {worst:.2g} standard deviations of the noise; raise --points, "
            "with whose square they fall"
        )
    if statistics.clipped_codes:
        doubts.append(f"{statistics.clipped_codes} DAC codes are clipped; raise the DAC's full scale")
    if statistics.lost_inputs:
        doubts.append(
            f"{statistics.lost_inputs} entries of the right-hand side or the initial state are lost below half a DAC "
            "code; take a DAC of more bits, or scale the unknowns alike"
        )
    if statistics.lost_entries:
        doubts.append(f"{statistics.lost_entries} programmed entries are below the smallest conductance")
    if solution.refinement is not None and solution.refinement.outcome != "converged":
        doubts.append(f"refinement {solution.refinement}")
    if not statistics.residual < WRONG:
        doubts.append(f"the residual is {statistics.residual:.2g} of the right-hand side; x is not a solution")
    elif (error := statistics.estimated_error) is not None and not error < WRONG:
        doubts.append(f"x is off by about {error:.2g} of its length, though the residual is small; see --refine")
    wire = hardware.array.wire_resistance
    if wire and (statistics.saturated_nodes or not statistics.residual < WRONG):
        doubts.append(f"wires of {wire:g} Ω a segment are in its way; see what 0 Ω gives (array.wire_resistance)")
    return doubts


def _as_json(solution: Solution, output: Path | None) -> dict[str, Any]:
    statistics, error = asdict(solution.statistics), solution.standard_error
    value: dict[str, Any] = {} if output is not None else {"value": solution.value.tolist()}
    if solution.refinement is not None:
        value["refinement"] = asdict(solution.refinement)
    del statistics["outcome"]  # which the refinement says in words
    return value | {
        "note": solution.note,
        "standard_error": None if error is None else error.tolist(),
        "step_error": None if solution.step_error is None else solution.step_error.tolist(),
        "residual": statistics.pop("residual"),
        "statistics": statistics,
    }


def _of_what(solution: Solution) -> str:
    steps = "" if solution.step_error is None else " with the error of ngspice's steps"
    return f"one standard deviation of the noise{steps}"


def _print_solution(solution: Solution, output: Path | None) -> None:
    if output is not None:
        console.print(f"wrote {output}", highlight=False)
    else:
        errors = solution.uncertainty
        for i, value in enumerate(solution.value.tolist()):
            spread = "" if errors is None else f" ± {errors[i]:.2g}"
            console.print(f"x[{i}] = {value:.8g}{spread}", highlight=False)
        if errors is not None:
            console.print(f"± is {_of_what(solution)}, not the error of the device", style="dim")
    if solution.refinement is not None:
        console.print(f"refinement: {solution.refinement}", highlight=False)
    found = asdict(solution.statistics)
    for name, (label, unit) in STATISTICS.items():
        value = found[name]
        if value is not None:
            text = shown(value, unit) if isinstance(value, float) else str(value)
            console.print(f"{label}: {text}", highlight=False)
