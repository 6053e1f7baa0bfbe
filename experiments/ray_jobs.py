"""The processes of jobs on a Ray cluster.

A task of Ray is one job: it has the job forked, on the machine where it runs, from a process that
stays warm there as on any machine, and returns its exit code. Ray repeats nothing: what is lost is
one job, which is reported, and done by the same command.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

from misgen.experiments.jobs_start import EXIT_WORKER_DIED, Order, Start, start
from misgen.experiments.provenance import usable_cores
from misgen.experiments.run_folder import results_root

LOCAL = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # its servers listen on loopback only
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Read when Ray is imported, or starts: for a cluster of this machine alone."""
CONNECT_S = 10.0
ALWAYS = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}  # or it would copy the working folder everywhere


def check(address: str) -> None:
    """ValueError where nobody listens at host:port of a cluster: Ray would try for ever."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:  # "", auto
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise _unusable(address, error) from error


def _unusable(address: str, error: Exception) -> ValueError:
    return ValueError(
        f"no Ray cluster can be used at {address or 'this machine'}: "
        f"{str(error).splitlines()[0]}; start one with `ray start --head`, set "
        "RAY_AUTH_MODE=token if it asks for a token, or leave hydra.launcher.address out"
    )


@contextlib.contextmanager
def cluster(address: str, workers: int) -> Iterator[tuple[int, Start]]:
    """How many jobs at a time a cluster takes, and what starts one there.

    Args:
        address: of a running cluster, as "auto" or host:port; "": one of this machine, which ends
            with the sweep.
        workers: jobs at a time; 0: as many as the cluster has cores.

    Raises:
        ValueError: no cluster answers.
    """
    os.environ.update(ALWAYS if address else {**ALWAYS, **LOCAL})
    import ray

    local = {"num_cpus": workers or usable_cores(), "include_dashboard": False}
    where: dict[str, Any] = {"address": address} if address else {"address": "local", **local}
    try:
        ray.init(**where, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unusable(address, error) from error
    try:
        cores = int(ray.cluster_resources().get("CPU", 0))
        remote = ray.remote(num_cpus=1, max_retries=0)(_run)
        root = str(results_root())
        yield workers or cores, lambda order: _Task(remote.remote(order, root), order)
    finally:
        ray.shutdown()


def _run(order: Order, results: str) -> int:
    """In a worker of Ray: run a job; its exit code."""
    os.environ["MISGEN_RESULTS"] = results
    return start(order).wait()


class _Task:
    """A job of the cluster as a `Process`."""

    pid = 0  # on another machine

    def __init__(self, task: Any, order: Order) -> None:
        self.task, self.order = task, order
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.order["name"], timeout or 0.0)
        return code

    def signal_group(self, number: int) -> None:
        """Whatever the signal: the worker is killed, and its jobs die with it."""
        import ray

        if self.poll() is None:
            ray.cancel(self.task, force=True)

    def _ended(self, timeout: float | None) -> int | None:
        import ray

        if self.returncode is None and ray.wait([self.task], timeout=timeout)[0]:
            try:
                self.returncode = int(ray.get(self.task))
            except ray.exceptions.RayError as error:
                with (
                    contextlib.suppress(OSError),
                    open(self.order["log"], "a", encoding="utf-8") as log,
                ):
                    print(error, file=log)
                self.returncode = EXIT_WORKER_DIED
        return self.returncode
