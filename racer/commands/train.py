"""`racer train`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from racer.commands.options import JsonOption, ModelOption, ObjectiveChoice, SeedOption
from racer.commands.output import print_json, progress_bar


def train(
    session: Annotated[list[Path], typer.Argument(help="Pilots' recordings, or folders and studies that hold them.")],
    out: Annotated[Path, typer.Option(help="File to write; must not exist.")],
    objective: Annotated[
        ObjectiveChoice,
        typer.Option(
            help="`pico`: a mask that keeps the driver's actions. `perceptual`: one that keeps the picture (the "
            "paper's baseline). `pico-rate`: how finely each feature is sent to keep the driver's actions. "
            "`interaction`: what is done on seeing which picture, for `racer model tune`."
        ),
    ] = ObjectiveChoice.pico,
    model: ModelOption = None,
    seed: SeedOption = 0,
    iterations: Annotated[int, typer.Option(min=25, help="Gradient steps of each network.")] = 600,
    as_json: JsonOption = False,
) -> None:
    """Fit a mask, the levels of coder pico-rate, or an interaction model to recorded sessions."""
    from dataclasses import asdict

    from compression.fitting.config import PicoConfig
    from compression.fitting.interaction import fitting_config
    from racer.recordings.places import find_pilots
    from racer.training.interactions import train_interaction
    from racer.training.summary import explained
    from racer.training.train import train as train_for

    config = PicoConfig(seed=seed, iterations=iterations)
    with progress_bar("training", shown=not as_json) as advance:
        advance(0, 100)
        done = [0.0]

        def progress(stage: str, fraction: float) -> None:
            advance(100 * (fraction - done[0]), None)
            done[0] = fraction

        pilots = find_pilots(session)
        summary = (
            train_interaction(pilots, out, fitting_config(seed, iterations), progress, model)
            if objective == ObjectiveChoice.interaction
            else train_for(objective.value, pilots, out, config, progress, model)
        )
    if as_json:
        print_json({"mask": str(out), **asdict(summary)})
        return
    for line in explained(summary):
        print(line)
    print(f"Wrote {out}")
    if objective == ObjectiveChoice.interaction:
        recordings = " ".join(shlex.quote(str(place)) for place in session)
        through = f" --model {shlex.quote(str(model))}" if model else ""
        print(f"Next: racer model tune {recordings} --interaction {shlex.quote(str(out))} --out FOLDER{through}")
        return
    conditions = {
        ObjectiveChoice.pico: "",
        ObjectiveChoice.perceptual: " --conditions random,perceptual,full",
        ObjectiveChoice.pico_rate: " --conditions random,pico-rate,full",
    }[objective]
    print(f"Next: racer session start NAME --protocol evaluation --mask {shlex.quote(str(out))}{conditions}")
