"""How data/version2.h5.gz and version2.json were made, once: they stay as they are.

    python tests/sessions/make_version2.py

A sitting at a made-up task that has little in common with CarRacing: without the original, with it, with noise that
loses a packet, and over a link; one episode is rejected, one is cut short, and frames are kept.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from golden import everything_in
from session_builders import SESSION, Clock, random_step

from sessions import EpisodeInfo, Metric, Recorder, TaskRecord

DATA = Path(__file__).parent / "data"
TASK = TaskRecord(
    name="ferry",
    settings={"wind": 0.5, "boats": ["a", "b"], "night": False},
    frame=(8, 12, 1),
    actions=("port", "starboard", "full-ahead", "stop", "drift"),
    neutral=4,
    metrics=(
        Metric("height", "height above the sea", "m", "lower", -2.5, None, "mean", label="mean height"),
        Metric("reward", "fares paid at this step", "€"),
        Metric("landed", "whether the ferry has landed", "fraction", "higher", 0, 1, "last", True, "landed"),
    ),
    latents=6,
    blocks=3,
    paced=True,
    step_seconds=0.1,
)
INFO = replace(
    SESSION,
    session_id="0a1b2d",
    participant="p02",
    protocol="evaluation",
    study="Stromschnelle ✓",
    trial_run=False,
    config={"nested": {"list": [1, 2.5, None, True]}},
    fitted_sha256=f"{'cd' * 32} {'ef' * 32}",
    resumes="00ffee",
    task=TASK,
)
EPISODE = EpisodeInfo("evaluation", "full", 40, 16, "episode", "hold", 2, 0)
EPISODES = (
    EPISODE,
    replace(EPISODE, condition="raw", seed=41, bits_per_step=0, packet_bytes=0),
    replace(EPISODE, condition="coarse", seed=42, noisy=True),
    replace(EPISODE, condition="random", seed=43, mask_interval="step", linked=True),
)


def record(folder: Path) -> Path:
    """Record the sitting."""
    rng, clock = np.random.default_rng(0), Clock()
    with Recorder(folder, INFO, clock=clock, keep_frames=True) as recorder:
        for index, info in enumerate(EPISODES):
            clock.now_ns += 10**9
            recorder.begin_episode(replace(info, started_ns=clock.now_ns))
            raw = info.condition == "raw"
            for row in range(4 + index):
                clock.now_ns += 10**8
                step = random_step(rng, info, True, TASK)
                lost = info.noisy and row == 1
                recorder.append(
                    replace(
                        step,
                        time_ns=clock.now_ns,
                        response_ns=clock.now_ns + 123_456,
                        received=step.latent if raw else step.received,
                        mask=np.ones(TASK.blocks, np.bool_) if info.condition in ("raw", "full") else step.mask,
                        packet=bytes(info.packet_bytes) if lost else step.packet,
                        bits=info.bits_per_step,
                        uplink_bits=3,
                        arrived=not lost,
                        stimulus=info.seed,
                    )
                )
                recorder.event("key_down", TASK.actions[step.action], clock.now_ns, index, row)
            recorder.end_episode("aborted" if info.linked else "complete")
            if raw:
                recorder.reject_episode()
            recorder.answer(f"evaluation/1/{info.condition}/trust", "fünf Äpfel\nund mehr", clock.now_ns)
        return recorder.close("complete")


def main() -> None:
    """Write both files beside those of version 1."""
    packed = DATA / "version2.h5.gz"
    if packed.exists():
        sys.exit(f"{packed.name} is there already; it stays as it is")
    with tempfile.TemporaryDirectory() as folder:
        path = record(Path(folder))
        packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        golden = json.dumps(everything_in(path), ensure_ascii=False)
    (DATA / "version2.json").write_text(golden + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
