"""Kill recording sessions (SIGKILL) at random moments, and say what each left behind. Linux and macOS.

python scripts/proofs/prove_reliability.py --kills 200

Each session is a whole one, as `racer session start --headless` runs it, in a process of its own, with a driver that
takes its time: 50 steps a second. Most are killed at any moment between their begin and their end, some within the
moments after an episode's last step or after the last step of all, while the file is closed and gets its name. What
is left must open, verify, repair, and lack less than a second of what was driven; else the exit code is 1.

A session that comes to its end before its moment does not count as a kill; another is begun in its place.

`--mode free` does without the beat, `--mode window` drives in a window (SDL's, that nobody sees), and `--mode start-up`
kills before the first step: half of them at any moment, half as soon as there is a file.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import select
import signal
import statistics
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sessions
from compression.model.latent_model import use_one_thread
from racer.drivers.registry import make_driver
from racer.recordings.verification import verify_recording
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from sessions.maintenance.repair import repair

RATE_HZ = 50
EPISODES = 4
AT_ONCE = 2
MOST_SESSIONS = 3
"""For each kill: some end before their moment has come."""
LONGEST_LOSS_MS = 1000.0
MODES = ("paced", "free", "window", "start-up")
PIPE = "RACER_RELIABILITY_PIPE"
"""Environment variable: the descriptor that the driver reports to."""
MODE = "RACER_RELIABILITY_MODE"
_REPORT = struct.Struct("<q")
MADE = "its file is made"
_LOOK_NS = 1_000_000
"""Nanoseconds until it is looked again whether a file has been made."""
_CLOSE_TO = 0.04
"""Seconds after an episode's last step within which it is put on the device."""


class PacedDriver:
    """A simulated participant who decides 50 times a second, and reports when.

    Args:
        seed: Of the participant.
    """

    def __init__(self, seed: int) -> None:
        self._driver = make_driver("simulated", make_task(), seed)
        self._pipe = int(os.environ[PIPE])
        self._due = time.monotonic()

    def reset(self) -> None:
        """Begin a new episode."""
        self._driver.reset()
        self._due = time.monotonic()

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Wait for the beat, report the time in monotonic nanoseconds, and decide."""
        if os.environ[MODE] != "free":
            time.sleep(max(0.0, self._due - time.monotonic()))
        self._due = max(self._due, time.monotonic() - 1 / RATE_HZ) + 1 / RATE_HZ
        os.write(self._pipe, _REPORT.pack(time.monotonic_ns()))
        return self._driver.act(frame)


@dataclass
class Victim:
    """A session that runs in a process of its own."""

    folder: Path
    steps: int
    """Per episode."""
    mode: str
    moment: str
    after_s: float
    """When to kill it: seconds after its begin, or after the step that `moment` names."""
    step: int = 0
    """Steps to wait for first."""
    pid: int = 0
    pipe: int = 0
    reports: list[int] = field(default_factory=list)
    """Monotonic nanoseconds at which each step was decided."""
    begun_ns: int = 0
    kill_ns: int | None = None
    killed_ns: int = 0
    """When it was killed or, if that came first, ended."""
    killed: bool = False
    """Whether it was killed before its end."""


@dataclass(frozen=True)
class Outcome:
    """What a killed session left behind."""

    moment: str
    state: str
    """How far its file had come: `no folder`, `no file`, `empty file`, `no step`, `partial`, `finished`."""
    killed: bool
    """Whether it was killed before its end."""
    driven: int
    """Steps that were decided."""
    lost: int
    """Steps that are not in the file."""
    lost_ms: float
    """From the first lost step to the kill."""
    problem: str = ""
    """What is wrong with the file; empty for nothing."""


def plan_kills(
    steps: int, mode: str, start_s: float, duration_s: float, root: Path, rng: random.Random
) -> Iterator[Victim]:
    """Yield sessions to kill, at any moment of the start or the whole, and where most happens to the file."""
    for number in itertools.count():
        folder = root / f"{number:04d}"
        if mode == "start-up" and number % 2:
            yield Victim(folder, steps, mode, MADE, rng.uniform(0, _CLOSE_TO))
        elif mode == "start-up":
            yield Victim(folder, steps, mode, "start-up", rng.uniform(0, start_s))
        elif number % 8 == 6:
            step = steps * rng.randint(1, EPISODES - 1)
            yield Victim(folder, steps, mode, "end of an episode", rng.uniform(0, _CLOSE_TO), step)
        elif number % 8 == 7:
            yield Victim(folder, steps, mode, "end of the session", rng.uniform(0, _CLOSE_TO), EPISODES * steps)
        else:
            yield Victim(folder, steps, mode, "any", rng.uniform(0, duration_s))


def begin(victim: Victim) -> None:
    """Start a session in a process of its own, which has all modules loaded already."""
    reading, writing = os.pipe()
    victim.begun_ns = time.monotonic_ns()
    victim.pid, victim.pipe = os.fork(), reading
    if victim.pid:
        os.close(writing)
        return
    code = 1
    try:
        os.close(reading)
        os.environ |= {PIPE: str(writing), MODE: victim.mode, "SDL_VIDEODRIVER": "dummy"}
        start_session(
            StartConfig(
                participant="p01",
                protocol=ProtocolConfig(
                    "pilot", practice=0, calibration=2, exploration=EPISODES - 2, steps=victim.steps
                ),
                driver=f"{Path(__file__).stem}:PacedDriver",
                data=victim.folder,
                headless=victim.mode != "window",
                countdown=0,
                pace=RATE_HZ,
            )
        )
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def kill_in_time(victims: list[Victim]) -> list[Victim]:
    """Read what the sessions report until one or more have been killed, or have ended; return those."""
    done: list[Victim] = []
    while not done:
        now = time.monotonic_ns()
        for victim in victims:
            if victim.kill_ns is None and victim.moment == MADE:
                if next(victim.folder.glob("*.h5*"), None):
                    victim.kill_ns = now + round(victim.after_s * 1e9)
            elif victim.kill_ns is None and not victim.step:
                victim.kill_ns = victim.begun_ns + round(victim.after_s * 1e9)
            elif victim.kill_ns is None and len(victim.reports) >= victim.step:
                victim.kill_ns = now + round(victim.after_s * 1e9)
        due = min(victim.kill_ns or now + (_LOOK_NS if victim.moment == MADE else 10**9) for victim in victims)
        readable, _, _ = select.select([victim.pipe for victim in victims], [], [], max(0.0, (due - now) / 1e9))
        for victim in victims:
            ended = victim.pipe in readable and not _read(victim)
            if ended or (victim.kill_ns is not None and time.monotonic_ns() >= victim.kill_ns):
                victim.killed_ns = time.monotonic_ns()
                os.kill(victim.pid, signal.SIGKILL)
                _, status = os.waitpid(victim.pid, 0)
                victim.killed = os.waitstatus_to_exitcode(status) == -signal.SIGKILL and not ended
                while _read(victim):
                    pass
                os.close(victim.pipe)
                done.append(victim)
    return done


def _read(victim: Victim) -> bool:
    data = os.read(victim.pipe, _REPORT.size * 512)
    victim.reports += [report for (report,) in _REPORT.iter_unpack(data)]
    return bool(data)


def examine(victim: Victim) -> Outcome:
    """Open, verify and repair what a session left, and compare it with what it had reported."""
    driven = len(victim.reports)
    files = sessions.find_recordings(victim.folder) if victim.folder.exists() else []
    if not files or not files[0].stat().st_size:
        state = "empty file" if files else "no file" if victim.folder.exists() else "no folder"
        problem = f"nothing is left of {driven} steps" if driven else ""
        return Outcome(victim.moment, state, victim.killed, driven, driven, 0.0, problem)
    (path,) = files
    state = "finished" if not path.name.endswith(".partial") else "partial" if driven else "no step"
    try:
        with sessions.open(path) as session:
            held = sum(episode.n_steps for episode in session.episodes)
        findings = verify_recording(path).findings
        problems = [f"{found.check}: {found.detail}" for found in findings if found.outcome == "fail"]
        if state != "finished":
            repair(path)
    except sessions.RecordingError as error:
        problem = "" if not driven and "ended before anything was recorded" in str(error) else str(error)
        return Outcome(victim.moment, state, victim.killed, driven, driven, 0.0, problem)
    lost = max(0, driven - held)
    lost_ms = (victim.killed_ns - victim.reports[held]) / 1e6 if lost else 0.0
    if lost_ms >= LONGEST_LOSS_MS:
        problems.append(f"{lost_ms:.0f} ms of steps are lost")
    return Outcome(victim.moment, state, victim.killed, driven, lost, lost_ms, "; ".join(problems))


def prove(kills: int, steps: int, seed: int, root: Path, mode: str) -> list[Outcome]:
    """Kill so many sessions and examine what they left."""
    use_one_thread()
    load_task_model(make_task().spec)
    if (here := str(Path(__file__).parent)) not in sys.path:
        sys.path.insert(0, here)  # where the driver is looked for
    whole = Victim(root / "whole", steps, mode, "never", 3600.0)
    begin(whole)
    kill_in_time([whole])
    if len(whole.reports) != EPISODES * steps:
        raise SystemExit("a session that nobody kills does not reach its end")
    start_s, duration_s = ((ns - whole.begun_ns) / 1e9 for ns in (whole.reports[0], whole.killed_ns))
    planned = plan_kills(steps, mode, start_s, duration_s, root, random.Random(seed))
    running: list[Victim] = []
    dead: list[Victim] = []
    while (killed := sum(victim.killed for victim in dead)) < kills and len(dead) < kills * MOST_SESSIONS:
        while len(running) < min(AT_ONCE, kills - killed):
            running.append(next(planned))
            begin(running[-1])
        for victim in kill_in_time(running):
            running.remove(victim)
            dead.append(victim)
    # Only now: what takes processor time would slow the sessions down.
    return [examine(victim) for victim in dead]


def summarise(outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the numbers, of sessions that came to their end as well."""
    kept = [outcome for outcome in outcomes if outcome.driven]
    losses = [outcome.lost for outcome in kept] or [0]
    milliseconds = [outcome.lost_ms for outcome in kept] or [0.0]
    return {
        "sessions": len(outcomes),
        "kills": sum(outcome.killed for outcome in outcomes),
        "moments": dict(Counter(outcome.moment for outcome in outcomes)),
        "states": dict(Counter(outcome.state for outcome in outcomes if outcome.killed)),
        "before_the_first_step": len(outcomes) - len(kept),
        "in_order": sum(not outcome.problem for outcome in outcomes),
        "problems": [f"{outcome.moment}: {outcome.problem}" for outcome in outcomes if outcome.problem],
        "steps_driven": sum(outcome.driven for outcome in kept),
        "steps_lost": {"median": statistics.median(losses), "max": max(losses)},
        "ms_lost": {"median": round(statistics.median(milliseconds), 1), "max": round(max(milliseconds), 1)},
        "machine": {"platform": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
    }


def main() -> None:
    """Kill, examine, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="before their end")
    parser.add_argument("--mode", choices=MODES, default=MODES[0])
    parser.add_argument("--steps", type=int, default=75, help="per episode")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, help="also write the JSON to a file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        summary = summarise(prove(arguments.kills, arguments.steps, arguments.seed, Path(folder), arguments.mode))
    text = json.dumps(summary, indent=2)
    if arguments.out:
        arguments.out.write_text(f"{text}\n", encoding="utf-8")
    if arguments.json:
        print(text)
    else:
        for name, value in summary.items():
            print(f"{name:24}{json.dumps(value)}")
    if summary["problems"] or summary["kills"] < arguments.kills:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
