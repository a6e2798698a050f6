"""Give spoilt recordings, packets, masks, models, tables, ledgers and the like to everything that reads them. Linux.

python scripts/proofs/fuzz_inputs.py

Every input must be read or refused with an error of this project's own, of one line: anything else that is raised, a
crash, more than 10 seconds, more than 1 GB of memory, or a file elsewhere that is touched, is a finding, and the exit
code is 1. Which input does it follows from its kind and number: `--only recording:17`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_cases import spoil_bytes, spoil_mask, spoil_toml  # type: ignore[import-not-found]
from fuzz_packets import PACKETS_PER_CASE, coder_packets, mask_packets  # type: ignore[import-not-found]
from fuzz_readers import READERS, make_more  # type: ignore[import-not-found]
from fuzz_structure import spoil_structure  # type: ignore[import-not-found]

import sessions
from compression.coders.coder import find_coder
from compression.errors import CompressionError
from compression.fitting.mask_policy import LearnedMask
from compression.model.latent_model import LatentModel, use_one_thread
from racer.errors import RacerError
from racer.report.recordings import read_evaluations
from racer.report.study import analyse
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.study.file import load_study
from racer.study.init import PRESETS, preset_text
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.window.texts import load_texts
from sessions.export.export import export_tables
from sessions.verify import structure_checks, verify

MEMORY_BYTES = 2**30
HANG_S = 10.0
PACKETS_S = 60.0
"""For the 600 packets of an input of `PACKETS`."""
PACKETS = ("packets", "coders", "concepts")
OWN_ERRORS = (RacerError, CompressionError, sessions.RecordingError)

Outcome = str
"""`read`, or `refused`."""


@dataclass
class Inputs:
    """What is spoilt, and where that happens."""

    bases: Path
    """Folder of sound recordings: of a pilot, of evaluations, and of a session that was killed."""
    work: Path
    """Folder of a process's own."""
    canary: Path
    """A file that nobody may open."""
    model: LatentModel = field(default_factory=lambda: load_task_model(make_task().spec))

    def age_canary(self) -> None:
        """Make the canary so old that the next one who reads it, be it in C, leaves a trace."""
        os.utime(self.canary, ns=(0, 1))

    def base(self, rng: random.Random, pattern: str = "*.h5*") -> Path:
        """Return one of the sound recordings."""
        return rng.choice(sorted(self.bases.glob(pattern)))


def recording(inputs: Inputs, rng: random.Random) -> Outcome:
    """Read a recording: all that it holds, its checks, and for some its tables."""
    path = inputs.work / inputs.base(rng).name
    _spoil_recording(inputs, path, rng)
    with sessions.open(path) as session:
        session.events()
        session.answers()
        for episode in session.episodes:
            for name in episode.columns:
                if len(episode[name]) != episode.n_steps:
                    raise AssertionError(f"column {name} has another length")
    verify(path, structure_checks())
    sessions.find_sittings([path])
    if rng.random() < 0.1:
        export_tables([path], inputs.work / "tables", "csv")
    return "read"


def report(inputs: Inputs, rng: random.Random) -> Outcome:
    """Analyse a folder of evaluations of which one is spoilt."""
    paths = sorted(inputs.bases.glob("*_evaluation_*"))
    for path in paths:
        shutil.copy(path, inputs.work)
    _spoil_recording(inputs, inputs.work / rng.choice(paths).name, rng)
    analyse(read_evaluations(inputs.work), inputs.work)
    return "read"


def mask(inputs: Inputs, rng: random.Random) -> Outcome:
    """Load what was fitted for a coder; let a mask choose."""
    path = inputs.work / "spoilt.safetensors"
    name = rng.choice(("pico", "pico", "coarse", "predictive", "pico-rate", "pico-transform", "rl-allocation"))
    sound = inputs.model.fitted_path(name)
    assert sound is not None
    path.write_bytes(spoil_mask(sound.read_bytes(), rng))
    fitted = find_coder(name).read(path, inputs.model)
    if name != "pico":
        return "read"
    loaded = LearnedMask(fitted, inputs.model.sizes)
    if loaded.choose(np.zeros(inputs.model.sizes.latents, np.float32), 4).sum() != 4:
        raise AssertionError("a mask of another number of blocks")
    return "read"


def study(inputs: Inputs, rng: random.Random) -> Outcome:
    """Load a study file, or a sound one whose language file is spoilt."""
    text = preset_text(rng.choice(PRESETS)).replace('"TITLE"', '"Study"')
    text = text.replace('"LANGUAGE"', '"en"')
    path = inputs.work / "study.toml"
    if rng.random() < 0.25:
        path.write_text(text.replace('"en"', '"own.toml"', 1), encoding="utf-8")
        own = (Path(sys.modules[load_texts.__module__].__file__ or "").parent / "languages" / "en.toml").read_text(
            "utf-8"
        )
        (inputs.work / "own.toml").write_bytes(spoil_toml(own, rng))
    else:
        path.write_bytes(spoil_toml(text, rng))
    load_study(path)
    return "read"


def _read(reader: Callable[[Path, Path, random.Random], Outcome], inputs: Inputs, rng: random.Random) -> Outcome:
    return reader(inputs.bases, inputs.work, rng)


KINDS: dict[str, tuple[Callable[[Inputs, random.Random], Outcome], int]] = {
    "recording": (recording, 3000),
    "report": (report, 200),
    "packets": (lambda inputs, rng: mask_packets(inputs.model, rng), 170),
    "coders": (lambda inputs, rng: coder_packets(inputs.model, rng), 170),
    "concepts": (lambda inputs, rng: coder_packets(inputs.model, rng, ("rl-asc",)), 170),
    "mask": (mask, 2000),
    "study": (study, 3000),
    **{name: (partial(_read, reader), count) for name, (reader, count) in READERS.items()},
}
"""What is fuzzed, and how many inputs in a whole run; one of `packets`, `coders` and `concepts` is 600 packets."""


def _spoil_recording(inputs: Inputs, path: Path, rng: random.Random) -> None:
    base = inputs.base(rng, path.name)
    shutil.copy(base, path)
    if rng.random() < 0.5 and not path.name.endswith(".partial"):
        spoil_structure(path, inputs.canary, rng)
        inputs.age_canary()  # which HDF5 may have opened to change the file
    if rng.random() < 0.5 or path.name.endswith(".partial"):
        path.write_bytes(spoil_bytes(path.read_bytes(), inputs.base(rng).read_bytes(), rng))


def make_bases(folder: Path) -> None:
    """Record what is spoilt later: two evaluations, a pilot, and a pilot as a kill leaves it."""
    for name, protocol in (("p01", "evaluation"), ("p02", "evaluation"), ("pilot01", "pilot")):
        start_session(
            StartConfig(
                participant=name,
                protocol=ProtocolConfig(protocol, practice=1, calibration=1, exploration=1, evaluation=1, steps=12),  # type: ignore[arg-type]
                driver="simulated",
                data=folder,
                headless=True,
            )
        )
    (pilot,) = folder.glob("pilot01_*.h5")
    with sessions.open(pilot) as session:
        info = session.info
        episode = session.episodes[1]
        recorder = sessions.Recorder(folder / "killed", info)
        recorder.begin_episode(episode.info)
        recorder.event("key_down", "left", 0, 0, 0)
        recorder.answer("note", "fünf", 0)
        recorder.retry()
        recorder.abandon()
    recorder.path.rename(folder / recorder.path.name)
    recorder.path.parent.rmdir()
    for path in {*folder.glob(".*"), *folder.glob("*.lock"), *folder.glob("*.json*")}:
        path.unlink() if path.is_file() else shutil.rmtree(path)


def work(kind: str, numbers: list[int], bases: Path, results: Connection) -> None:
    """Give spoilt inputs to what reads them, in a process of its own, and send what came of each."""
    use_one_thread()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        inputs = Inputs(bases, root / "work", root / "canary.h5")
        shutil.copy(sorted(bases.glob("*.h5"))[0], inputs.canary)
        inputs.age_canary()
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        written: list[str] = []
        sys.addaudithook(lambda event, arguments: _note_writing(event, arguments, root, written))
        for number in numbers:
            results.send(("begin", number, ""))
            inputs.work.mkdir()
            begun = time.monotonic()
            problem = ""
            try:
                outcome = KINDS[kind][0](inputs, random.Random(f"{kind}/{number}"))
            except OWN_ERRORS as error:
                outcome = "refused"
                if len(str(error).splitlines()) != 1:
                    problem = f"more than one line: {str(error)[:200]!r}"
            except BaseException:
                outcome, problem = "failed", traceback.format_exc(limit=-4)
            if inputs.canary.stat().st_atime_ns or sorted(root.iterdir()) != [inputs.canary, inputs.work] or written:
                problem += f"touched files outside: {written}"
                inputs.age_canary()
                written.clear()
            shutil.rmtree(inputs.work)
            results.send((outcome, round(1000 * (time.monotonic() - begun)), problem))
    results.send(("end", 0, ""))


def _note_writing(event: str, arguments: tuple[Any, ...], root: Path, written: list[str]) -> None:
    if event == "open" and isinstance(arguments[0], str):
        path, flags = arguments[0], arguments[2] if isinstance(arguments[2], int) else 0
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not Path(path).absolute().is_relative_to(root):
            written.append(path)


@dataclass
class Worker:
    """A process that works on some inputs of a kind, and what has come of them."""

    kind: str
    numbers: list[int]
    bases: Path
    outcomes: Counter[str] = field(default_factory=Counter)
    longest_ms: int = 0
    findings: list[str] = field(default_factory=list)
    current: int = -1
    seen: float = 0.0
    process: BaseProcess | None = None
    results: Connection | None = None

    def start(self) -> None:
        """Work on what is left."""
        context = get_context("fork")
        self.results, sending = context.Pipe(duplex=False)
        self.process = context.Process(target=work, args=(self.kind, self.numbers, self.bases, sending))
        self.process.start()
        sending.close()
        self.seen = time.monotonic()

    def step(self) -> bool:
        """Take the next message, or notice that the process hangs or has died; return whether any work is left."""
        assert self.results is not None and self.process is not None
        if not self.results.poll():
            patience = PACKETS_S if self.kind in PACKETS else HANG_S
            if time.monotonic() - self.seen > patience:
                self._lost(f"takes more than {patience:.0f} s")
            return bool(self.numbers)
        try:
            outcome, value, problem = self.results.recv()
        except EOFError:
            self.process.join()
            self._lost(f"ended the process with {self.process.exitcode}")
            return bool(self.numbers)
        self.seen = time.monotonic()
        if outcome == "begin":
            self.current = value
        elif outcome == "end":
            self.process.join()
        else:
            self.numbers.remove(self.current)
            self.outcomes[outcome] += 1
            self.longest_ms = max(self.longest_ms, value)
            if problem:
                self.findings.append(f"{self.kind}:{self.current} {problem}")
        return bool(self.numbers)

    def _lost(self, reason: str) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.join()
        self.findings.append(f"{self.kind}:{self.current} {reason}")
        self.outcomes["failed"] += 1
        if self.current in self.numbers:
            self.numbers.remove(self.current)
        if self.numbers:
            self.start()


def fuzz(cases: dict[str, list[int]], jobs: int, bases: Path) -> Iterator[Worker]:
    """Yield a worker for each kind, done."""
    waiting = [Worker(kind, numbers, bases) for kind, numbers in cases.items() if numbers]
    running: list[Worker] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(waiting.pop(0))
            running[-1].start()
        wait([worker.results for worker in running if worker.results], timeout=1.0)
        for worker in list(running):
            if not worker.step():
                running.remove(worker)
                if worker.process:
                    worker.process.join()
                yield worker


def main() -> None:
    """Fuzz, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of a whole run, above 0")
    parser.add_argument("--only", help="one kind, such as recording, or one input, such as recording:17")
    parser.add_argument("--jobs", type=int, default=2, help="kinds at a time")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, help="also write the JSON to a file")
    arguments = parser.parse_args()
    cases = {kind: list(range(max(1, round(count * arguments.share)))) for kind, (_, count) in KINDS.items()}
    if arguments.only:
        kind, _, number = arguments.only.partition(":")
        cases = {kind: [int(number)] if number else cases[kind]}
    use_one_thread()
    load_task_model(make_task().spec)
    with tempfile.TemporaryDirectory() as folder:
        make_bases(Path(folder))
        make_more(Path(folder))
        workers = list(fuzz(cases, arguments.jobs, Path(folder)))
    summary: dict[str, Any] = {
        "inputs": {
            worker.kind: {**worker.outcomes, "longest_ms": worker.longest_ms}
            | ({"packets": PACKETS_PER_CASE * sum(worker.outcomes.values())} if worker.kind in PACKETS else {})
            for worker in workers
        },
        "findings": [finding for worker in workers for finding in worker.findings],
        "machine": {"platform": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
    }
    text = json.dumps(summary, indent=2)
    if arguments.out:
        arguments.out.write_text(f"{text}\n", encoding="utf-8")
    if arguments.json:
        print(text)
    else:
        for kind, numbers in summary["inputs"].items():
            print(f"{kind:12}{json.dumps(numbers)}")
        print(*summary["findings"] or ["nothing found"], sep="\n")
    if summary["findings"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
