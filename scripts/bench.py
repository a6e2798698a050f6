"""Measure what a step costs, in one run on one machine, and print one JSON object.

    python scripts/bench.py                     # all parts; the pace part opens a window, or uses Xvfb's
    python scripts/bench.py --part codec

Ratios compare against Gymnasium's step and against Pillow's JPEG and WebP of the same frames, interleaved in the same
loop, so that a noisy machine disturbs both sides alike.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from compression.channel import Channel
from compression.codec import load_codec
from racer.conditions import ChannelConfig, build_channel, load_masks
from racer.participants import SimulatedParticipant
from racer.protocol import ProtocolConfig
from racer.start import StartConfig, start_session
from racer.track import Track, TrackConfig

SEEDS = range(500_000, 500_004)
STEPS = 150


def timed(action: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return the milliseconds that a call takes, and its result."""
    begun = time.perf_counter()
    result = action(*arguments)
    return (time.perf_counter() - begun) * 1000, result


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Return median and 99th percentile."""
    return {
        "median_ms": round(statistics.median(milliseconds), 4),
        "p99_ms": round(float(np.percentile(milliseconds, 99)), 4),
    }


def bench_environment() -> dict[str, Any]:
    """Time Track's step and frame against Gymnasium's, taking turns after 50 steps and after every one.

    After every step each finds the processor's caches full of the other's pixels.
    """
    return {f"turns_of_{turn}": _environment_in_turns(turn) for turn in (50, 1)}


def _environment_in_turns(turn: int) -> dict[str, Any]:
    ours: list[float] = []
    theirs: list[float] = []
    for seed in SEEDS:
        stock = gymnasium.make("CarRacing-v3")
        stock.reset(seed=seed)
        for _ in range(50):
            stock.step(np.zeros(3, np.float32))
        track, driver = Track(TrackConfig(), seed), SimulatedParticipant(seed)
        frame = track.frame()
        for _ in range(STEPS // turn):
            controls = []
            for _ in range(turn):
                action = driver.act(frame)
                stepping, outcome = timed(track.step, action)
                drawing, frame = timed(track.frame)
                ours.append(stepping + drawing)
                controls.append(np.array(outcome.control, np.float32))
            theirs += [timed(stock.step, control)[0] for control in controls]
        track.close()
    return {
        "racer_step_and_frame": summary(ours),
        "gymnasium_step": summary(theirs),
        "times_as_fast_as_gymnasium": round(statistics.median(theirs) / statistics.median(ours), 2),
    }


def bench_codec() -> dict[str, Any]:
    """Time sender and receiver on one thread, and Pillow's codecs on the same frames in the same loop."""
    codec = load_codec()
    mask = load_masks(["pico"], (), codec)["pico"]
    channels = {
        f"{condition}, {fill} fill": build_channel(
            condition,
            ChannelConfig(mask_interval="step", fill=fill),  # type: ignore[arg-type]
            codec,
            np.random.default_rng(0),
            mask if condition == "pico" else None,
        )
        for condition, fill in (
            ("pico", "hold"),
            ("pico", "prior"),
            ("pico", "predict"),
            ("random", "hold"),
            ("full", "hold"),
        )
    }
    times: dict[str, list[float]] = {name: [] for name in channels}
    times |= {"Pillow JPEG": [], "Pillow WebP": []}
    sizes: dict[str, list[int]] = {"Pillow JPEG": [], "Pillow WebP": []}
    environment = []
    for seed in SEEDS:
        track, driver = Track(TrackConfig(), seed), SimulatedParticipant(seed)
        stock = gymnasium.make("CarRacing-v3")
        stock.reset(seed=seed)
        for channel in channels.values():
            channel.reset()
        action = 0
        for _ in range(STEPS):
            frame = track.frame()
            for name, channel in channels.items():
                elapsed, _ = timed(channel.transmit, frame, action)
                times[name].append(elapsed)
            for name, kind in (("Pillow JPEG", "JPEG"), ("Pillow WebP", "WEBP")):
                elapsed, size = timed(_pillow, frame, kind)
                times[name].append(elapsed)
                sizes[name].append(8 * size)
            elapsed, _ = timed(stock.step, np.zeros(3, np.float32))
            environment.append(elapsed)
            action = driver.act(frame)
            track.step(action)
    pico = statistics.median(times["pico, hold fill"])
    return {
        "encode_and_decode": {name: summary(values) for name, values in times.items()},
        "bits": {name: round(statistics.median(values)) for name, values in sizes.items()}
        | {name: channel.bits for name, channel in channels.items() if isinstance(channel, Channel)},
        "pico_over_gymnasium_step": round(pico / statistics.median(environment), 3),
        "pico_over_jpeg": round(pico / statistics.median(times["Pillow JPEG"]), 2),
        "pico_over_webp": round(pico / statistics.median(times["Pillow WebP"]), 2),
    }


def bench_batch() -> dict[str, Any]:
    """Time encoder and decoder on batches of 16, per frame, one thread."""
    codec = load_codec()
    track = Track(TrackConfig(), 500_010)
    frames = np.stack([track.frame() for _ in range(16)])
    elapsed = [timed(lambda: codec.decode_latents(codec.encode_frames(frames)))[0] / 16 for _ in range(100)]
    return {"encode_and_decode_per_frame_in_batches_of_16": summary(elapsed)}


def bench_pace(rate: float, seconds: float) -> dict[str, Any]:
    """Run a simulated participant in a real window at `rate` Hz, recorded, and report how the pace was held."""
    with tempfile.TemporaryDirectory() as folder:
        result = start_session(
            StartConfig(
                participant="bench",
                protocol=ProtocolConfig("pilot", practice=0, calibration=0, exploration=1, steps=round(rate * seconds)),
                driver="simulated",
                data=Path(folder),
                pace=rate,
            )
        )
    assert result.pace is not None
    return {
        "rate_hz": rate,
        "steps": result.pace.steps,
        "median_ms": round(result.pace.median_ms, 3),
        "p99_ms": round(result.pace.p99_ms, 3),
        "overruns": result.pace.overruns,
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _pillow(frame: NDArray[np.uint8], kind: str) -> int:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, kind, quality=1)
    size = buffer.tell()
    np.asarray(Image.open(buffer))
    return size


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["environment", "codec", "batch", "pace", "all"], default="all")
    parser.add_argument("--rate", type=float, default=50.0, help="steps per second of the pace part")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the pace part")
    args = parser.parse_args()
    torch.set_num_threads(1)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "environment": bench_environment,
        "codec": bench_codec,
        "batch": bench_batch,
        "pace": lambda: bench_pace(args.rate, args.seconds),
    }
    chosen = parts if args.part == "all" else {args.part: parts[args.part]}
    report: dict[str, Any] = {"machine": {"platform": platform.platform(), "python": platform.python_version()}}
    report |= {name: part() for name, part in chosen.items()}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
