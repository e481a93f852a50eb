"""Tasks in, results out, wherever they are computed."""

import os
from collections import deque

import pytest

from experiments.shared import executor as executor_module
from experiments.shared.executor import executor
from spu_circuit.errors import InputError, SimulationError


def squared(number):
    return number * number


def dies(number):
    os._exit(1)


def fails(number):
    raise InputError(f"{number} is wrong; take another")


def lacks(number):
    raise ModuleNotFoundError("No module named 'jax'", name="jax")


def is_of_another_version(number):
    raise RuntimeError("Error during deserialization of the task graph.\nThis frequently occurs ...")


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_that_are_put_into_the_queue_meanwhile_are_computed_too(workers):
    queue, found = deque([1, 2, 3]), {}
    with executor(workers, None) as computers:
        for task, result in computers.results(squared, queue):
            found[task] = result
            if task <= 3:
                queue.append(10 * task)
    assert found == {1: 1, 2: 4, 3: 9, 10: 100, 20: 400, 30: 900}


def test_a_task_that_kills_its_workers_has_no_result_and_the_others_do():
    with executor(2, None) as computers:
        assert list(computers.results(dies, deque([1]))) == [(1, None)]
        assert sorted(computers.results(squared, deque([1, 2]))) == [(1, 1), (2, 4)]


def test_what_goes_wrong_elsewhere_is_said_here():
    with executor(2, None) as computers:
        with pytest.raises(InputError, match="7 is wrong; take another"):
            list(computers.results(fails, deque([7])))
        with pytest.raises(InputError, match="scheduler: a worker cannot import jax; install there"):
            list(computers.results(lacks, deque([7])))
        with pytest.raises(InputError, match="scheduler: it has no spu-circuit, or another version; install"):
            list(computers.results(is_of_another_version, deque([7])))


def test_a_scheduler_that_goes_away_is_one_line(monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(executor_module, "PATIENCE", "1 s")
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, processes=False) as cluster,
        executor(1, cluster.scheduler_address) as computers,
    ):
        results = computers.results(squared, deque(range(100)))
        assert next(results)[1] is not None
        cluster.close()
        with pytest.raises(SimulationError, match="the Dask scheduler is gone; what is finished is kept"):
            list(results)


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(executor_module, "PATIENCE", "1 s")
    with (
        pytest.raises(InputError, match=r"scheduler: 'tcp://127\.0\.0\.1:9' does not answer"),
        executor(1, "tcp://127.0.0.1:9"),
    ):
        pass
