"""The paper's Table 1 at given sizes."""

import pytest

from optim.asymptotics import TABLE, Sizes, evaluated
from optim.cost import DIGITAL, Work

SIZES = Sizes(Work(parameters=1000, samples=8, rows=6, iterations=20), outputs=3, analog_time=5.0)


def rows(sizes=SIZES):
    return {row.optimizer: row for row in evaluated(sizes)}


def test_the_terms_by_hand():
    """N = 1000, b = 8, d_z = 3, c = 20, so b d_z = 24."""
    found = {name: row.operations for name, row in rows().items()}
    assert found == {
        "SGD": 8e3,
        "Adam": 8e3,
        "NGD": 1e9 + 24e6,
        "NGD-CG": 20 * 8e3,
        "NGD-Woodbury": 24**2 * 1e3 + 24**3,
        "TNGD": 24e3,
    }
    memory = {name: row.numbers for name, row in rows().items()}
    assert memory == {
        "SGD": 1e3,
        "Adam": 1e3,
        "NGD": 1e6,
        "NGD-CG": 1e3,
        "NGD-Woodbury": 24e3 + 24**2,
        "TNGD": 24e3 + 24**2,
    }


def test_the_time_of_the_array_is_no_operation():
    assert [name for name, row in rows().items() if row.relaxes] == ["TNGD"]
    assert rows()["TNGD"].analog_time == 5.0
    assert all(row.analog_time is None for name, row in rows().items() if name != "TNGD")


def test_what_is_counted_has_the_rows_of_the_factor():
    """K = 6 here, not b d_z."""
    found = rows()
    assert found["NGD-Woodbury"].flop == DIGITAL["NGD, Woodbury"](SIZES.work)
    assert found["NGD-Woodbury"].held == 6 * 1000 + 36 + 2000
    assert found["TNGD"].held == found["NGD-Woodbury"].held
    factored = rows(Sizes(SIZES.work, 3, 5.0, "factored"))
    assert factored["TNGD"].held == 6 * 1000 + 2000
    assert factored["TNGD"].flop < found["TNGD"].flop


@pytest.mark.parametrize("name", TABLE)
def test_every_row_grows_with_the_model(name):
    larger = Sizes(Work(2000, 8, 6, 20), 3, 5.0)
    row, more = rows()[name], rows(larger)[name]
    assert more.operations >= 2 * row.operations - 24**3
    assert more.flop > 1.9 * row.flop
    assert more.numbers > 1.9 * row.numbers
