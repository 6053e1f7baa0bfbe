"""The processes of jobs on a Ray cluster.

A task of Ray is one job: it has the job forked, on the machine where it runs, from a process that
stays warm there as on any machine, and returns its exit code. Ray repeats nothing: what is lost is
one job, which is reported, and done by the same command.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from misgen.experiments.jobs.start import EXIT_WORKER_DIED, Order, Process, start
from misgen.experiments.provenance import usable_cores
from misgen.experiments.runs.folder import results_root

if TYPE_CHECKING:
    from misgen.experiments.config import TrainConfig
    from misgen.experiments.jobs.scheduler import JobResult
    from misgen.experiments.launchers.ray import RayConf

LOCAL = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # its servers listen on loopback only
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Read when Ray is imported, or starts: for a cluster of this machine alone."""
CONNECT_S = 10.0
ALWAYS = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}  # or it would copy the working folder everywhere


def check(conf: RayConf) -> None:
    """ValueError where nobody listens at host:port of a cluster: Ray would try for ever."""
    host, _, port = conf.address.removeprefix("ray://").rpartition(":")
    if not host:  # "", auto
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise _unusable(conf.address, error) from error


def _unusable(address: str, error: Exception) -> ValueError:
    return ValueError(
        f"no Ray cluster can be used at {address or 'this machine'}: "
        f"{str(error).splitlines()[0]}; start one with `ray start --head`, set "
        "RAY_AUTH_MODE=token if it asks for a token, or leave hydra.launcher.address out"
    )


def plan(missing: Sequence[TrainConfig], conf: RayConf) -> str:
    where = f"the Ray cluster at {conf.address}" if conf.address else "a local Ray"
    return f"{conf.n_jobs or 'as many as it has cores'} at a time on {where}"


def train(missing: Sequence[TrainConfig], conf: RayConf) -> list[JobResult]:
    """On the cluster; one of this machine ends with the sweep. ValueError where none answers."""
    address = conf.address
    os.environ.update(ALWAYS if address else {**ALWAYS, **LOCAL})
    import ray

    from misgen.experiments.runs.sweep import train_on_cores  # heavy: Ray's workers go without

    local = {"num_cpus": conf.n_jobs or usable_cores(), "include_dashboard": False}
    where: dict[str, Any] = {"address": address} if address else {"address": "local", **local}
    try:
        ray.init(**where, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unusable(address, error) from error
    try:
        cores = int(ray.cluster_resources().get("CPU", 0))
        remote = ray.remote(num_cpus=1, max_retries=0)(_run)
        root = str(results_root())
        workers = conf.n_jobs or cores
        return train_on_cores(missing, workers, lambda o: _Task(remote.remote(o, root), o))
    finally:
        ray.shutdown()


def _run(order: Order, results: str) -> int:
    """In a worker of Ray: run a job; its exit code."""
    os.environ["MISGEN_RESULTS"] = results
    return start(order).wait()


class _Task(Process):
    """A job of the cluster."""

    def __init__(self, task: Any, order: Order) -> None:
        self.task, self.log, self.name = task, order["log"], order["name"]

    def poll(self) -> int | None:
        import ray

        if self.returncode is None and ray.wait([self.task], timeout=0.0)[0]:
            try:
                self.returncode = int(ray.get(self.task))
            except ray.exceptions.RayError as error:
                with contextlib.suppress(OSError), open(self.log, "a", encoding="utf-8") as log:
                    print(error, file=log)
                self.returncode = EXIT_WORKER_DIED
        return self.returncode

    def signal_group(self, number: int) -> None:
        """Whatever the signal: the worker is killed, and its jobs die with it."""
        import ray

        if self.poll() is None:
            ray.cancel(self.task, force=True)
