"""Fetching the official questions; a file of this machine stands for the one of the network."""

from dataclasses import replace
from hashlib import sha256
from http.client import IncompleteRead
from urllib.error import URLError

import pytest

from experiments.training.language import official
from experiments.training.language.squad import read_questions
from spu_circuit.errors import InputError
from tests.experiments.training.language.questions import written


@pytest.fixture
def source(tmp_path):
    path = written(tmp_path)
    content = path.read_bytes()
    return official.Source(path.as_uri(), len(content), sha256(content).hexdigest())


def unreachable(monkeypatch, error):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(official, "urlopen", refuse)


def test_questions_are_fetched_once(source, tmp_path, monkeypatch):
    path = source.fetched(tmp_path / "copies")
    assert len(read_questions(path)) == 5
    unreachable(monkeypatch, URLError("no way out"))
    assert source.fetched(tmp_path / "copies") == path
    assert [each.name for each in path.parent.iterdir()] == ["questions.json"]


def test_copies_are_beside_fetched_images(source, tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "data"))
    assert source.fetched() == tmp_path / "data" / "questions.json"


def test_a_damaged_copy_is_fetched_again(source, tmp_path):
    path = source.fetched(tmp_path / "copies")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b" ")
    assert source.fetched(tmp_path / "copies").read_bytes() == whole


@pytest.mark.parametrize("error", [URLError("no way out"), TimeoutError("no way out"), IncompleteRead(b"no way out")])
def test_without_a_network_it_is_said_what_to_do(source, tmp_path, monkeypatch, error):
    unreachable(monkeypatch, error)
    with pytest.raises(InputError, match=r"must be fetched from file:.* once .*; give a local copy with --data FILE"):
        source.fetched(tmp_path / "copies")
    assert not (tmp_path / "copies").exists()


def test_another_file_is_refused_and_not_kept(source, tmp_path):
    for other, told in ((replace(source, digest="0" * 64), f"{source.size} bytes"), (replace(source, size=9), "more")):
        with pytest.raises(InputError, match=rf"gave another file \({told}.* its checksum differs.* try again"):
            other.fetched(tmp_path / "copies")
        assert not (tmp_path / "copies").exists()


def test_the_official_file_is_the_one_to_train_with():
    assert official.TRAIN.address.endswith("/train-v1.1.json")
    assert len(bytes.fromhex(official.TRAIN.digest)) == 32
