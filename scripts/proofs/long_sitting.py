"""Record a sitting of ten hours at 50 steps a second, as fast as the disk takes it: memory, commits, size of the file.

python scripts/proofs/long_sitting.py --hours 10

The rows are those of a real step, repeated; nothing is driven. The clock is simulated, so that commits come twice in
each second of the sitting. An episode lasts 100 seconds, and between two of them somebody answers a questionnaire.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import sessions
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from sessions.schema import Step
from sessions.verify import verify

RATE_HZ = 50
EPISODE_STEPS = 5_000
YOUNG_EVERY = 6
"""After so many episodes one goes into a new recording as well, whose commits are those of the first minutes."""
COMMIT_STEPS = RATE_HZ // 2
"""A commit comes once in so many steps: the slowest calls of an episode."""


def rows(folder: Path) -> tuple[sessions.SessionInfo, sessions.EpisodeInfo, list[Step]]:
    """Drive one short episode and return what it recorded."""
    protocol = ProtocolConfig("pilot", practice=0, calibration=1, exploration=0, steps=50)
    path = start_session(StartConfig("p01", protocol, driver="simulated", headless=True, data=folder)).path
    assert path is not None
    with sessions.open(path) as session:
        episode = session.episodes[0]
        values = {name: episode[name] for name in episode.columns}
        own = {name for name, column in episode.columns.items() if column.better is None}
        steps = [
            Step(
                **{name: values[name][row] for name in own},
                metrics={name: float(values[name][row]) for name in values.keys() - own},
            )
            for row in range(episode.n_steps)
        ]
        return session.info, episode.info, steps


class Commits:
    """What commits take, milliseconds, for each episode that was recorded."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.processor: list[float] = []
        self.slowest: list[float] = []

    def record(
        self, recorder: sessions.Recorder, episode: sessions.EpisodeInfo, steps: list[Step], now: list[int], count: int
    ) -> None:
        """Record an episode of so many steps, repeated, and an answer; `now` is the clock, nanoseconds."""
        now[0] = episode.started_ns
        recorder.begin_episode(episode)
        times, own = [], []
        for number in range(count):
            now[0] += 10**9 // RATE_HZ
            before, before_own = time.perf_counter(), time.thread_time()
            recorder.append(replace(steps[number % len(steps)], time_ns=now[0], response_ns=now[0]))
            times.append(time.perf_counter() - before)
            own.append(time.thread_time() - before_own)
        recorder.end_episode("complete")
        recorder.answer("driving/road", "4", now[0])
        self.wall.append(_commit_ms(times))
        self.processor.append(_commit_ms(own))
        self.slowest.append(1000 * max(times))


def main() -> None:
    """Record, and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=10.0)
    arguments = parser.parse_args()
    total = round(arguments.hours * 3600 * RATE_HZ)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        info, episode, steps = rows(Path(place) / "rows")
        now = [episode.started_ns]
        memory, sizes = [], []
        old, young = Commits(), Commits()
        info = replace(info, session_id="0000aa", resumes="")
        with sessions.Recorder(Path(place) / "long", info, clock=partial(_read, now)) as recorder:
            began = time.monotonic()
            for number, first in enumerate(range(0, total, EPISODE_STEPS)):
                old.record(
                    recorder, replace(episode, started_ns=now[0] + 10**9), steps, now, min(EPISODE_STEPS, total - first)
                )
                memory.append(_resident_mb())
                sizes.append(recorder.path.stat().st_size)
                if number % YOUNG_EVERY == 0:  # what else the machine does meets both
                    then = [now[0]]
                    beside = replace(info, session_id=f"{number:06x}")
                    with sessions.Recorder(Path(place) / "young", beside, clock=partial(_read, then)) as other:
                        young.record(other, replace(episode, started_ns=then[0] + 10**9), steps, then, EPISODE_STEPS)
            seconds = time.monotonic() - began
            before = time.monotonic()
        closing = time.monotonic() - before
        before = time.monotonic()
        failed = [found.detail for found in verify(recorder.final_path) if found.outcome == "fail"]
        summary = {
            "hours": arguments.hours,
            "steps": total,
            "episodes": len(sizes),
            "file_mb": round(recorder.final_path.stat().st_size / 1e6, 1),
            "resident_mb": {f"{part}/10": memory[(len(memory) - 1) * part // 10] for part in (0, 1, 2, 4, 6, 8, 10)},
            "commit_ms": _tenths(old.wall),
            "commit_processor_ms": _tenths(old.processor),
            "slowest_commit_ms": _tenths(old.slowest),
            "young_commit_ms": _tenths(young.wall),
            "young_commit_processor_ms": _tenths(young.processor),
            "file_growth_mb": {"first half": round(sizes[len(sizes) // 2] / 1e6, 1), "all": round(sizes[-1] / 1e6, 1)},
            "seconds": round(seconds, 1),
            "closing_seconds": round(closing, 1),
            "verify_seconds": round(time.monotonic() - before, 1),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
            "failed": failed,
        }
    print(json.dumps(summary, indent=2))
    if failed:
        raise SystemExit(1)


def _read(now: list[int]) -> int:
    return now[0]


def _commit_ms(seconds: list[float]) -> float:
    """Return what a commit takes, median over an episode: the slowest calls, one in COMMIT_STEPS."""
    return 1000 * statistics.median(sorted(seconds)[-max(1, len(seconds) // COMMIT_STEPS) :])


def _tenths(values: list[float]) -> dict[str, float]:
    """Return the median over episodes, of the first tenth and of the last."""
    tenth = max(1, len(values) // 10)
    return {
        "first tenth": round(statistics.median(values[:tenth]), 2),
        "last tenth": round(statistics.median(values[-tenth:]), 2),
    }


def _resident_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


if __name__ == "__main__":
    main()
