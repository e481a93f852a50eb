"""K-FAC (Martens and Grosse 2015, arXiv 1503.05671), by kfac-jax: a block of the curvature for each layer, A ⊗ G.

A (i, i) is the second moment of what goes into a layer, with a one for its bias; G (o, o) that of the derivatives of
the loss behind it. Both are means over the steps, old ones weighted less. kfac-jax finds layers by patterns of what is
computed, and knows weights whose last axis are the outputs; here are the patterns for those whose first axis they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import kfac_jax
import numpy as np
from jax import Array
from kfac_jax import layers_and_loss_tags, tag_graph_matcher

from optim.curvature import Model, Params
from optim.losses import Loss, half_squared_error, softmax_cross_entropy
from spu_circuit.errors import InputError
from spu_circuit.files import shortened

MODES = {"ggn": "ggn_exact", "sampled fisher": "fisher_gradients"}
"""Kinds of curvature, in the words of kfac-jax. Its empirical Fisher matrix is another one, smaller by the batch."""
LOSSES = {
    softmax_cross_entropy: kfac_jax.register_softmax_cross_entropy_loss,
    half_squared_error: lambda outputs, targets: kfac_jax.register_squared_error_loss(outputs, targets, weight=0.5),
}
"""What tells kfac-jax of a loss, given outputs (b, d_z) and targets."""


def _evaluated(equation: Any, values: Sequence[Any]) -> list[Any]:
    """What an equation of a jaxpr computes.

    The release 0.0.8 takes what JAX says of an equation for a pair, which it is no longer since JAX 0.9.2. This is how
    its repository has it since.
    """
    found = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
    return list(found) if isinstance(found, (list, tuple)) else [found]


tag_graph_matcher.eval_jaxpr_eqn = _evaluated


@dataclass(frozen=True, eq=False)
class Kfac:
    """Scales gradients by the inverse of a curvature that it estimates of its own.

    Args:
        init: () → the state before the first step, a tree of arrays.
        update: (gradient, state, params, inputs, targets, key of the draws, λ) → the gradient, solved with
            ``A ⊗ G + λI`` of every layer, and the state after the step.
    """

    init: Callable[[], Any]
    update: Callable[..., tuple[Params, Any]]


def kfac(
    model: Model,
    loss: Loss,
    params: Params,
    sample: tuple[Any, Any],
    curvature: str = "sampled fisher",
    draws: int = 1,
    decay: float = 0.95,
) -> Kfac:
    """K-FAC of a model.

    Args:
        params: of any values; their shapes count.
        sample: one input and its target, or their ``jax.ShapeDtypeStruct``.
        curvature: "ggn" or "sampled fisher".
        draws: of a sampled Fisher matrix, targets for each sample.
        decay: weight of a step's moments in the mean of the next step, 0 to below 1.

    Raises:
        InputError: a loss or a curvature that it does not know, or a weight that is in no layer that it finds.
    """
    if curvature not in MODES:
        raise InputError(f"curvature: K-FAC estimates {' or '.join(MODES)}, not {shortened(curvature)}")
    if loss not in LOSSES:
        raise InputError(f"K-FAC knows {' and '.join(known.name for known in LOSSES)}, not {loss.name}; take ngd")

    def value(params: Params, batch: tuple[Array, Array]) -> Array:
        outputs = model(params, batch[0])
        LOSSES[loss](outputs, batch[1])
        return loss.mean(outputs, batch[1])

    estimator = kfac_jax.BlockDiagonalCurvature(
        value,
        default_estimation_mode=MODES[curvature],
        layer_tag_to_block_ctor=BLOCKS,
        num_samples=draws,
        auto_register_kwargs={"graph_patterns": (*PATTERNS, *tag_graph_matcher.DEFAULT_GRAPH_PATTERNS)},
    )
    batch = tuple(jnp.zeros((SAMPLES, *part.shape), part.dtype) for part in sample)
    try:
        estimator.finalize((params, batch))
    except ValueError:
        raise InputError(NO_LAYERS) from None
    for block in estimator.blocks:
        wide = [shape for shape in block.parameters_shapes if sum(length > 1 for length in shape) > 1]
        if wide and not isinstance(block, kfac_jax.KroneckerFactored):
            raise InputError(NO_LAYERS)

    def init() -> Any:
        return estimator.init(jax.random.key(0), (params, batch), None, None, False)

    def update(
        gradient: Params, state: Any, params: Params, inputs: Array, targets: Array, key: Array, damping: Any
    ) -> tuple[Params, Any]:
        data = (params, (inputs, targets))
        state = estimator.update_curvature_matrix_estimate(state, decay, 1.0, 0.0, len(inputs), key, data)
        # An exact power has λ beside the whole block; the other shares it among the factors.
        solved = estimator.multiply_inverse(
            state, gradient, damping, exact_power=True, use_cached=False, pmap_axis_name=None
        )
        return solved, state

    return Kfac(init, update)


NO_LAYERS = (
    "K-FAC finds a weight that is in no dense layer or convolution which acts once on a sample; take another kind of "
    "optimizer, as ngd"
)
SAMPLES = 2
"""Of a batch that layers are looked for with."""


class _OutputsFirst:
    """A block of a layer whose weight is (outputs, inputs, …), and whose bias has any further axes of length 1."""

    parameters_shapes: Sequence[tuple[int, ...]]

    def parameters_shaped_list_to_array(self, parts: Sequence[Array]) -> Array:
        """(inputs, and 1 for a bias; outputs)."""
        return jnp.concatenate([part.reshape(self.parameters_shapes[0][0], -1).T for part in parts])

    def array_to_parameters_shaped_list(self, array: Array) -> tuple[Array, ...]:
        """The parameters again."""
        weight, *bias = self.parameters_shapes
        parts = jnp.split(array, [len(array) - len(bias)])
        return tuple(part.T.reshape(shape) for part, shape in zip(parts, (weight, *bias), strict=False))


class _Dense(_OutputsFirst, kfac_jax.DenseTwoKroneckerFactored):
    """Of ``W x + b``."""


class _Convolution(_OutputsFirst, kfac_jax.Conv2DTwoKroneckerFactored):
    """Of a convolution of images (channels, rows, columns); arXiv 1602.01407."""

    def compute_inputs_stats(self, inputs: Array, weighting_array: Array | None = None) -> Array:
        """Second moments of patches (inputs × rows × columns) with a one, means over the places too."""
        assert weighting_array is None, "no mode here weights samples"
        how = self._layer_tag_eq.params
        patches = jax.lax.conv_general_dilated_patches(
            inputs, self.weights_spatial_shape, how["window_strides"], how["padding"]
        )
        rows = jnp.moveaxis(patches, 1, -1).reshape(-1, patches.shape[1])
        rows = jnp.hstack([rows, jnp.ones_like(rows[:, :1])])
        return rows.T @ rows / len(rows)


def _dense(inputs: Array, params: Sequence[Array]) -> Array:
    weight, bias = params
    return jax.vmap(lambda x: weight @ x + bias)(inputs)


def _convolution(inputs: Array, params: Sequence[Array]) -> Array:
    """From where ``vmap`` has its samples as the batch of one convolution, and back to samples."""
    weight, bias = params
    axes = ("NCHW", "OIHW", "NCHW")
    found = jax.lax.conv_general_dilated(inputs, weight, (1, 1), "VALID", dimension_numbers=axes)
    return jnp.squeeze(found.reshape(len(found), 1, *found.shape[1:]), 1) + bias[None]


def _pattern(
    name: str, compute: Callable[..., Array], primitive: str, inputs: tuple[int, ...], *params: tuple[int, ...]
) -> tag_graph_matcher.GraphPattern:
    """What finds a layer: what it computes, with shapes of which only the number of axes counts."""
    numbers = {"outputs_index": (0,), "inputs_index": (1,), "params_index": tuple(range(2, 2 + len(params)))}

    def parameters(equations: Sequence[Any]) -> dict[str, Any]:
        (found,) = (each for each in equations if each.primitive.name == primitive)
        # Every layer that is found gets one, and has a name written into it.
        return {"meta": layers_and_loss_tags.LayerMetaData(variant=name, **numbers), **found.params}

    return tag_graph_matcher.GraphPattern(
        *(name, layers_and_loss_tags.layer_tag, compute, parameters),
        [np.zeros(inputs), [np.zeros(own) for own in params]],
    )


PATTERNS = (
    _pattern("dense, outputs first", _dense, "dot_general", (2, 3), (5, 3), (5,)),
    _pattern(
        "convolution, outputs first",
        *(_convolution, "conv_general_dilated"),
        *((2, 3, 11, 12), (5, 3, 4, 6), (5, 1, 1)),
    ),
)
BLOCKS = dict(zip((pattern.name for pattern in PATTERNS), (_Dense, _Convolution), strict=True))
