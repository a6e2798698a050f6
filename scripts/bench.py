"""Measure what a step costs, in one run on one machine, and print one JSON object.

    python scripts/bench.py                     # all parts; some open a window, for which `xvfb-run` does
    python scripts/bench.py --part codec
    python scripts/bench.py --part loop --against ../racer-0.1.0   # another checkout, in turns with this one

Ratios compare against Gymnasium's step and against Pillow's JPEG and WebP of the same frames, interleaved in the same
loop, so that a noisy machine disturbs both sides alike.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
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
from compression.model.latent_model import LatentModel, use_one_thread
from racer.drivers.registry import make_driver
from racer.loop.batched import Clock, Job, simulate
from racer.loop.conditions import ChannelConfig, build_channel, load_fitted_models
from racer.loop.lockstep import LANES, in_groups
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, resolved, start_session
from racer.software import software
from racer.tasks.latent_model import load_task_model
from racer.tasks.record import record_of
from racer.tasks.registry import make_task
from sessions import Recorder, SessionInfo, new_session_id

TASK = make_task("car-racing")
HERE = Path(__file__).resolve().parents[1]
SEEDS = range(500_000, 500_004)
STEPS = 150
RACER = [sys.executable, "-c", "from racer.cli import main; main()"]


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
    """Time a trial's step and frame against Gymnasium's, taking turns after 50 steps and after every one.

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
        track, driver = TASK.start(seed), make_driver("simulated", TASK, seed)
        driver.reset()
        frame = track.frame()
        for _ in range(STEPS // turn):
            controls = []
            for _ in range(turn):
                action = driver.act(frame)
                stepping, outcome = timed(track.step, action)
                drawing, frame = timed(track.frame)
                ours.append(stepping + drawing)
                controls.append(_control(outcome.metrics))
            theirs += [timed(stock.step, control)[0] for control in controls]
        track.close()
    return {
        "racer_step_and_frame": summary(ours),
        "gymnasium_step": summary(theirs),
        "times_as_fast_as_gymnasium": round(statistics.median(theirs) / statistics.median(ours), 2),
    }


def bench_codec() -> dict[str, Any]:
    """Time sender and receiver on one thread, and Pillow's codecs on the same frames in the same loop."""
    model = load_task_model(TASK.spec)
    mask = load_fitted_models(["pico"], (), model)["pico"]
    channels = {
        f"{condition}, {fill} fill": build_channel(
            condition,
            ChannelConfig(mask_interval="step", fill=fill),  # type: ignore[arg-type]
            model,
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
        track, driver = TASK.start(seed), make_driver("simulated", TASK, seed)
        driver.reset()
        stock = gymnasium.make("CarRacing-v3")
        stock.reset(seed=seed)
        for channel in channels.values():
            channel.reset()
        action = TASK.spec.start_action
        for _ in range(STEPS):
            frame = track.frame()
            for name, channel in channels.items():
                assert isinstance(channel, Channel)
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
    model = load_task_model(TASK.spec)
    frames = np.stack([TASK.start(500_010).frame() for _ in range(16)])
    elapsed = [timed(lambda: model.decode_latents(model.encode_frames(frames)))[0] / 16 for _ in range(100)]
    return {"encode_and_decode_per_frame_in_batches_of_16": summary(elapsed)}


def bench_loop(turns: int, processes: int) -> dict[str, Any]:
    """Time the whole simulated loop, recording included, against Gymnasium's bare steps, in alternating turns.

    The loop's time holds everything from making the tracks to closing the files; Gymnasium's holds its steps only, on
    tracks of the loop's and with the controls that were recorded there. How long making the tracks takes is measured
    too, and the ratio given with and without it. The loop is also run without recording, and without recording and
    codec, to tell where its time goes; and by several processes at once and by one.
    """
    model = load_task_model(TASK.spec)
    times: dict[str, list[float]] = {
        name: [] for name in ("tracks", "all", "unrecorded", "raw", "stock", "shared", "alone")
    }
    channel = []
    with ProcessPoolExecutor(processes, get_context("spawn"), use_one_thread) as pool, TemporaryDirectory() as folder:
        list(pool.map(drive_batch, range(processes)))  # every process has its weights loaded
        for turn in range(turns):
            recordings = Path(folder) / str(turn)
            times["tracks"].append(_make_tracks(turn))
            times["all"].append(drive_batch(turn, "pico", recordings))
            times["unrecorded"].append(drive_batch(turn, "pico"))
            times["raw"].append(drive_batch(turn, "raw"))
            times["stock"].append(_stock_steps(recordings))
            # The same batch everywhere, so that all end at the same time.
            times["alone"].append(drive_batch(turn, "pico", Path(folder) / f"{turn} alone"))
            beside = [pool.submit(drive_batch, turn, "pico", Path(folder) / f"{turn}_{n}") for n in range(processes)]
            times["shared"].append(statistics.mean(batch.result() for batch in beside) / processes)
            channel.append(_channel_batch(model, turn))
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


def drive_batch(turn: int, condition: str = "pico", recordings: Path | None = None) -> float:
    """Drive, and record if there is a folder to do it in, and return the milliseconds per step, wall time."""
    begun = time.perf_counter()
    steps, prepared = drive_steps(turn, condition, recordings)
    return (time.perf_counter() - begun - prepared) * 1000 / steps


def drive_steps(turn: int, condition: str, recordings: Path | None) -> tuple[int, float]:
    """Drive a batch of episodes and return its steps, and the seconds until the first."""
    entered = time.perf_counter()
    model = load_task_model(TASK.spec)
    fitted = load_fitted_models([condition], (), model)
    seeds = range(SEEDS.start + turn * LANES, SEEDS.start + (turn + 1) * LANES)
    jobs = [Job(condition, ChannelConfig(), TASK, seed, "simulated", seed, STEPS, seed) for seed in seeds]
    info = _session_info(model, fitted[condition].sha256 if fitted else "")

    def record(job: Job, clock: Clock) -> Recorder:
        assert recordings is not None
        return Recorder(recordings, replace(info, session_id=new_session_id()), clock=clock)

    if recordings is not None:
        recordings.mkdir()
    prepared = time.perf_counter() - entered
    return sum(score.steps for score in simulate(jobs, model, fitted, record=record if recordings else None)), prepared


def _make_tracks(turn: int) -> float:
    """Make the tracks of a batch and return the milliseconds for each step that will be driven on them."""
    begun = time.perf_counter()
    for seed in range(SEEDS.start + turn * LANES, SEEDS.start + (turn + 1) * LANES):
        TASK.start(seed).close()
    return (time.perf_counter() - begun) * 1000 / (LANES * STEPS)


def _stock_steps(recordings: Path, episodes: int = 4) -> float:
    """Step Gymnasium's environment through recorded drives and return the milliseconds per step."""
    stock = gymnasium.make("CarRacing-v3", max_episode_steps=100_000)
    elapsed = 0.0
    controls: list[NDArray[np.float32]] = []
    for path in sessions.find_recordings(recordings)[:episodes]:
        with sessions.open(path) as session:
            episode = session.episodes[0]
            controls.append(np.stack([episode["steer"], episode["gas"], episode["brake"]], axis=1))
            stock.reset(seed=episode.info.seed)
        for _ in range(50):
            stock.step(np.zeros(3, np.float32))
        begun = time.perf_counter()
        for control in controls[-1]:
            stock.step(control)
        elapsed += time.perf_counter() - begun
    stock.close()
    return elapsed * 1000 / sum(map(len, controls))


def _control(metrics: Mapping[str, float]) -> NDArray[np.float32]:
    return np.array([metrics["steer"], metrics["gas"], metrics["brake"]], np.float32)


def _session_info(model: LatentModel, fitted_sha256: str) -> SessionInfo:
    return SessionInfo(
        session_id=new_session_id(),
        participant="bench",
        protocol="evaluation",
        study="",
        trial_run=True,
        config=resolved(StartConfig("bench", driver="simulated", headless=True), 0),
        created_utc="2000-01-01T00:00:00Z",
        software=software(),
        model_sha256=model.sha256,
        fitted_sha256=fitted_sha256,
        driver="simulated",
        task=record_of(TASK, model),
    )


def _channel_batch(model: LatentModel, turn: int) -> float:
    """Send 16 latents of as many frames through as many channels of 85 bits; return the milliseconds per frame."""
    mask = load_fitted_models(["pico"], (), model)["pico"]
    channels = [
        build_channel("pico", ChannelConfig(), model, np.random.default_rng(number), mask) for number in range(LANES)
    ]
    latents = np.random.default_rng(turn).standard_normal((LANES, model.sizes.latents)).astype(np.float32)
    frames = model.decode_latents(latents)
    times = []
    for _ in range(50):
        for channel in channels:
            channel.reset()
        begun = time.perf_counter()
        received = []
        for channel, latent in zip(channels, in_groups(model.encode_frames, list(frames)), strict=True):
            assert isinstance(channel, Channel)
            downlink = channel.sender.advance_latent(latent, TASK.spec.start_action)
            received.append(channel.receiver.take(channel.transport.carry(downlink)).latent)
        in_groups(model.decode_latents, received)
        times.append((time.perf_counter() - begun) * 1000 / LANES)
    return statistics.median(times)


def bench_pace(rate: float, seconds: float) -> dict[str, Any]:
    """Run a simulated participant in a real window at `rate` Hz, recorded, and report how the pace was held."""
    busy, begun = time.process_time(), time.perf_counter()
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
        "share_of_a_core": round((time.process_time() - busy) / (time.perf_counter() - begun), 3),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _pillow(frame: NDArray[np.uint8], kind: str) -> int:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, kind, quality=1)
    size = buffer.tell()
    np.asarray(Image.open(buffer))
    return size


def bench_start(checkout: Path = HERE) -> dict[str, Any]:
    """Time commands of a checkout from their start to their end, five times each after one that is not counted.

    Modules are compiled already, as the installer leaves them.
    """
    commands = {
        "help": ["--help"],
        "study init": ["study", "init", "study"],
        "study status": ["study", "status", "study"],
    }
    with _installed(checkout) as environment:
        dummy = environment | {"SDL_VIDEODRIVER": "dummy"}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(6):
            with TemporaryDirectory() as folder:
                for name, words in commands.items():
                    run = partial(subprocess.run, [*RACER, *words], env=dummy, cwd=folder)
                    times[name].append(timed(partial(run, capture_output=True, check=True))[0])
    return {name: summary(values[1:]) for name, values in times.items()}


def bench_window(checkout: Path = HERE) -> dict[str, Any]:
    """Time a sitting of a checkout from its command to its window, five times after one that is not counted.

    Needs an X server without other windows that outlives its last one (`Xvfb -noreset`), and xdotool.
    """
    times = []
    with _installed(checkout) as environment:
        for _ in range(6):
            with TemporaryDirectory() as folder:
                begun = time.perf_counter()
                command = [*RACER, "session", "start", "bench"]
                with subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.DEVNULL) as sitting:
                    search = ["xdotool", "search", "--onlyvisible", "--class", ".+"]
                    while sitting.poll() is None and subprocess.run(search, capture_output=True).returncode:
                        time.sleep(0.02)
                    times.append((time.perf_counter() - begun) * 1000)
                    if sitting.poll() is not None:
                        raise SystemExit("the sitting ended before a window was seen")
                    sitting.kill()
    return {"session start to its window": summary(times[1:])}


@contextmanager
def _installed(checkout: Path) -> Iterator[dict[str, str]]:
    """Give the environment of a checkout whose modules are compiled once and kept."""
    with TemporaryDirectory() as compiled:
        environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        yield environment | {"PYTHONPYCACHEPREFIX": compiled}


COMMANDS = {"start": bench_start, "window": bench_window}


def compare(other: Path, part: str, turns: int) -> dict[str, Any]:
    """Run a part here and in another checkout of Racer in turns; return medians and ratios of every time in it.

    Each run takes a single turn of its own, so that the two change places as often as they can.
    """
    found: dict[str, list[dict[str, float]]] = {"here": [], "there": []}
    for _ in range(turns):
        for name, folder in (("here", HERE), ("there", other.resolve())):
            if part in COMMANDS:  # which are what they are in every version
                found[name].append(_numbers(COMMANDS[part](folder)))
                continue
            environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
            command = [sys.executable, str(folder / "scripts" / "bench.py"), "--part", part, "--turns", "1"]
            done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, check=True)
            found[name].append(_numbers(json.loads(done.stdout)[part]))
    shared = [key for key in found["here"][0] if key in found["there"][0]]
    table = {
        key: {name: round(statistics.median(run[key] for run in runs), 4) for name, runs in found.items()}
        for key in shared
    }
    return {key: row | {"ratio": round(row["here"] / row["there"], 3)} for key, row in table.items() if row["there"]}


def _numbers(value: Any, name: str = "") -> dict[str, float]:
    if isinstance(value, dict):
        parts = [_numbers(each, f"{name}/{key}".strip("/")) for key, each in value.items()]
        return {key: number for part in parts for key, number in part.items()}
    return {name: float(value)} if isinstance(value, int | float) else {}


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--part", choices=["environment", "codec", "batch", "loop", "pace", "start", "window", "all"], default="all"
    )
    parser.add_argument("--rate", type=float, default=50.0, help="steps per second of the pace part")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the pace part")
    parser.add_argument("--turns", type=int, default=4, help="turns of the loop part")
    parser.add_argument("--processes", type=int, default=2, help="processes of the loop part")
    parser.add_argument("--against", type=Path, help="another checkout, whose scripts/bench.py has the part as well")
    args = parser.parse_args()
    if args.against is not None:
        print(json.dumps(compare(args.against, args.part, args.turns), indent=2))
        return
    use_one_thread()
    parts: dict[str, Callable[..., dict[str, Any]]] = {
        "environment": bench_environment,
        "codec": bench_codec,
        "batch": bench_batch,
        "loop": lambda: bench_loop(args.turns, args.processes),
        "pace": lambda: bench_pace(args.rate, args.seconds),
    } | COMMANDS
    chosen = parts if args.part == "all" else {args.part: parts[args.part]}
    report: dict[str, Any] = {"machine": {"platform": platform.platform(), "python": platform.python_version()}}
    report |= {name: part() for name, part in chosen.items()}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
