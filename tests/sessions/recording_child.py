"""A process that records for as long as it can: `recording_child.py FOLDER [FILE_SIZE_LIMIT]`.

Episode i holds `random_steps(40, seed=i)`, flushed every 10 steps, and an event after every step; each flush is
reported as a line with the number of steps recorded by then. A recording that cannot go on is reported as the command
line does it: one line, exit code 2.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from session_builders import EPISODE, SESSION, Clock, random_steps

from sessions import Recorder, RecordingError

STEPS = 40


def record(folder: Path, **options: Any) -> None:
    """Record without end."""
    clock = Clock()
    total = 0
    with Recorder(folder, SESSION, clock=clock, **options) as recorder:
        for index in range(10_000):
            recorder.begin_episode(EPISODE)
            for step in random_steps(STEPS, seed=index):
                clock.now_ns += 100_000_000
                recorder.append(step)
                recorder.event("step", str(total), clock.now_ns, index, total)
                total += 1
                if total % 10 == 0:
                    print(total, flush=True)
            recorder.end_episode("complete")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    try:
        record(Path(sys.argv[1]))
    except RecordingError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
