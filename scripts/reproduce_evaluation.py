"""Repeat the evaluation in docs/results.md: a pilot, training, twelve other participants (all simulated), the report.

    python scripts/reproduce_evaluation.py --out build/evaluation

Each setting gets a folder of recordings and its mask below --out; sittings that are already there are not repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sessions
from compression.fitting.config import PicoConfig
from compression.model.latent_model import load_codec
from racer.loop.conditions import ChannelConfig
from racer.report.study import report_study
from racer.report.terminal import print_report
from racer.sitting.protocol import ProtocolConfig, balanced_rows
from racer.sitting.start import StartConfig, resolved, start_session
from racer.tasks.car_racing.track import TrackConfig
from racer.training.train import train_mask

SETTINGS: dict[str, dict[str, Any]] = {
    "episode-hold": {"channel": ChannelConfig(mask_interval="episode", fill="hold"), "track": TrackConfig()},
    "step-prior": {"channel": ChannelConfig(mask_interval="step", fill="prior"), "track": TrackConfig()},
    "episode-hold-speed-60": {
        "channel": ChannelConfig(mask_interval="episode", fill="hold"),
        "track": TrackConfig(target_speed=60),
    },
    "episode-hold-forgiving": {
        "channel": ChannelConfig(mask_interval="episode", fill="hold"),
        "track": TrackConfig(handling="forgiving"),
    },
}
STEPS = 150


def sit(config: StartConfig) -> None:
    """Record one sitting unless the very same is there already."""
    for path in sessions.find_recordings(config.data):
        with sessions.open(path) as session:
            info = session.info
            if info.participant != config.participant or session.status != "complete":
                continue
            wanted = json.loads(json.dumps(resolved(config, config.order or 0)))
            masks = " ".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in config.masks)
            if (info.config, info.codec_sha256, info.mask_sha256) != (wanted, load_codec().sha256, masks):
                raise SystemExit(f"{path} was recorded with other settings or weights: give another --out")
            return
    start_session(config)


def run_setting(name: str, out: Path, participants: int, episodes: int, processes: int, seed: int) -> dict[str, Any]:
    """Run one setting from pilot to report and return the report as a JSON object."""
    setting = SETTINGS[name]
    pilots, evaluations, mask = out / name / "pilot", out / name / "evaluation", out / name / "mask.safetensors"
    sit(
        StartConfig(
            participant=f"pilot{seed + 1:02d}",
            seed=seed,
            protocol=ProtocolConfig("pilot", steps=STEPS),
            driver="simulated",
            headless=True,
            data=pilots,
            **setting,
        )
    )
    # Trained anew each time: it takes less than finding out whether an old one still fits.
    mask.unlink(missing_ok=True)
    print(json.dumps(asdict(train_mask(sessions.find_recordings(pilots), mask, PicoConfig()))))
    protocol = ProtocolConfig("evaluation", practice=0, evaluation=episodes, steps=STEPS)
    configs = [
        StartConfig(
            participant=f"person{100 * seed + number:02d}",
            seed=seed,
            protocol=protocol,
            driver="simulated",
            headless=True,
            data=evaluations,
            masks=(mask,),
            order=number % len(balanced_rows(len(protocol.conditions))),
            **setting,
        )
        for number in range(1, participants + 1)
    ]
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(sit, configs))
    report = report_study(evaluations)
    print(f"\n{name}, {episodes} episodes of {STEPS} steps per condition")
    print_report(report)
    return asdict(report)


def main() -> None:
    """Run the settings asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/evaluation"))
    parser.add_argument("--setting", choices=[*SETTINGS, "all"], default="all")
    parser.add_argument("--participants", type=int, default=12)
    parser.add_argument("--episodes", type=int, default=15, help="per condition and participant")
    parser.add_argument("--seed", type=int, default=0, help="another one: another pilot, other people, other tracks")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    reports = {
        name: run_setting(name, args.out, args.participants, args.episodes, args.processes, args.seed)
        for name in (SETTINGS if args.setting == "all" else [args.setting])
    }
    (args.out / "report.json").write_text(json.dumps(reports, indent=2) + "\n")


if __name__ == "__main__":
    main()
