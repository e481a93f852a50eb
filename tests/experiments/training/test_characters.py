"""The next character: the made-up language, texts of one's own, and what reads them."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from experiments.training.config import read_experiment
from experiments.training.methods import learner_of
from experiments.training.stepping import Place
from experiments.training.store import Trial
from experiments.training.tasks import task_named
from experiments.training.tasks.text import ALPHABET, ENDINGS, encoded, language
from experiments.training.trial import advance
from optim.curvature import gauss_newton_factor, loss_and_gradient, sampled_fisher_factor
from spu_circuit.errors import InputError
from tests.compiled import quick

NETWORKS = {
    "gru": {"kind": "gru", "width": 4, "hidden": 5},
    "transformer": {"kind": "transformer", "width": 4, "hidden": 6, "heads": 2},
}
SMALL = {
    "name": "small",
    "task": "characters",
    "steps": 25,
    "batch_size": 32,
    "seeds": [0],
    "evaluate_every": 25,
    "data": {"train": 400, "validation": 50, "test": 100, "context": 4, "words": 10},
    "network": NETWORKS["gru"],
    "optimizers": {
        "ngd": {
            "kind": "ngd",
            "learning_rates": [0.1],
            "damping": 0.3,
            "memory": 0.9,
            "curvature": "sampled fisher",
        }
    },
}


def small(**changes):
    data = SMALL["data"] | changes.pop("data", {})
    return read_experiment(SMALL | {"data": data} | changes, "test")


def load(experiment, path=None):
    return task_named("characters").load(experiment.data, path)


def test_the_entropy_is_what_the_true_model_pays_for_a_text():
    """Read the words back from the characters, and add up what each costs given the one before."""
    made, length = language(30), 200_000
    text = made.text(length, np.random.default_rng(0))
    parts = re.findall(r"([A-Za-z0-9]+)([^A-Za-z0-9]+)", text)
    words, ends = zip(*parts[:-1], strict=True)  # the last one may be cut
    places = np.array([made.words.index(word.lower()) for word in words])
    capitals = [True, *(end[0] in ".?!" for end in ends[:-1])]
    assert all(word == made.words[k].capitalize() if first else word in made.words
               for word, k, first in zip(words, places, capitals, strict=True))  # fmt: skip
    bits = -np.log2(made.following[places[:-1], places[1:]]) - np.log2([ENDINGS[end] for end in ends[1:]])
    characters = np.array([len(word) + len(end) for word, end in zip(words[1:], ends[1:], strict=True)])
    # Of a ratio of means over groups of words, which remember little of each other.
    groups = len(bits) // 100
    each, long = bits[: 100 * groups].reshape(groups, -1).sum(1), characters[: 100 * groups].reshape(groups, -1).sum(1)
    error = np.std(each - made.entropy * long, ddof=1) / np.sqrt(groups) / long.mean()
    assert error < 0.01 * made.entropy
    # Four standard errors: a false alarm in 16,000 seeds.
    assert each.sum() / long.sum() == pytest.approx(made.entropy, abs=4 * error)
    assert sum(ENDINGS.values()) == pytest.approx(1)


def test_the_entropy_of_two_words_is_that_of_their_closed_form():
    made = language(2)
    (_, out), (back, _) = made.following
    share = np.array([back, out]) / (back + out)

    def bits(law):
        return sum(-p * np.log2(p) for p in law)

    word = share @ [bits(row) for row in made.following] + bits(ENDINGS.values())
    length = share @ [len(word) for word in made.words] + sum(len(end) * p for end, p in ENDINGS.items())
    assert made.entropy == pytest.approx(word / length)


def test_a_language_and_its_texts_follow_from_their_seeds():
    assert language(30).words == language(30).words != language(30, 1).words
    assert len(set(language(200).words)) == 200
    one, again, other = (language(30).text(500, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one == again != other


def test_samples_are_excerpts_that_share_no_character():
    parts = load(small())
    assert [part[0].shape for part in (parts.train, parts.validation, parts.test)] == [(400, 4), (50, 4), (100, 4)]
    text = encoded(language(10).text(550 * 5, np.random.default_rng([0, 1])))
    drawn = np.vstack([np.column_stack(part) for part in (parts.train, parts.validation, parts.test)])
    assert sorted(map(bytes, drawn)) == sorted(map(bytes, text.reshape(550, 5)))
    assert (load(small(data={"split_seed": 1})).train[0] != parts.train[0]).any()
    assert len(ALPHABET) == len(set(ALPHABET)) == 96


def test_a_text_of_ones_own_is_read_and_strange_characters_are_question_marks(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("Füße\n" * 100, encoding="utf-8")
    few = small(data={"train": 20, "validation": 10, "test": 20}, batch_size=8)
    parts = load(few, path)
    found = "".join(ALPHABET[k] for k in np.column_stack(parts.train).ravel())
    assert set(found) == set("F?e\n")
    with pytest.raises(InputError, match="550 samples are asked for, there are 100; lower train"):
        load(small(), path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"text\.txt' cannot be read as text in UTF-8: .*; give one text file"):
        load(small(), path)
    with pytest.raises(InputError, match="cannot be read as text"):
        load(small(), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
def test_gradient_and_curvature_are_those_of_the_cross_entropy(kind):
    """Against dense Jacobians; a sampled Fisher matrix has a row for each draw, not for each character."""
    learner = learner_of(small(network=NETWORKS[kind]))
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), learner.begin(1))
        inputs, targets = (jnp.asarray(part[:2]) for part in load(small()).train)
        flat, unravel = ravel_pytree(params)

        def found(vector):
            J = jax.jacrev(lambda own: learner.model(unravel(own), inputs))(vector)
            at = (learner.model, learner.loss, unravel(vector), inputs, targets)
            return learner.model(unravel(vector), inputs), J, loss_and_gradient(*at), gauss_newton_factor(*at)

        outputs, J, (loss, gradient), B = (jax.tree.map(np.asarray, part) for part in quick(found)(flat))
        assert outputs.shape == (2, 96)
        p = np.exp(outputs - np.log(np.exp(outputs).sum(axis=1, keepdims=True)))
        wrong = p - np.eye(96)[np.asarray(targets)]
        np.testing.assert_allclose(loss, -np.log(p[[0, 1], targets]).mean(), rtol=1e-12)
        flattened = ravel_pytree(gradient)[0]
        np.testing.assert_allclose(flattened, np.einsum("bzn,bz->n", J, wrong) / 2, rtol=1e-9, atol=1e-12)
        H = np.stack([np.diag(row) - np.outer(row, row) for row in p])
        G = np.einsum("bzn,bzy,bym->nm", J, H, J) / 2
        np.testing.assert_allclose(B.T @ B, G, rtol=1e-8, atol=1e-12 * np.abs(G).max())
        assert B.shape == (2 * 95, flat.size)
        drawn = partial(sampled_fisher_factor, learner.model, learner.loss, draws=3)
        assert jax.eval_shape(drawn, params, inputs, targets, jax.random.key(0)).shape == (2 * 3, flat.size)
        assert float(learner.score(jnp.asarray(outputs), targets)) == pytest.approx(float(loss) / np.log(2))


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_sees_every_character_and_their_order(kind):
    learner = learner_of(small(network=NETWORKS[kind] | {"layers": 2}))
    params, text = learner.begin(0), encoded("abcd")
    outputs = learner.model(params, np.stack([text, encoded("xbcd"), encoded("bacd")]))
    assert len(np.unique(np.round(outputs, 6), axis=0)) == 3


ADAM = {"adam": {"kind": "adam", "learning_rates": [0.03]}}


@pytest.mark.parametrize(("kind", "optimizers"), [("gru", SMALL["optimizers"]), ("transformer", ADAM)])
def test_a_short_training_lowers_the_loss(kind, optimizers):
    """Natural gradients in one of them: in both, their gradient and curvature are compared with dense ones above."""
    experiment = small(network=NETWORKS[kind], optimizers=optimizers)
    ((name, settings),) = experiment.optimizers.items()
    place = Place(Trial(0, name, settings.learning_rates[0], 0))
    (chunk,) = advance(experiment, [place], load(experiment), 25)
    # Nothing learned would cost log₂ 96 = 6.6 bits.
    assert chunk.steps[-1].loss < 0.8 * chunk.steps[0].loss
    assert chunk.steps[-1].score < 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"kind": "lstm"}}, r"network\.kind: Input should be 'gru' or 'transformer'"),
        ({"network": {"kind": "transformer", "width": 5}}, "width 5 is no multiple of heads 2; take 2 or a multiple"),
        ({"network": {"kind": "gru", "heads": 2}}, "a gru has no 'heads'; leave it out"),
        ({"network": {"kind": "gru", "layers": 0}}, r"network\.layers: .*greater than or equal to 1"),
        ({"data": {"context": 0}}, r"data\.context: .*greater than or equal to 1"),
        ({"data": {"words": 1}}, r"data\.words: .*greater than or equal to 2"),
    ],
)
def test_mistakes_are_one_line_with_the_cure(changes, words):
    with pytest.raises(InputError, match=words) as caught:
        small(**changes)
    assert "\n" not in str(caught.value)
