"""`racer train`."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from racer.commands.options import Device, DeviceOption, JsonOption, ModelOption, ObjectiveChoice, SeedOption
from racer.commands.output import print_json, progress_bar


class ConstantsChoice(StrEnum):
    """Settings of the training by name; see `compression.fitting.config.CONSTANTS`."""

    racer = "racer"
    digits = "digits"
    cars = "cars"
    faces = "faces"
    driving = "driving"


class LabelsChoice(StrEnum):
    """What the action discriminator learns from."""

    released = "released"
    paper = "paper"


def train(
    session: Annotated[
        list[Path], typer.Argument(help="Pilots' recordings, or the folders or studies that hold them.")
    ],
    out: Annotated[Path, typer.Option(help="File to write; it must not exist yet.")],
    objective: Annotated[
        ObjectiveChoice,
        typer.Option(
            help="`pico`: a mask that keeps the driver's actions. `perceptual`: one that keeps the picture (the "
            "paper's baseline). `pico-rate`: how finely each feature is sent to keep the driver's actions. "
            "`pico-transform`: which components of the features actions follow from, and how finely each is sent. "
            "`interaction`: what is done on seeing which picture, for `racer model tune`."
        ),
    ] = ObjectiveChoice.pico,
    model: ModelOption = None,
    seed: SeedOption = 0,
    constants: Annotated[
        ConstantsChoice,
        typer.Option(
            help="`racer`, or those of the released code's notebook for digits, cars, faces or driving: one network of "
            "10,000 steps of 32, no imagined exploration, and their label of negatives."
        ),
    ] = ConstantsChoice.racer,
    labels: Annotated[
        LabelsChoice,
        typer.Option(
            help="What PICO's action discriminator learns. `released`: was this done on seeing the original? `paper`: "
            "p(T = 1 | a, x), was it the original that was seen?"
        ),
    ] = LabelsChoice.released,
    negative_label: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Label of actions on seeing anything but the original, with released labels."),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(min=25, help="The most gradient steps of each network; 600, or what the constants say."),
    ] = None,
    device: DeviceOption = Device.cpu,
    as_json: JsonOption = False,
) -> None:
    """Fit a mask, coder pico-rate or pico-transform, or an interaction model to recorded sessions."""
    from compression.fitting.config import config_of
    from compression.fitting.interaction import fitting_config
    from racer.errors import ConfigError
    from racer.recordings.places import find_pilots
    from racer.training.interactions import train_interaction
    from racer.training.summary import explained, outcome
    from racer.training.train import train as train_for

    of_pico = (constants, labels, negative_label) != (ConstantsChoice.racer, LabelsChoice.released, None)
    if objective is not ObjectiveChoice.pico and of_pico:
        raise ConfigError(
            f"--constants, --labels and --negative-label belong to PICO, not to --objective {objective}: leave them out"
        )
    config = config_of(
        constants.value, labels=labels.value, negative_label=negative_label, iterations=iterations, seed=seed
    )
    with progress_bar("training", shown=not as_json) as advance:
        advance(0, 100)
        done = [0.0]

        def progress(stage: str, fraction: float) -> None:
            advance(100 * (fraction - done[0]), None)
            done[0] = fraction

        pilots = find_pilots(session)
        summary = (
            train_interaction(pilots, out, fitting_config(seed, config.iterations), progress, model, device.value)
            if objective == ObjectiveChoice.interaction
            else train_for(objective.value, pilots, out, config, progress, model, device.value)
        )
    if as_json:
        print_json({"mask": str(out), **outcome(summary)})
        return
    for line in explained(summary):
        print(line)
    if objective == ObjectiveChoice.interaction:
        print(f"Wrote {out}")
        recordings = " ".join(shlex.quote(str(place)) for place in session)
        through = f" --model {shlex.quote(str(model))}" if model else ""
        print(f"Next: racer model tune {recordings} --interaction {shlex.quote(str(out))} --out FOLDER{through}")
        return
    print(f"Wrote {out}, and how its training went to {out.stem}_curves.csv beside it")
    conditions = {
        ObjectiveChoice.pico: "",
    }.get(objective, f" --conditions random,{objective},full")
    print(f"Next: racer session start NAME --protocol evaluation --mask {shlex.quote(str(out))}{conditions}")
