"""What a sweep's folder keeps besides its samples, so that its reports need no file from elsewhere."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.shared.files import make_folder, writing
from experiments.sweeps.config import Sweep, Workload
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import Study, study_of
from experiments.sweeps.workloads import WORKLOADS, digest, numbered, systems_of
from spu_circuit.errors import InputError
from spu_circuit.files import is_file, shortened
from spu_circuit.hardware import presets

SYSTEMS = "systems"
"""Folder of the systems that the points of a sweep read from files, a folder for each workload."""


def keep(study: Study, store: SweepStore) -> None:
    """Write the systems that the points of a sweep read from files into its folder, where they are not yet.

    Raises:
        InputError: they cannot be written.
    """
    wanted = {
        _name(sweep.workload, files): sweep.workload
        for sweep, files in zip(study.sweeps, study.config["files"], strict=True)
        if _reads_systems(sweep.workload)
    }
    digests = store.claimed().get(SYSTEMS, {})
    for name, workload in wanted.items():
        known = {store.folder / SYSTEMS / file: of for file, of in digests.items() if Path(file).parent.name == name}
        if known and all(is_file(path) and digest(path) == of for path, of in known.items()):
            continue
        folder = store.folder / SYSTEMS / name
        make_folder(folder)
        for number, system in enumerate(systems_of(workload)):
            for path, array in zip(numbered(folder, number), (system.A, system.b), strict=True):
                content = io.BytesIO()
                np.save(content, array)
                with writing(path) as file:
                    file.write(content.getvalue())
                digests[f"{name}/{path.name}"] = digest(path)
        store.note(SYSTEMS, digests)


def kept_study(store: SweepStore, config: Mapping[str, Any]) -> Study:
    """The study of a store, with what its folder keeps in the place of files from elsewhere.

    Args:
        config: that the store was claimed with.

    Raises:
        InputError: the config is none, or what the folder keeps is missing or has changed.
    """
    where = str(store.path)
    digests = store.claimed().get(SYSTEMS, {})

    def own(point: int, sweep: Sweep) -> Sweep:
        kept: dict[str, Any] = {}
        try:
            if sweep.hardware["base"] not in presets() or "library" in sweep.hardware.get("amplifier", {}):
                kept["hardware"] = {"base": config["hardware"][point]}
            if _reads_systems(sweep.workload):
                name = _name(sweep.workload, config["files"][point])
                kept["workload"] = _kept_workload(store.folder / SYSTEMS / name, digests)
        except (LookupError, TypeError):
            raise InputError(
                f"output: {where!r} is damaged or foreign: point {point} has no hardware or files; restore it"
            ) from None
        return sweep.model_copy(update=kept)

    study = study_of(config["document"], config["grid"], where, config["audit"], own)
    return replace(study, config=study.config | {"files": config.get("files")})


def _kept_workload(folder: Path, digests: Mapping[str, str]) -> Workload:
    """The systems of a folder, which must be as they were written."""
    wanted = {name: known for name, known in digests.items() if Path(name).parent.name == folder.name}
    if not wanted:
        raise InputError(f"output: {shortened(folder)} was never written; give the same sweep command again")
    for name, known in wanted.items():
        path = folder / Path(name).name
        if not is_file(path):
            raise InputError(f"output: no file {shortened(path)}, which the sweep's systems are in; restore it")
        if digest(path) != known:
            raise InputError(f"output: {shortened(path)} is not what was written, by its checksum; restore it")
    return Workload(kind="folder", folder=str(folder), systems=len(wanted) // 2)


def _reads_systems(workload: Workload) -> bool:
    kind = WORKLOADS[workload.kind]
    return kind.systems is not None and any(kind.files(workload))


def _name(workload: Workload, files: Mapping[str, str]) -> str:
    """Of a workload's folder: the same for the same systems."""
    told = json.dumps([workload.model_dump(mode="json"), dict(files)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:12]
