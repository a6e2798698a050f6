"""Measure what recording costs: the throughput of steps, and how long a step takes at 50 Hz, with and without it.

python scripts/proofs/measure_recording.py

Drives the same sittings with a recorder and without one in turns, in one process, so that whatever else the machine
does meets both alike. What is given are medians over the pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from compression.model.latent_model import LatentModel, use_one_thread
from racer.drivers.registry import make_driver
from racer.loop.attended import Setup, Unrecorded
from racer.loop.conditions import ChannelConfig
from racer.loop.display import NoDisplay
from racer.loop.pacing import Pacer
from racer.sitting.agenda import Drive
from racer.sitting.protocol import EpisodePlan
from racer.sitting.run import SittingRun, SittingSetup
from racer.tasks.latent_model import load_task_model
from racer.tasks.record import record_of
from racer.tasks.registry import make_task
from racer.window.texts import english
from sessions import Recorder, SessionInfo, Step, new_session_id

TASK = make_task()
RATE_HZ = 50.0
EPISODES = 3
SLOW_NS = 20_000_000


class WaitingDisplay(NoDisplay):
    """Shows nothing and keeps time as a window does; notes how long the loop is busy between two waits."""

    def __init__(self) -> None:
        super().__init__()
        self.busy_ns: list[int] = []
        self._free_ns = time.monotonic_ns()
        self._deciding = False

    def wait(self, until_ns: int) -> int:
        """Sleep until then. A step's work lies between the wait for its decision and that for the next frame."""
        now = time.monotonic_ns()
        self._deciding = not self._deciding
        if not self._deciding:
            self.busy_ns.append(now - self._free_ns)
        time.sleep(max(0, until_ns - now) / 1e9)
        self._free_ns = time.monotonic_ns()
        return 0


class TimedRecorder(Recorder):
    """A recorder that adds up what the step loop spends in it: less noisy than a difference of two sittings."""

    loop_ns = 0

    def append(self, step: Step) -> None:
        """Record a step, and time it."""
        begun = time.monotonic_ns()
        super().append(step)
        self.loop_ns += time.monotonic_ns() - begun


@dataclass(frozen=True)
class Cost:
    """What a sitting took, per step."""

    wall_ns: float
    processor_ns: float
    """Of all threads."""
    append_ns: float
    """Of the wall time, what the step loop spent recording."""
    busy_ns: list[int]
    """Of each step, where it was paced: how long the loop worked between two waits."""


def drive(model: LatentModel, steps: int, seed: int, folder: Path | None, pace: float | None) -> Cost:
    """Drive a sitting of three episodes, recorded if there is a folder; opening and closing the file is part of it."""
    plans = [EpisodePlan(number, "exploration", "random", 500_000 + seed, steps) for number in range(EPISODES)]
    setup = Setup(TASK, ChannelConfig(), model, {}, seed, TASK.spec.text("en"))
    drives = tuple(Drive(plan, "") for plan in plans)
    sitting = SittingSetup(drives, setup, english().texts, np.random.default_rng(seed))
    display = WaitingDisplay() if pace else NoDisplay()
    pacer = Pacer(pace, time.monotonic_ns) if pace else None
    wall, processor = time.monotonic_ns(), time.process_time_ns()
    recorder = TimedRecorder(folder, _info(model), in_background=True) if folder else Unrecorded()
    result = SittingRun(sitting, make_driver("simulated", TASK, seed), display, recorder, pacer).run()
    wall, processor = time.monotonic_ns() - wall, time.process_time_ns() - processor
    # A car that left the field ends its episode early.
    done = sum(episode.steps for episode in result.episodes)
    appending = recorder.loop_ns if isinstance(recorder, TimedRecorder) else 0
    busy = display.busy_ns if isinstance(display, WaitingDisplay) else []
    return Cost(wall / done, processor / done, appending / done, busy)


def measure_throughput(model: LatentModel, folder: Path, pairs: int, steps: int) -> dict[str, Any]:
    """Drive as fast as the machine allows."""
    costs: dict[bool, list[Cost]] = {False: [], True: []}
    for pair in range(pairs):
        # Each goes first in every other pair.
        for recorded in (True, False) if pair % 2 else (False, True):
            costs[recorded].append(drive(model, steps, pair, folder if recorded else None, None))
    pairs_of_costs = list(zip(costs[True], costs[False], strict=True))
    return {
        "steps_per_episode": steps,
        "pairs": pairs,
        "ms_per_step_unrecorded": round(statistics.median(cost.wall_ns for cost in costs[False]) / 1e6, 3),
        "step_loop_spends_recording_percent": round(
            statistics.median(100 * cost.append_ns / cost.wall_ns for cost in costs[True]), 2
        ),
        "wall_percent": _percent([one.wall_ns / other.wall_ns for one, other in pairs_of_costs]),
        "processor_percent": _percent([one.processor_ns / other.processor_ns for one, other in pairs_of_costs]),
    }


def _percent(ratios: list[float]) -> dict[str, float]:
    low, middle, high = (round(100 * (value - 1), 2) for value in statistics.quantiles(ratios))
    return {"median": middle, "lower_quartile": low, "upper_quartile": high}


def measure_pace(model: LatentModel, folder: Path, pairs: int, steps: int) -> dict[str, Any]:
    """Drive at 50 Hz; the work of a step is what must be done before its frame can be shown."""
    p99: dict[bool, list[float]] = {False: [], True: []}
    busy: dict[bool, list[int]] = {False: [], True: []}
    for pair in range(pairs):
        for recorded in (True, False) if pair % 2 else (False, True):
            times = drive(model, steps, pair, folder if recorded else None, RATE_HZ).busy_ns
            p99[recorded].append(float(np.percentile(times, 99)) / 1e6)
            busy[recorded] += times
    return {
        "rate_hz": RATE_HZ,
        "steps_per_episode": steps,
        "pairs": pairs,
        "p99_ms_unrecorded": round(statistics.median(p99[False]), 2),
        "p99_ms_recorded": round(statistics.median(p99[True]), 2),
        "p99_ms_longer": round(
            statistics.median(one - other for one, other in zip(p99[True], p99[False], strict=True)), 2
        ),
        "median_ms_longer": round((statistics.median(busy[True]) - statistics.median(busy[False])) / 1e6, 3),
        "steps_over_20_ms": {
            "unrecorded": sum(value > SLOW_NS for value in busy[False]),
            "recorded": sum(value > SLOW_NS for value in busy[True]),
            "of": len(busy[True]),
        },
    }


def _info(model: LatentModel) -> SessionInfo:
    return SessionInfo(
        session_id=new_session_id(),
        participant="p01",
        protocol="pilot",
        study="",
        trial_run=True,
        config={},
        created_utc=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        software={},
        model_sha256=model.sha256,
        fitted_sha256="",
        driver="simulated",
        task=record_of(TASK, model),
    )


def main() -> None:
    """Measure and print the numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20, help="of sittings, with and without a recording")
    parser.add_argument("--steps", type=int, default=100, help="per episode")
    parser.add_argument("--folder", type=Path, help="on the disk to record to; else the one for temporary files")
    arguments = parser.parse_args()
    use_one_thread()
    model = load_task_model(TASK.spec)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        drive(model, 50, 0, folder, None)
        report = {
            "machine": {"platform": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
            "throughput": measure_throughput(model, folder, arguments.pairs, arguments.steps),
            "pace": measure_pace(model, folder, arguments.pairs, arguments.steps),
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
