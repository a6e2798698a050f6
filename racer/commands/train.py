"""`racer train`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from racer.commands.output import print_json, progress_bar
from racer.options import (
    JsonOption,
    ObjectiveChoice,
    SeedOption,
)


def train(
    session: Annotated[list[Path], typer.Argument(help="Recordings made by `racer session start --protocol pilot`.")],
    out: Annotated[Path, typer.Option(help="Mask file to write; must not exist.")],
    objective: Annotated[
        ObjectiveChoice, typer.Option(help="Keep the driver's actions, or the picture (the paper's baseline).")
    ] = ObjectiveChoice.pico,
    seed: SeedOption = 0,
    iterations: Annotated[int, typer.Option(min=25, help="Gradient steps of each network.")] = 600,
    as_json: JsonOption = False,
) -> None:
    """Fit a mask to recorded sessions."""
    from dataclasses import asdict

    from compression.pico_config import PicoConfig
    from racer.training import train_mask

    config = PicoConfig(objective=objective.value, seed=seed, iterations=iterations)
    with progress_bar("training", shown=not as_json) as advance:
        advance(0, 100)
        done = [0.0]

        def progress(stage: str, fraction: float) -> None:
            advance(100 * (fraction - done[0]), None)
            done[0] = fraction

        summary = train_mask(session, out, config, progress=progress)
    if as_json:
        print_json({"mask": str(out), **asdict(summary)})
        return
    frequency = "  ".join(f"{block}:{100 * sent:.0f} %" for block, sent in enumerate(summary.block_frequency))
    print(f"Trained on {summary.positive_steps} steps under full and {summary.negative_steps} under random masks.")
    print(f"On {summary.held_out_episodes} held-out episodes:")
    if objective is ObjectiveChoice.pico:
        print(
            f"  action discriminator: accuracy {summary.action_accuracy:.2f} over the three actions (guessing: 0.33), "
            f"calibration error {summary.calibration_error:.3f}"
        )
        print(
            f"  mean D(a, x): {summary.mean_d_original:.3f} on seeing the original, "
            f"{summary.mean_d_compressed:.3f} under random masks"
        )
    print(
        f"  mean D(p, x): {summary.mean_d_policy:.3f} under the new mask, {summary.mean_d_random:.3f} under random ones"
    )
    print(f"  blocks sent: {frequency}")
    print(f"Wrote {out}")
    conditions = "" if objective is ObjectiveChoice.pico else " --conditions random,perceptual,full"
    print(f"Next: racer session start NAME --protocol evaluation --mask {shlex.quote(str(out))}{conditions}")
