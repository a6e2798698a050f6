"""Repeat the evaluation that version 0.1.0 reported, with its people, tracks and orders, on the code of today.

python scripts/studies/first_evaluation.py --setting episode-hold --out build/first_evaluation

A pilot, a mask trained on it, twelve other people, 15 episodes of 150 steps per condition, all simulated. Seeds of
drives and people follow from names and study seed, as they did then: where the mask is the same, so is every drive.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import sessions
from compression.fitting.config import PicoConfig
from compression.fitting.pico import TrainingSummary
from racer.loop.conditions import ChannelConfig
from racer.report.study import report_study
from racer.report.terminal import print_report
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.training.train import train

SETTINGS = {
    "episode-hold": ChannelConfig(mask_interval="episode", fill="hold"),
    "step-prior": ChannelConfig(mask_interval="step", fill="prior"),
}
PEOPLE, ORDERS = 12, 6
"""Of three conditions there are six balanced orders."""


def sit(config: StartConfig) -> None:
    """Record one sitting."""
    start_session(config)


def complete(folder: Path) -> set[str]:
    """Return who has a complete sitting in a folder; one that was cut short must be taken away by hand."""
    there = set()
    for path in sessions.find_recordings(folder):
        with sessions.open(path) as session:
            if session.status != "complete":
                raise SystemExit(f"{path} was cut short: remove it, and start again")
            there.add(session.info.participant)
    return there


def main() -> None:
    """Run a setting; sittings that are there already are not repeated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", choices=SETTINGS, default="episode-hold")
    parser.add_argument("--mask", type=Path, help="use this one instead of training on the pilot")
    parser.add_argument("--out", type=Path, default=Path("build/first_evaluation"))
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    channel, out = SETTINGS[arguments.setting], arguments.out / arguments.setting
    people, mask = out / "people", arguments.mask or out / "mask.safetensors"

    def config(name: str, protocol: ProtocolConfig, data: Path, order: int | None = None) -> StartConfig:
        masks = () if order is None else (mask,)
        return StartConfig(
            name, protocol, channel=channel, driver="simulated", masks=masks, data=data, headless=True, order=order
        )

    if not mask.exists():
        if not complete(out / "pilot"):
            start_session(config("pilot01", ProtocolConfig("pilot", steps=150), out / "pilot"))
        summary = train("pico", sessions.find_recordings(out / "pilot"), mask, PicoConfig())
        assert isinstance(summary, TrainingSummary)
        print("share of the pilot's steps in which each block would be sent:", *summary.block_frequency)
    protocol = ProtocolConfig("evaluation", practice=0, evaluation=15, steps=150)
    missing = [n for n in range(1, PEOPLE + 1) if f"person{n:02d}" not in complete(people)]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        list(pool.map(sit, [config(f"person{n:02d}", protocol, people, n % ORDERS) for n in missing]))
    print_report(report_study(people))


if __name__ == "__main__":
    main()
