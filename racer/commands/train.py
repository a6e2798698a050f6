"""`racer train`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from racer.commands.options import JsonOption, ModelOption, ObjectiveChoice, SeedOption
from racer.commands.output import print_json, progress_bar


def train(
    session: Annotated[
        list[Path], typer.Argument(help="Pilots' recordings, or the folders or studies that hold them.")
    ],
    out: Annotated[Path, typer.Option(help="File to write, for use with --mask; it must not exist yet.")],
    objective: Annotated[
        ObjectiveChoice,
        typer.Option(
            help="`pico`: a mask that keeps the driver's actions. `perceptual`: one that keeps the picture (the "
            "paper's baseline). `pico-rate`: how finely each feature is sent to keep the driver's actions."
        ),
    ] = ObjectiveChoice.pico,
    model: ModelOption = None,
    seed: SeedOption = 0,
    iterations: Annotated[int, typer.Option(min=25, help="Gradient steps of each network.")] = 600,
    as_json: JsonOption = False,
) -> None:
    """Fit a mask, or the levels of coder pico-rate, to recorded sessions."""
    from compression.fitting.config import PicoConfig
    from racer.recordings.places import find_pilots
    from racer.training.summary import explained, outcome
    from racer.training.train import train as train_for

    config = PicoConfig(seed=seed, iterations=iterations)
    with progress_bar("training", shown=not as_json) as advance:
        advance(0, 100)
        done = [0.0]

        def progress(stage: str, fraction: float) -> None:
            advance(100 * (fraction - done[0]), None)
            done[0] = fraction

        summary = train_for(objective.value, find_pilots(session), out, config, progress, model)
    if as_json:
        print_json({"mask": str(out), **outcome(summary)})
        return
    for line in explained(summary):
        print(line)
    print(f"Wrote {out}, and how its training went to {out.stem}_curves.csv beside it")
    conditions = {
        ObjectiveChoice.pico: "",
        ObjectiveChoice.perceptual: " --conditions random,perceptual,full",
        ObjectiveChoice.pico_rate: " --conditions random,pico-rate,full",
    }[objective]
    print(f"Next: racer session start NAME --protocol evaluation --mask {shlex.quote(str(out))}{conditions}")
