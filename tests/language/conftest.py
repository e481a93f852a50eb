"""What reads pretrained encoders is no part of ``make test``. Where it is missing nothing here is collected, so
``make test-language`` fails; a missing encoder fails its tests."""

from importlib.util import find_spec

import pytest

NEEDED = ("safetensors", "tokenizers")
collect_ignore_glob = [] if all(map(find_spec, NEEDED)) else ["*.py"]


@pytest.fixture
def folder(tmp_path):
    """A small encoder in the usual files."""
    from tests.language.folders import write_encoder

    return write_encoder(tmp_path / "encoder")
