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
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import sessions
from compression.channel import Channel
from compression.model.latent_model import Codec, load_codec, use_one_thread
from racer.drivers.families.pursuit import SimulatedParticipant
from racer.loop.batched import LANES, Clock, Job, decode_in_groups, encode_in_groups, simulate
from racer.loop.conditions import ChannelConfig, build_channel, load_masks
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, resolved, start_session
from racer.software import software
from racer.tasks.car_racing.track import Track, TrackConfig
from sessions import Recorder, SessionInfo, new_session_id

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


def bench_loop(turns: int, processes: int) -> dict[str, Any]:
    """Time the whole simulated loop, recording included, against Gymnasium's bare steps, in alternating turns.

    The loop's time holds everything from making the tracks to closing the files; Gymnasium's holds its steps only, on
    tracks of the loop's and with the controls that were recorded there. How long making the tracks takes is measured
    too, and the ratio given with and without it. The loop is also run without recording, and without recording and
    codec, to tell where its time goes; and by several processes at once and by one.
    """
    codec = load_codec()
    times: dict[str, list[float]] = {
        name: [] for name in ("tracks", "all", "unrecorded", "raw", "stock", "shared", "alone")
    }
    channel = []
    with ProcessPoolExecutor(processes, get_context("spawn"), use_one_thread) as pool, TemporaryDirectory() as folder:
        list(pool.map(_drive_batch, range(processes)))  # every process has its weights loaded
        for turn in range(turns):
            recordings = Path(folder) / str(turn)
            times["tracks"].append(_make_tracks(turn))
            times["all"].append(_drive_batch(turn, "pico", recordings))
            times["unrecorded"].append(_drive_batch(turn, "pico"))
            times["raw"].append(_drive_batch(turn, "raw"))
            times["stock"].append(_stock_steps(recordings))
            # The same batch everywhere, so that all end at the same time.
            times["alone"].append(_drive_batch(turn, "pico", Path(folder) / f"{turn} alone"))
            beside = [pool.submit(_drive_batch, turn, "pico", Path(folder) / f"{turn}_{n}") for n in range(processes)]
            times["shared"].append(statistics.mean(batch.result() for batch in beside) / processes)
            channel.append(_channel_batch(codec, turn))
    return {
        "loop_ms_per_step": _median(times["all"]),
        "of_which": {
            "making_tracks": _median(times["tracks"]),
            "environment_and_driver": _median(r - t for r, t in zip(times["raw"], times["tracks"], strict=True)),
            "sender_and_receiver": _median(u - r for u, r in zip(times["unrecorded"], times["raw"], strict=True)),
            "record": _median(a - u for a, u in zip(times["all"], times["unrecorded"], strict=True)),
        },
        "gymnasium_ms_per_step": _median(times["stock"]),
        "times_as_fast_as_gymnasium": _ratio(times["stock"], times["all"]),
        "times_as_fast_without_making_tracks": _ratio(
            times["stock"], [a - t for a, t in zip(times["all"], times["tracks"], strict=True)]
        ),
        "processes": processes,
        "times_as_fast_in_processes": _ratio(times["alone"], times["shared"]),
        "sender_and_receiver_per_frame_in_batches_of_16": summary(channel),
    }


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 3)


def _ratio(slow: list[float], fast: list[float]) -> float:
    return round(statistics.median(s / f for s, f in zip(slow, fast, strict=True)), 2)


def _drive_batch(turn: int, condition: str = "pico", recordings: Path | None = None) -> float:
    """Drive, and record if there is a folder to do it in, and return the milliseconds per step, wall time."""
    codec = load_codec()
    models = load_masks([condition], (), codec)
    seeds = range(SEEDS.start + turn * LANES, SEEDS.start + (turn + 1) * LANES)
    jobs = [Job(condition, ChannelConfig(), TrackConfig(), seed, seed, STEPS, seed) for seed in seeds]
    info = _session_info(codec, models[condition].sha256 if models else "")

    def record(job: Job, clock: Clock) -> Recorder:
        assert recordings is not None
        return Recorder(recordings, replace(info, session_id=new_session_id()), clock=clock)

    if recordings is not None:
        recordings.mkdir()
    begun = time.perf_counter()
    steps = sum(score.steps for score in simulate(jobs, codec, models, record=record if recordings else None))
    return (time.perf_counter() - begun) * 1000 / steps


def _make_tracks(turn: int) -> float:
    """Make the tracks of a batch and return the milliseconds for each step that will be driven on them."""
    begun = time.perf_counter()
    for seed in range(SEEDS.start + turn * LANES, SEEDS.start + (turn + 1) * LANES):
        Track(TrackConfig(), seed).close()
    return (time.perf_counter() - begun) * 1000 / (LANES * STEPS)


def _stock_steps(recordings: Path, episodes: int = 4) -> float:
    """Step Gymnasium's environment through recorded drives and return the milliseconds per step."""
    stock = gymnasium.make("CarRacing-v3", max_episode_steps=100_000)
    elapsed = 0.0
    controls: list[NDArray[np.float32]] = []
    for path in sessions.find_recordings(recordings)[:episodes]:
        with sessions.open(path) as session:
            episode = session.episodes[0]
            controls.append(episode.control)
            stock.reset(seed=episode.info.track_seed)
        for _ in range(50):
            stock.step(np.zeros(3, np.float32))
        begun = time.perf_counter()
        for control in controls[-1]:
            stock.step(control)
        elapsed += time.perf_counter() - begun
    stock.close()
    return elapsed * 1000 / sum(map(len, controls))


def _session_info(codec: Codec, mask_sha256: str) -> SessionInfo:
    return SessionInfo(
        session_id=new_session_id(),
        participant="bench",
        protocol="evaluation",
        study="",
        pilot=True,
        config=resolved(StartConfig("bench", driver="simulated", headless=True), 0),
        created_utc="2000-01-01T00:00:00Z",
        software=software(),
        codec_sha256=codec.sha256,
        mask_sha256=mask_sha256,
        driver="simulated",
    )


def _channel_batch(codec: Codec, turn: int) -> float:
    """Send 16 latents of as many frames through as many channels of 85 bits; return the milliseconds per frame."""
    mask = load_masks(["pico"], (), codec)["pico"]
    channels = [
        build_channel("pico", ChannelConfig(), codec, np.random.default_rng(number), mask) for number in range(LANES)
    ]
    frames = codec.decode_latents(np.random.default_rng(turn).standard_normal((LANES, 32)).astype(np.float32))
    times = []
    for _ in range(50):
        begun = time.perf_counter()
        received = [
            channel.carry(latent, 0).received  # type: ignore[union-attr]
            for channel, latent in zip(channels, encode_in_groups(codec, list(frames)), strict=True)
        ]
        decode_in_groups(codec, received)
        times.append((time.perf_counter() - begun) * 1000 / LANES)
    return statistics.median(times)


def bench_pace(rate: float, seconds: float) -> dict[str, Any]:
    """Run a simulated participant in a real window at `rate` Hz, recorded, and report how the pace was held."""
    with TemporaryDirectory() as folder:
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
    parser.add_argument("--part", choices=["environment", "codec", "batch", "loop", "pace", "all"], default="all")
    parser.add_argument("--rate", type=float, default=50.0, help="steps per second of the pace part")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the pace part")
    parser.add_argument("--turns", type=int, default=4, help="turns of the loop part")
    parser.add_argument("--processes", type=int, default=2, help="processes of the loop part")
    args = parser.parse_args()
    use_one_thread()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "environment": bench_environment,
        "codec": bench_codec,
        "batch": bench_batch,
        "loop": lambda: bench_loop(args.turns, args.processes),
        "pace": lambda: bench_pace(args.rate, args.seconds),
    }
    chosen = parts if args.part == "all" else {args.part: parts[args.part]}
    report: dict[str, Any] = {"machine": {"platform": platform.platform(), "python": platform.python_version()}}
    report |= {name: part() for name, part in chosen.items()}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
