"""Where much work of one kind is done: in this process, in several on this machine, or on a Ray cluster.

The work is a function that goes through tasks and yields what each comes to, such as the cells of a sweep or the
sittings of a study; function, tasks and results are picklable, and no result depends on what is done beside it. It
finds its files where it is done: `FileBundle` brings them along.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from racer.errors import ConfigError, RacerError
from racer.workers import in_parallel

Task = TypeVar("Task")
Result = TypeVar("Result")
Work = Callable[[Iterable[Task]], Iterable[Result]]
"""Goes through tasks, in order."""

MOST_JOBS = 256
_PATIENCE = 10.0
"""Seconds until an address that does not answer is given up."""
_RETRIES = 3
"""How often Ray does a task again whose process or machine was lost."""
_AHEAD = 2
"""Tasks given to Ray for each of its processors, so that none waits for the next."""


_CLUSTER = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Whether Ray takes part in clusters, on whatever system: where it does not, all of its parts listen on 127.0.0.1."""


class Engine(Protocol):
    """Does work; which engine does makes no difference to what comes out."""

    workers: int
    """Processes that work at a time, about."""

    def spread(
        self, work: Work[Task, Result], tasks: Sequence[Task], together: int, what: str, did: str = "simulated"
    ) -> Iterator[Result]:
        """Yield what each task comes to as soon as it is there, in any order.

        Args:
            work: Done to the tasks.
            tasks: In the order in which they are begun.
            together: The most that one process is given at a time, 1 or more.
            what: A task, for people, such as `a sitting`.
            did: What is done to it.

        Raises:
            RacerError, CompressionError: If one cannot be done.
        """

    def close(self) -> None:
        """Give back what was taken."""


class LocalEngine:
    """Works in processes of this machine, or, where there is to be one, in this process.

    Args:
        jobs: Processes, 1 to MOST_JOBS.

    Raises:
        ConfigError: If it is another number.
    """

    def __init__(self, jobs: int) -> None:
        if not 1 <= jobs <= MOST_JOBS:
            raise ConfigError(f"jobs must lie between 1 and {MOST_JOBS}; got {jobs}")
        self.workers = jobs

    def spread(
        self, work: Work[Task, Result], tasks: Sequence[Task], together: int, what: str, did: str = "simulated"
    ) -> Iterator[Result]:
        """Yield what each task comes to; see `Engine`."""
        if min(self.workers, len(tasks)) < 2:  # another process would have to load everything first
            yield from work(tasks)
        else:
            chunks = _chunks(tasks, together, self.workers)
            for results in in_parallel(partial(do_all, work), chunks, self.workers, what, did):
                yield from results

    def close(self) -> None:
        """Do nothing: processes end with what they do."""


class RayEngine:
    """Works on a Ray cluster, on all of whose machines this Racer must be installed.

    Args:
        address: As of `ray.init`, such as `ray://head:10001` or `auto`; None starts Ray on this machine alone, where it
            listens on 127.0.0.1 and asks for a token. A process that has imported Ray before has settled both itself.
        jobs: Processors to start Ray with where there is no address; all of them if None.

    Raises:
        ConfigError: If Ray is not installed.
        RacerError: If the cluster cannot be reached.
    """

    def __init__(self, address: str | None = None, jobs: int | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of it
        if address is None and "ray" not in sys.modules:
            _keep_to_this_machine()
        try:
            import ray
        except ImportError as error:
            raise ConfigError(
                "--engine ray needs Ray, which is not installed: pip install 'racer[cluster]', or leave --engine out"
            ) from error
        self._ray: Any = ray
        self._mine = not ray.is_initialized()
        try:
            _knock(address)
            if self._mine:
                ray.init(
                    # Without an address Ray would join a cluster that it finds on this machine.
                    address=address or "local",
                    num_cpus=jobs if address is None else None,
                    include_dashboard=False if address is None else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            self.workers = max(int(self._ray.cluster_resources().get("CPU", 1)), 1)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise RacerError(
                f"cannot reach a Ray cluster at {address or 'this machine'}: {reason}; start one by "
                "`ray start --head`, or leave --address out"
            ) from error

    def spread(
        self, work: Work[Task, Result], tasks: Sequence[Task], together: int, what: str, did: str = "simulated"
    ) -> Iterator[Result]:
        """Yield what each task comes to; those whose process is lost are done again. See `Engine`."""
        ray = self._ray
        remote = ray.remote(num_cpus=1, max_retries=_RETRIES)(do_all)
        shared = ray.put(work)
        left = iter(_chunks(tasks, together, self.workers))
        running: list[Any] = []
        try:
            while True:
                while len(running) < _AHEAD * self.workers and (chunk := next(left, None)) is not None:
                    running.append(remote.remote(shared, chunk))
                if not running:
                    return
                finished, running = ray.wait(running)
                for reference in finished:
                    yield from self._results(reference, what)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def close(self) -> None:
        """Leave the cluster, or end the one that was started."""
        if self._mine:
            self._ray.shutdown()

    def _results(self, reference: Any, what: str) -> list[Any]:
        from ray.exceptions import RayError, RayTaskError

        try:
            results: list[Any] = self._ray.get(reference)
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            raise RacerError(
                f"Ray gave up on {what}: {' '.join(str(error).split())[:200]}; what was finished is kept"
            ) from error
        return results


def do_all(work: Work[Task, Result], tasks: Iterable[Task]) -> list[Result]:
    """Return what tasks come to, in order."""
    return list(work(tasks))


def _keep_to_this_machine() -> None:
    """Have Ray, which reads this when it is imported, listen to this machine alone, and there to who knows a token.

    Whoever wants its own Ray to listen to the network sets RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER to 1. It runs whatever it
    is sent: that it asks nobody for a token is not to be had here.
    """
    os.environ.setdefault(_CLUSTER, "0")
    if os.environ.get("RAY_AUTH_MODE", "disabled") == "disabled":
        os.environ["RAY_AUTH_MODE"] = "token"
        if not os.environ.get("RAY_AUTH_TOKEN_PATH"):
            os.environ["RAY_AUTH_TOKEN"] = os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)


def _knock(address: str | None) -> None:
    """Raise OSError if nobody listens at an address: Ray itself would go on trying for minutes."""
    place = urlsplit(address if address and "://" in address else f"//{address or ''}")
    if place.hostname is not None and place.port is not None:
        socket.create_connection((place.hostname, place.port), _PATIENCE).close()


def _chunks(tasks: Sequence[Task], together: int, workers: int) -> list[Sequence[Task]]:
    """Return the tasks in groups of as many as are done together, or smaller ones where workers would idle."""
    size = max(min(together, -(-len(tasks) // workers)), 1)
    return [tasks[start : start + size] for start in range(0, len(tasks), size)]
