"""PICO's mask of several pilots against rows that learnt nothing, driven by families that no mask met.

    python scripts/studies/pilots_against_nulls.py --task car-racing --set speed=60 --out build/pilots/car
    python scripts/studies/pilots_against_nulls.py --task car-racing-clutter --set clutter=1,speed=50 \\
        --drivers path-tracking --mask-interval step --fill prior --out build/pilots/clutter-1

Each pilot drives alone and a mask is trained on each. `best-fixed` and `worst-fixed` are chosen from all halves of the
blocks on other people of the pilots' family, on other tracks. Everybody else drives `raw`, `blind`, the null rows and
every pilot's mask on the same tracks with the same dice. Intervals draw pilots and people again, each crossed with the
other, so that another pilot is part of the doubt. What was driven is kept: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import sessions
from compression.coders.blocks import fixed_coders
from compression.fitting.config import PicoConfig
from racer.engines import LocalEngine
from racer.loop.conditions import ChannelConfig
from racer.rates.grid import BEST_FIXED, BLIND, RAW, WORST_FIXED, RatesConfig, sweep_settings
from racer.rates.means import means_by_point
from racer.rates.resampling import drawings
from racer.rates.sweep import prepare_sweep, run_sweep
from racer.report.equivalence import kept
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.training.train import train

FIRST_PILOT = 101
RESAMPLES = 10_000
PICO = "pico"
NULLS = ("first-blocks", "rotation", "random")

Values = NDArray[np.float64]
Scores = dict[tuple[str, str], Values]
"""What people came to, float64[people], by driver and coder."""


def mask_of(number: int, out: Path, config: RatesConfig, bits: int, steps: int, mixed: bool) -> Path:
    """Return the mask of one pilot, who drives and is trained on if that has not happened yet."""
    mask, data = out / f"pilot{number}.safetensors", out / f"pilot{number}"
    if mask.exists():
        return mask
    channel = ChannelConfig(bits, config.mask_interval, config.fill)
    if not (data.exists() and sessions.find_recordings(data)):
        protocol = ProtocolConfig("pilot", practice=0, steps=steps, mixed=mixed)
        task = make_task(config.task, config.settings[0].values)
        start_session(
            StartConfig(f"pilot{number}", protocol, task, None, channel, "simulated", (), data, number, headless=True)
        )
    train(PICO, sessions.find_recordings(data), mask, PicoConfig())
    return mask


def driven(config: RatesConfig, coders: tuple[str, ...], out: Path, masks: tuple[Path, ...] = ()) -> Scores:
    """Drive these coders and no other row, and return what everybody came to."""
    named = tuple(name for name in dict.fromkeys(coders) if name not in (RAW, BLIND))
    sweep = prepare_sweep(config, named, masks)
    cells = tuple(cell for cell in sweep.grid.cells if cell.point.coder in coders)
    sweep = replace(sweep, grid=replace(sweep.grid, cells=cells))
    scores = run_sweep(sweep, out, LocalEngine(1)).scores
    return {(point.driver, point.coder): means.merit for point, means in means_by_point(scores, sweep.spec).items()}


def compare(family: str, scores: Scores, pilots: list[Values], fixed: dict[str, str]) -> dict[str, object]:
    """Return what a family's rows and differences come to: value and 95 % interval, of 1 from blind to raw."""
    raw, blind = scores[family, RAW], scores[family, BLIND]
    pico = np.stack(pilots)
    people = drawings(len(raw), RESAMPLES)
    weights = drawings(len(pilots), RESAMPLES)[np.random.default_rng(0).permutation(RESAMPLES)]
    gap = people @ (raw - blind)

    def told(values: Values) -> list[float]:
        mean = values.mean() / (raw - blind).mean()
        found = np.einsum("rp,pn,rn->r", weights, np.atleast_2d(values) * np.ones_like(pico), people) / gap
        low, high = np.percentile(found, [2.5, 97.5])
        return [round(100 * float(each), 1) for each in (mean, low, high)]

    named = {**{name: name for name in NULLS}, BEST_FIXED: fixed["best"], WORST_FIXED: fixed["worst"]}
    rows = {name: scores[family, coder] for name, coder in named.items()}
    within = kept(pico.mean(axis=0) - blind, raw - blind, 0.05)
    return {
        "raw": round(float(raw.mean()), 4),
        "blind": round(float(blind.mean()), 4),
        "rows": {PICO: told(pico - blind), **{name: told(values - blind) for name, values in rows.items()}},
        "over": {name: told(pico - values) for name, values in rows.items()},
        "pilots": [round(100 * float((own - blind).mean() / (raw - blind).mean()), 1) for own in pico],
        "kept_p": within.p,
        "kept_p_flip": within.p_flip,
    }


def main() -> None:
    """Pilots, masks, choice, drives, table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="car-racing")
    parser.add_argument("--set", default="speed=60", help="one value a setting: NAME=VALUE,NAME=VALUE")
    parser.add_argument("--drivers", default="path-tracking,two-point,edge-following,satisficing,pixel-policy")
    parser.add_argument("--pilots", type=int, default=3)
    parser.add_argument("--mixed", action="store_true", help="chance decides in each round if a pilot explores")
    parser.add_argument("--bits", type=int, default=85)
    parser.add_argument("--participants", type=int, default=6)
    parser.add_argument("--choosers", type=int, default=3, help="people that fixed masks are chosen on")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--mask-interval", default="episode")
    parser.add_argument("--fill", default="hold")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    config = RatesConfig(
        args.task,
        sweep_settings(args.task, args.set.split(",")),
        args.steps,
        tuple(args.drivers.split(",")),
        (args.bits,),
        participants=args.participants,
        episodes=1,
        seed=args.seed,
        mask_interval=args.mask_interval,
        fill=args.fill,
    )
    spec = make_task(args.task).spec
    pilots = range(FIRST_PILOT, FIRST_PILOT + args.pilots)
    masks = [mask_of(number, args.out, config, args.bits, args.steps, args.mixed) for number in pilots]
    halves = fixed_coders(load_task_model(spec).sizes, args.bits)
    choosing = replace(config, drivers=(spec.driver,), participants=args.choosers, seed=args.seed + 1)
    chosen = {
        coder: float(values.mean()) for (_, coder), values in driven(choosing, halves, args.out / "fixed").items()
    }
    fixed = {"best": max(halves, key=chosen.__getitem__), "worst": min(halves, key=chosen.__getitem__)}
    print(json.dumps(fixed), flush=True)
    scores = driven(config, (RAW, BLIND, *NULLS, *fixed.values()), args.out / "nulls")
    by_pilot = [driven(config, (PICO,), args.out / f"pico-{mask.stem}", (mask,)) for mask in masks]
    table = {
        family: compare(family, scores, [own[family, PICO] for own in by_pilot], fixed) for family in config.drivers
    }
    for family, told in table.items():
        print(family, json.dumps(told), flush=True)
    (args.out / "table.json").write_text(json.dumps({"fixed": fixed} | table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
