"""Say what a million simulated steps take: time, memory, bytes on disk, and how each grows, as one JSON object.

    OMP_NUM_THREADS=1 SDL_VIDEODRIVER=dummy PYTHONPATH=. python scripts/million_steps.py --jobs 2
    OMP_NUM_THREADS=1 SDL_VIDEODRIVER=dummy PYTHONPATH=. python scripts/million_steps.py --steps 24000

Sixteen drives of car-racing in lockstep under `pico`, each recorded in a file of its own, again and again on other
tracks, spread over processes as the cells of `racer rates` are. A line for every tenth goes to the standard error as it
is reached. Recordings are removed at the end unless `--keep` names a new folder for them.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sessions
from compression.model.latent_model import use_one_thread
from racer.engines import LocalEngine
from racer.loop.lockstep import LANES
from scripts.bench import STEPS, drive_steps

PARTS = 10


@dataclass(frozen=True)
class Batch:
    """What sixteen drives took."""

    steps: int
    size: int
    """Bytes of the recordings."""
    processor: float
    """Seconds, in the process that drove."""
    memory: float
    """The most that this process has held so far, MB."""


def drive(folder: Path, numbers: Iterable[int]) -> Iterator[Batch]:
    """Drive batches and say what each took."""
    use_one_thread()
    for number in numbers:
        begun, recordings = time.process_time(), folder / f"{number:06d}"
        steps, _ = drive_steps(number, "pico", recordings)
        size = sum(path.stat().st_size for path in recordings.iterdir())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield Batch(steps, size, time.process_time() - begun, memory)


def measure(folder: Path, wanted: int, jobs: int) -> dict[str, Any]:
    """Drive about so many steps and return what they took, tenth by tenth."""
    batches = -(-wanted // (LANES * STEPS))
    parts: list[dict[str, float]] = []
    steps = size = 0
    processor = memory = 0.0
    begun, since, before = time.perf_counter(), time.perf_counter(), 0
    engine = LocalEngine(jobs)
    for done, batch in enumerate(engine.spread(partial(drive, folder), range(batches), 1, "a batch"), start=1):
        steps, size, processor = steps + batch.steps, size + batch.size, processor + batch.processor
        memory = max(memory, batch.memory)
        if done * PARTS // batches > len(parts):
            now = time.perf_counter()
            part = {"steps": steps, "ms_per_step": round((now - since) * 1000 / (steps - before), 3)}
            parts.append(part | {"most_mb_in_a_process": round(memory), "megabytes_on_disk": round(size / 1e6, 1)})
            print(json.dumps(parts[-1]), file=sys.stderr, flush=True)
            since, before = now, steps
    elapsed = time.perf_counter() - begun
    begun = time.perf_counter()
    found = sum(len(sessions.find_recordings(each)) for each in folder.iterdir())
    first, last = parts[0], parts[-1]
    return {
        "steps": steps,
        "jobs": jobs,
        "recordings": found,
        "hours": round(elapsed / 3600, 3),
        "ms_per_step": round(elapsed * 1000 / steps, 3),
        "ms_of_a_processor_per_step": round(processor * 1000 / steps, 3),
        "gigabytes_on_disk": round(size / 1e9, 3),
        "bytes_per_step": round(size / steps, 1),
        "most_mb_in_a_process": round(memory),
        "seconds_to_list_recordings": round(time.perf_counter() - begun, 3),
        "last_part_over_first": {
            "ms_per_step": round(last["ms_per_step"] / first["ms_per_step"], 3),
            "most_mb_in_a_process": round(last["most_mb_in_a_process"] / first["most_mb_in_a_process"], 3),
        },
        "parts": parts,
    }


def main() -> None:
    """Drive, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="new folder for the recordings")
    args = parser.parse_args()
    if args.steps < 1:
        parser.error(f"--steps must be 1 or more; got {args.steps}")
    with ExitStack() as stack:
        folder = args.keep or Path(stack.enter_context(TemporaryDirectory()))
        if args.keep:
            folder.mkdir()
        print(json.dumps(measure(folder, args.steps, args.jobs), indent=2))


if __name__ == "__main__":
    main()
