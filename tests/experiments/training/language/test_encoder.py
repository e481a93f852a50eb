"""The encoder against another implementation, and what is trained of it.

Reference activations are of transformers 5.23.0 with PyTorch 2.15.0 (BertModel and DistilBertModel, eager attention,
single precision), with the weights of ``shapes.formula``: the first six numbers of the first and of the last token that
is no padding, and the lengths of all such tokens' vectors.
"""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from experiments.training.language.folder import Shape
from experiments.training.language.lora import adapted, changes
from experiments.training.language.spans import answer_finder
from experiments.training.language.windows import CONTEXT
from experiments.training.stepping import compiled
from experiments.training.tasks.architectures import Adaptation
from optim.curvature import gauss_newton_factor, loss_and_gradient, sampled_fisher_factor
from tests.experiments.training.language.shapes import BERT, DISTILBERT, encoder, random_encoder

TOKENS = jnp.array([2, 5, 7, 3, 9, 4, 10, 3, 0, 0])
SEGMENTS = jnp.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 0])
MASK = jnp.arange(10) < 8
REFERENCE = {
    "bert gelu": (
        BERT,
        [-1.87426531, 0.679722607, 1.04772151, 0.318509132, -0.2306564, 1.16198397],
        [-1.34814346, 0.668209672, 0.592575371, 0.327082455, 1.06298304, 0.890495837],
        [3.54962702, 2.71064585, 2.67585923, 3.30331334, 3.54966656, 3.49722644, 3.40542517, 3.40284159],
    ),
    "bert relu": (
        replace(BERT, activation="relu"),
        [-1.82378435, 0.693743467, 1.01830637, 0.341355801, -0.16233781, 1.15999293],
        [-1.37529588, 0.654968023, 0.631220639, 0.41729185, 1.061221, 0.847091079],
        [3.54858317, 2.68683751, 2.67397758, 3.30867756, 3.54881418, 3.48883056, 3.41259884, 3.41016918],
    ),
    "bert gelu_new": (
        replace(BERT, activation="gelu_new"),
        [-1.87439001, 0.67968291, 1.04777694, 0.318480909, -0.230835229, 1.1619935],
        [-1.3482213, 0.66823107, 0.592614949, 0.327051789, 1.06293106, 0.89051652],
        [3.54962568, 2.71061734, 2.67589518, 3.30330127, 3.54966538, 3.49723466, 3.40543299, 3.40284893],
    ),
    "distilbert": (
        DISTILBERT,
        [-1.76286256, 0.54648155, 0.177797094, -0.355844855, 1.15094125, 0.83746177],
        [0.0498322025, 0.529951751, -0.621687591, -0.66332674, 2.64051414, 0.568876803],
        [3.40455862, 3.35313326, 2.94717674, 2.63241532, 2.98090859, 3.60188635, 3.60071204, 3.59641865],
    ),
}
WINDOW = jnp.stack([TOKENS, jnp.array([1, 1, 1, 1, 2, 2, 2, 3, 0, 0])])
OTHERS = jnp.stack([WINDOW, WINDOW.at[0, 5].set(8), WINDOW.at[0, 6].set(1)])
SPANS = jnp.array([[4, 5], [5, 5], [6, 6]])
# Compiled without care for speed: that would take longer than the computing.
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def activations(module):
    """What a module makes of tokens, segments and mask."""
    return quick(lambda *inputs: module(*inputs))


def learner(**changes):
    return answer_finder(encoder(BERT), BERT.deviation, 10, 4, Adaptation(**changes))


def moved(params):
    """Parameters at which no change is zero."""
    flat, unravel = ravel_pytree(params)
    return unravel(flat + 0.05 * jnp.sin(jnp.arange(flat.size)))


@pytest.mark.parametrize("case", REFERENCE)
def test_activations_are_those_of_another_implementation(case):
    shape, first, last, lengths = REFERENCE[case]
    found = activations(encoder(shape))(TOKENS, SEGMENTS, MASK)
    # Rounding of single precision through two layers.
    np.testing.assert_allclose(found[0, :6], first, atol=1e-5)
    np.testing.assert_allclose(found[7, :6], last, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found[:8], axis=1), lengths, atol=1e-5)


def test_padding_changes_nothing():
    whole = activations(encoder(BERT))
    padded = whole(TOKENS, SEGMENTS, MASK)[:8]
    np.testing.assert_allclose(padded, whole(TOKENS[:8], SEGMENTS[:8], MASK[:8]), atol=1e-6)
    np.testing.assert_allclose(padded, whole(TOKENS.at[8:].set(6), SEGMENTS, MASK)[:8], atol=1e-6)


def test_the_papers_adaptation_has_its_number_of_parameters():
    """6 layers × 4 matrices × 2 (768 + 768), and a head of 2 × 768 + 2; the vocabulary of DistilBERT has none."""
    shape = Shape("distilbert", 50, 32, 0, width=768, hidden=3072, layers=6, heads=12)
    own = answer_finder(random_encoder(shape), 0.02, 32, 8, Adaptation(alpha=32, dropout=0.1))
    assert ravel_pytree(own.begin(0))[0].size == 6 * 4 * 2 * (768 + 768) + 1538 == 75_266


def test_a_change_is_nothing_at_first_and_of_its_rank_then():
    before, key = encoder(BERT), jax.random.key(1)
    own = adapted(before, ("value", "down"), 3, 6.0, 0.0, key)
    assert [part.narrow.shape for part in changes(own)] == [(3, 8), (3, 12)] * 2
    np.testing.assert_allclose(
        activations(own)(TOKENS, SEGMENTS, MASK), activations(before)(TOKENS, SEGMENTS, MASK), rtol=1e-6, atol=1e-6
    )
    part = own.layers[0].value
    part = eqx.tree_at(lambda p: p.wide, part, jnp.arange(24.0).reshape(8, 3))
    x = jax.random.normal(key, (5, 8))
    weight = part.dense.weight + 6.0 / 3 * part.wide @ part.narrow
    np.testing.assert_allclose(part(x), x @ weight.T + part.dense.bias, rtol=1e-4, atol=1e-4)


def test_only_tokens_of_the_paragraph_can_be_answers():
    own = learner()
    logits = quick(own.model)(own.begin(0), OTHERS).reshape(3, 2, 10)
    context = np.broadcast_to(np.asarray(OTHERS[:, 1] == CONTEXT)[:, None], logits.shape)
    p = jax.nn.softmax(logits)
    assert p[~context].max() == 0
    assert p[context].min() > 0


def test_seeds_decide_the_parameters():
    own = learner()
    one, again, other = (ravel_pytree(own.begin(seed))[0] for seed in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).any()


def test_many_windows_go_through_in_groups():
    own = learner()
    params, many = moved(own.begin(0)), jnp.tile(OTHERS, (9, 1, 1))
    model = quick(own.model)
    np.testing.assert_allclose(model(params, many), jnp.tile(model(params, OTHERS), (9, 1)), atol=1e-6)


def test_dropping_is_by_the_step_and_the_window_and_keeps_the_mean():
    own = learner(dropout=0.5, alpha=0.01)
    assert learner().in_training is None
    params = moved(own.begin(0))

    def outputs(key):
        return own.in_training(key)(params, OTHERS)

    keys = jax.random.split(jax.random.key(0), 400)
    some = quick(lambda keys: jax.lax.map(outputs, keys))(keys)
    alone = quick(lambda key: own.in_training(key)(params, OTHERS[1:2]))(keys[0])
    np.testing.assert_allclose(alone, some[0, 1:2], atol=1e-6)
    assert (some[0, 0] != some[1, 0]).any()
    # So weak a change acts linearly. Five standard errors of 60 means: a false alarm in 30,000.
    exact = quick(own.model)(params, OTHERS)
    error = jnp.std(some, axis=0) / 20
    assert (jnp.abs(some.mean(axis=0) - exact) <= 5 * error + 1e-6).all()


def test_half_precision_is_near_and_its_gradients_are_single():
    single, half = learner(), learner(dtype="bfloat16")
    params = moved(single.begin(0))
    near, far = quick(half.model)(params, OTHERS), quick(single.model)(params, OTHERS)
    assert near.dtype == jnp.float32
    inside = np.asarray(OTHERS[:, 1] == CONTEXT)
    apart = np.abs(near - far).reshape(3, 2, 10)[np.broadcast_to(inside[:, None], (3, 2, 10))]
    # Numbers of bfloat16 have eight bits.
    assert 1e-5 < apart.max() < 0.05
    both = [partial(loss_and_gradient, own.model, own.loss) for own in (half, single)]
    gradients = [quick(found)(params, OTHERS, SPANS)[1] for found in both]
    factor = quick(partial(sampled_fisher_factor, half.model, half.loss, draws=2))
    B = factor(params, OTHERS, SPANS, jax.random.key(0))
    assert B.shape == (6, ravel_pytree(params)[0].size)
    assert {leaf.dtype for leaf in (B, *jax.tree.leaves(gradients[0]))} == {jnp.dtype("float32")}
    a, b = (ravel_pytree(gradient)[0] for gradient in gradients)
    assert a @ b > 0.99 * jnp.linalg.norm(a) * jnp.linalg.norm(b)


def test_compiled_curvature_is_that_of_single_operations():
    """Of many rows at once: jaxlib 0.10.2 is wrong by a quarter here, and right for few rows."""
    length = 96
    shape = Shape("bert", vocabulary=20, places=length, segments=2, width=32, hidden=32, layers=1, heads=2)
    learner = answer_finder(random_encoder(shape), 0.02, length, 8, Adaptation())
    params = jax.tree.map(
        lambda leaf: leaf + 0.05 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), learner.begin(0)
    )
    window = jnp.stack([jnp.arange(length) % 20, jnp.full(length, CONTEXT)])[None]
    factor = partial(gauss_newton_factor, learner.model, learner.loss)
    found = compiled(factor)(params, window, jnp.array([[5, 6]]))
    assert found.shape[0] == 2 * length - 2
    expected = factor(params, window, jnp.array([[5, 6]]))
    # Rounding of single precision, 1e-5 of the largest.
    np.testing.assert_allclose(found, expected, atol=1e-4 * float(jnp.abs(expected).max()))
