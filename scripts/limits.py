"""Say what limits a simulated step: the share of each part, beside what this machine can do, as one JSON object.

    OMP_NUM_THREADS=1 SDL_VIDEODRIVER=dummy PYTHONPATH=. python scripts/limits.py

Sixteen drives in lockstep on one thread, recorded, car-racing under `pico`. Every part is timed on its own: what it
calls that is a part itself is left out of it. Times are of the processor, so that other work on the machine counts for
little, but for the wait for the disk. What a million steps would take is extrapolated from this run.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from compression.channel import ReceiverEnd, SenderEnd
from compression.model.latent_model import LatentModel, use_one_thread
from racer.drivers.families.pursuit import Pursuit
from racer.loop.lockstep import GROUP, LANES
from racer.tasks.car_racing import raster
from racer.tasks.car_racing.track import Track
from racer.tasks.latent_model import load_task_model
from scripts.bench import STEPS, TASK, drive_batch
from sessions import Recorder

PARTS: dict[str, list[tuple[Any, str]]] = {
    "making tracks": [(Track, "__init__")],
    "physics: Box2D": [(import_module("Box2D").b2World, "Step")],
    "physics: wheels and rules in Python": [(Track, "step")],
    "pixels: the rasteriser": [(raster, "draw_scene")],
    "pixels: what is on the screen, in numpy": [(Track, "frame")],
    "networks": [(LatentModel, "encode_frames"), (LatentModel, "decode_latents")],
    "packets": [(SenderEnd, "advance_latent"), (ReceiverEnd, "take")],
    "the driver's eyes and hand": [(Pursuit, "act")],
    "recording: rows and HDF5": [(Recorder, name) for name in ("__init__", "append", "begin_episode", "end_episode")]
    + [(Recorder, "close")],
    "waiting for the disk": [(os, "fsync")],
}
WAITING = "waiting for the disk"


_fsync = os.fsync


class Stopwatch:
    """Adds up the processor's time in functions, without that in others of them."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._within: list[float] = []

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed under a name."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._within.append(0.0)
            clock = time.perf_counter if function is _fsync else time.thread_time
            begun, busy = clock(), time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                elapsed, busy = clock() - begun, time.thread_time() - busy
                self.seconds[name] += elapsed - self._within.pop()
                if self._within:
                    self._within[-1] += busy

        return timed


def watch(stopwatch: Stopwatch) -> None:
    """Time every part."""
    for name, functions in PARTS.items():
        for owner, attribute in functions:
            setattr(owner, attribute, stopwatch.around(name, getattr(owner, attribute)))


def flops_of_a_frame(model: LatentModel) -> float:
    """Return the floating-point operations that encoding and decoding a frame take."""
    with FlopCounterMode(display=False) as counter:
        model.decode_latents(model.encode_frames(np.zeros((GROUP, *model.sizes.frame), np.uint8)))
    return float(counter.get_total_flops()) / GROUP


def peak_flops(size: int = 1024, turns: int = 15) -> float:
    """Return the floating-point operations per second that a core reaches in a matrix product."""
    one, other = torch.rand(size, size), torch.rand(size, size)
    best = math.inf
    for _ in range(turns):
        begun = time.thread_time()
        torch.mm(one, other)
        best = min(best, time.thread_time() - begun)
    return float(2 * size**3 / best)


def processor_ms(folder: Path) -> float:
    """Drive a batch, recorded in a new folder, and return the processor's milliseconds per step."""
    begun = time.thread_time()
    drive_batch(0, "pico", folder)
    return 1000 * (time.thread_time() - begun) / (LANES * STEPS)


def main() -> None:
    """Drive two batches, the first to warm up, and print what the second took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    use_one_thread()
    model = load_task_model(TASK.spec)
    work, peak = flops_of_a_frame(model), peak_flops()
    with TemporaryDirectory() as folder:
        bare = processor_ms(Path(folder) / "bare")
        stopwatch = Stopwatch()
        watch(stopwatch)
        whole = processor_ms(Path(folder) / "watched")
        size = sum(path.stat().st_size for path in (Path(folder) / "bare").iterdir())
        steps = LANES * STEPS
    parts = {name: 1000 * stopwatch.seconds[name] / steps for name in PARTS}
    waited = parts.pop(WAITING)
    parts["the loop itself, and everything else"] = whole - sum(parts.values())
    reached = work / (parts["networks"] / 1000)
    print(
        json.dumps(
            {
                "ms_per_step": round(bare, 3),
                "ms_per_step_watched": round(whole, 3),
                "ms_waiting_for_the_disk": round(waited, 3),
                "ms": {name: round(value, 3) for name, value in parts.items()},
                "share": {name: round(value / whole, 3) for name, value in parts.items()},
                "networks": {
                    "mflop_per_frame": round(work / 1e6, 1),
                    "gflops_reached": round(reached / 1e9, 1),
                    "gflops_of_a_matrix_product": round(peak / 1e9, 1),
                    "share_of_that": round(reached / peak, 2),
                },
                "a_million_steps_extrapolated_from_this_run": {
                    "steps_measured": steps,
                    "hours_of_one_core": round(bare * 1e6 / 3.6e6, 2),
                    "gigabytes_on_disk": round(size / steps * 1e6 / 1e9, 2),
                    "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                },
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
