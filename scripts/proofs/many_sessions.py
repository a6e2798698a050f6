"""Write many small sessions in which everything is in order, and time the commands that look at all of them.

python scripts/proofs/many_sessions.py --sessions 1000

The physics and the packets are real; nothing is drawn or encoded, so that a session takes a fraction of a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from compression.coders.blocks import BlockReceiver
from compression.coders.packet import CHANNEL_FORMAT, layout_for
from compression.masks import features_of, mask_table
from compression.model.latent_model import use_one_thread
from compression.uplink import uplink_bits
from racer.loop.conditions import ChannelConfig
from racer.sitting.protocol import ProtocolConfig, plan_episodes
from racer.software import software
from racer.tasks.latent_model import load_task_model
from racer.tasks.record import record_of
from racer.tasks.registry import make_task, task_settings
from sessions import EpisodeInfo, Recorder, SessionInfo, Step

TASK = make_task()
PERIOD_NS = 100_000_000
BEGUN = datetime(2026, 1, 31, 14, 5, 9, tzinfo=UTC)


def write_session(folder: Path, number: int, episodes: int, steps: int, installed: dict[str, str]) -> None:
    """Write one complete pilot sitting of `episodes` exploration episodes."""
    protocol = ProtocolConfig("pilot", practice=0, calibration=0, exploration=episodes, steps=steps)
    participant = f"p{number:04d}"
    rng = np.random.default_rng(number)
    info = SessionInfo(
        session_id=f"{number:06x}",
        participant=participant,
        protocol="pilot",
        study="",
        trial_run=False,
        config={
            "protocol": asdict(protocol),
            "task": {"name": TASK.spec.name, "settings": task_settings(TASK)},
            "channel": asdict(ChannelConfig()),
            "headless": True,
            "channel_format": CHANNEL_FORMAT,
        },
        created_utc=(BEGUN + timedelta(seconds=number)).isoformat().replace("+00:00", "Z"),
        software=installed,
        model_sha256=load_task_model(TASK.spec).sha256,
        fitted_sha256="",
        driver="synthetic",
        task=record_of(TASK, load_task_model(TASK.spec)),
    )
    with Recorder(folder, info, clock=lambda: 0) as recorder:
        for index, plan in enumerate(plan_episodes(protocol, participant, 0, 0)):
            write_episode(recorder, plan.seed, index * (steps + 1) * PERIOD_NS, steps, rng)
        recorder.close("complete")


def write_episode(recorder: Recorder, seed: int, started_ns: int, steps: int, rng: np.random.Generator) -> None:
    """Write one episode of random actions and random packets of one mask."""
    spec, model, bits = TASK.spec, load_task_model(TASK.spec), ChannelConfig().bits
    layout = layout_for(bits, model.sizes)
    receiver = BlockReceiver(model, layout, "hold")
    index = int(rng.integers(layout.masks))
    sent = np.flatnonzero(features_of(mask_table(layout.blocks, layout.sent)[index], model.sizes.block_size))
    recorder.begin_episode(
        EpisodeInfo("exploration", "random", seed, bits, "episode", "hold", layout.packet_bytes, started_ns)
    )
    with closing(TASK.start(seed)) as trial:
        before = spec.start_action
        for step in range(steps):
            # A latent whose features lie on the tables is what its own packet decodes to.
            drawn = rng.standard_normal(model.sizes.latents).astype(np.float32)
            symbols = model.quantizer.encode(drawn, sent, layout.levels)
            drawn[sent] = model.quantizer.decode(symbols, sent, layout.levels)
            packet = layout.pack(index, symbols)
            action = int(rng.integers(len(spec.actions)))
            received = receiver.receive(packet, before)
            shown_ns = started_ns + step * PERIOD_NS
            recorder.append(
                Step(
                    time_ns=shown_ns,
                    response_ns=shown_ns,
                    action=action,
                    stimulus=seed,
                    metrics=trial.step(action).metrics,
                    latent=drawn,
                    received=received,
                    mask=receiver.mask,
                    packet=packet,
                    bits=layout.bits,
                    uplink_bits=uplink_bits(len(spec.actions)),
                    arrived=True,
                    stage_us=(0, 0, 0, 0),
                )
            )
            before = action
    recorder.end_episode("complete")


def write_sessions(folder: Path, count: int, episodes: int, steps: int) -> None:
    """Write all sessions, in parallel."""
    write = partial(write_session, folder, episodes=episodes, steps=steps, installed=software())
    with ProcessPoolExecutor(initializer=use_one_thread) as pool:
        list(pool.map(write, range(count), chunksize=20))


def timed(arguments: Sequence[str]) -> tuple[float, dict[str, Any]]:
    """Return how many seconds a command takes, start and all, and the JSON it prints."""
    begun = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "racer", *arguments, "--json"], capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - begun
    if result.returncode:
        raise SystemExit(f"racer {' '.join(arguments)} ended with {result.returncode}: {result.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(result.stdout)
    return round(seconds, 2), answer


def main() -> None:
    """Write the sessions, time the commands and print the numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--episodes", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begun = time.monotonic()
        write_sessions(folder, arguments.sessions, arguments.episodes, arguments.steps)
        written = round(time.monotonic() - begun, 2)
        count = str(arguments.sessions)
        listing, listed = timed(["session", "list", str(folder)])
        structure, _ = timed(["session", "verify", str(folder), "--expected", count, "--no-replay"])
        everything, found = timed(["session", "verify", str(folder), "--expected", count])
        outcomes = {check["outcome"] for entry in found["recordings"] for check in entry["checks"]}
        size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    print(
        json.dumps(
            {
                "sessions": len(listed["sessions"]),
                "megabytes": round(size / 1e6, 1),
                "processors": os.cpu_count(),
                "write_s": written,
                "list_s": listing,
                "verify_without_replay_s": structure,
                "verify_s": everything,
                "outcomes": sorted(outcomes),
            }
        )
    )


if __name__ == "__main__":
    main()
