"""Tasks in, results out, wherever they are computed."""

import os
import signal
import socket
import subprocess
import sys
import warnings
from collections import deque

import dask
import distributed  # noqa: F401  (its settings have their defaults from here on)
import pytest

from experiments.shared import executor as executor_module
from experiments.shared.executor import executor, stops_kept
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


def test_no_port_is_fought_over():
    """Two runs on one machine do not meet at the port of Dask's status page, and say nothing of it."""
    with socket.socket() as other, warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            other.bind(("127.0.0.1", 8787))
            other.listen()
        except OSError:
            pass  # somebody has it already
        with executor(2, None) as computers:
            assert list(computers.results(squared, deque([3]))) == [(3, 9)]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", *made, *files], check=True, capture_output=True)
    return folder


def tls(folder, roles=("client", "scheduler", "worker")):
    """Dask's settings."""
    own = {
        f"distributed.comm.tls.{role}.{part}": str(folder / f"{part}.pem") for role in roles for part in ("cert", "key")
    }
    return {"distributed.comm.tls.ca-file": str(folder / "cert.pem"), **own}


@pytest.fixture(scope="module")
def encrypted(certificate):
    """The address of a scheduler that speaks TLS alone."""
    from distributed import LocalCluster, Security

    with dask.config.set(tls(certificate)):
        security = Security(require_encryption=True)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, processes=False, security=security
    ) as cluster:
        assert cluster.scheduler_address.startswith("tls://")
        yield cluster.scheduler_address


def test_a_scheduler_that_speaks_tls_is_reached_with_the_certificates_of_dasks_settings(encrypted, certificate):
    with dask.config.set(tls(certificate, ("client",))), executor(1, encrypted) as computers:
        assert sorted(computers.results(squared, deque([2, 3]))) == [(2, 4), (3, 9)]


def test_without_certificates_the_settings_that_name_them_are_said(encrypted):
    with (
        pytest.raises(InputError, match=r"tls://.* needs certificates; name their files in .*comm\.tls\.ca-file"),
        executor(1, encrypted),
    ):
        pass


def test_a_certificate_that_is_not_there_is_one_line(encrypted, tmp_path):
    with (
        dask.config.set(tls(tmp_path, ("client",))),
        pytest.raises(InputError, match=r"a certificate of Dask's settings cannot be used \(.*No such file"),
        executor(1, encrypted),
    ):
        pass


def test_an_address_without_tls_is_refused_where_dasks_settings_ask_for_it(certificate):
    with (
        dask.config.set(tls(certificate) | {"distributed.comm.require-encryption": True}),
        pytest.raises(InputError, match=r"'tcp://127\.0\.0\.1:9' is not encrypted.* begins with tls://"),
        executor(1, "tcp://127.0.0.1:9"),
    ):
        pass


def test_worker_processes_speak_tls_where_dasks_settings_ask_for_it(certificate):
    settings = tls(certificate) | {"distributed.comm.require-encryption": True}
    with dask.config.set(settings), executor(2, None) as computers:
        assert computers._client.scheduler.address.startswith("tls://")
        assert sorted(computers.results(squared, deque([2, 3]))) == [(2, 4), (3, 9)]


def test_ctrl_c_while_workers_start_counts_afterwards_and_no_worker_sees_it():
    asked = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    try:
        passed = False
        with pytest.raises(KeyboardInterrupt), stops_kept():  # noqa: PT012
            os.kill(os.getpid(), signal.SIGINT)
            child = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
            passed = True
        assert passed
        assert child.stdout == "True\n"
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with stops_kept():
            pass
    finally:
        signal.signal(signal.SIGINT, kept)
