import json
from math import inf, nan

from experiments.shared.plain_json import json_text


def test_numbers_that_are_not_finite_are_null():
    tree = {"a": [1.5, nan, {"b": -inf}], "c": (inf, "τ", None, True, 2)}
    assert json.loads(json_text(tree)) == {"a": [1.5, None, {"b": None}], "c": [None, "τ", None, True, 2]}
    assert "τ" in json_text(tree)
