"""Processes that work for this one: they leave interrupts to it and do not outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from racer.errors import RacerError

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_parallel(
    work: Callable[[Task], Result], tasks: Iterable[Task], jobs: int, what: str, did: str = "simulated"
) -> Iterator[Result]:
    """Do tasks in processes of their own and yield what each comes to, in the order in which they finish.

    Args:
        work: Done to each task; both must be picklable.
        tasks: In the order in which they are begun.
        jobs: Processes at a time.
        what: A task, for people, such as `a sitting`.
        did: What is done to it.

    Raises:
        RacerError: If a process was killed; and whatever `work` raises.
    """
    tasks = list(tasks)
    if not tasks:
        return
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(min(jobs, len(tasks)), context, initializer=_depend_on_the_parent)
    try:
        futures = [executor.submit(work, task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise RacerError(
            f"a process that {did} {what} was killed, perhaps for lack of memory; what was finished is kept: run it "
            "again with fewer --jobs"
        ) from error
    finally:
        # Whatever ended this, nobody waits for results that nobody will collect.
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
            process.join()


def _depend_on_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
