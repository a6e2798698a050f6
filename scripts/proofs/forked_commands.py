"""Commands run in forks of a process that has loaded everything, so that a moment drawn at random meets their work."""

from __future__ import annotations

import importlib
import os
import pkgutil
import resource
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import matplotlib.pyplot  # noqa: F401  # loaded here, so that no fork has to
import pandas
import torch._dynamo

import compression
import disk
import racer
import sessions
from compression.model.latent_model import use_one_thread
from racer import cli
from racer.engines import LocalEngine
from racer.study.file import load_study
from racer.study.run import run_study
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task

LOADED = (h5py, pandas, torch._dynamo)
"""What commands import when they come to it, torch when it makes an optimiser."""
STUDY = """
title = "study"
conditions = ["random", "pico"]
participants = 2
pilots = 1
[episodes]
practice = 1
calibration = 2
exploration = 3
evaluation = 1
steps = 12
[masks]
pico = "pilot"
"""
_POLL_S = 0.001


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Its exit code; the negative number of the signal that killed it."""
    seconds: float
    output: str
    """Its last words, on both streams."""


def load_everything() -> None:
    """Import all modules, and the latent model of car-racing."""
    for package in (disk, sessions, compression, racer):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            with suppress(ImportError):  # of an extra that is not installed
                importlib.import_module(module.name)
    use_one_thread()
    load_task_model(make_task().spec)


def make_study(folder: Path) -> None:
    """Simulate a study of a pilot and two people in `study`, and copy what they recorded to `desk`."""
    (folder / "study").mkdir(parents=True)
    (folder / "study/study.toml").write_text(STUDY, encoding="utf-8")
    run_study(load_study(folder / "study"), engine=LocalEngine(1), iterations=25)
    shutil.copytree(folder / "study/recordings", folder / "desk")


def run(
    folder: Path,
    words: tuple[str, ...],
    kill_after: float | None = None,
    limit: float = 600.0,
    memory: int | None = None,
) -> Ended:
    """Run a command in a folder.

    Args:
        folder: Where it runs.
        words: Of the command, without `racer`.
        kill_after: Seconds after which it is killed, with all that it started.
        limit: Seconds after which it hangs, and is killed as well.
        memory: Bytes that it may take above what is loaded.
    """
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        child = os.fork()
        if not child:
            _become(folder, words, output.fileno(), memory)
        ended, status = 0, 0
        while not ended:
            ended, status = os.waitpid(child, os.WNOHANG)
            taken = time.monotonic() - began
            if not ended and taken >= (limit if kill_after is None else kill_after):
                with suppress(ProcessLookupError):  # before it leads a group of its own
                    os.killpg(child, signal.SIGKILL)
                os.kill(child, signal.SIGKILL)
                ended, status = os.waitpid(child, 0)
            elif not ended:
                time.sleep(_POLL_S)
        output.seek(0)
        said = output.read(2**20).decode(errors="replace")[-4000:]
    return Ended(os.waitstatus_to_exitcode(status), taken, said)


def _become(folder: Path, words: tuple[str, ...], output: int, memory: int | None) -> None:
    """Be the command, in a fork."""
    code = 99
    try:
        os.setsid()
        os.chdir(folder)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if memory is not None:
            held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
        sys.argv = ["racer", *words]
        cli.main()
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
