"""`racer model`: what frames are turned into, and back."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from racer.commands.options import (
    Device,
    DeviceOption,
    JsonOption,
    ModelOption,
    SeedOption,
    SetOption,
    TaskOption,
)
from racer.commands.output import print_json, progress_bar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from compression.model.latent_model import LatentModel

app = typer.Typer(help="Train a latent model or a coder's networks, or look at a model.", no_args_is_help=True)


@app.command("train", epilog="Example: racer model train --task lunar-lander --out lander-model")
def model_train(
    out: Annotated[Path, typer.Option(help="Folder for the model; it must not hold one yet.")],
    task: Annotated[
        str | None, typer.Option(help="Train on what this task's own simulated people see; see `racer task list`.")
    ] = None,
    settings: SetOption = None,
    images: Annotated[Path | None, typer.Option(help="Train on the pictures of this folder instead.")] = None,
    size: Annotated[int, typer.Option(min=8, max=256, help="Side of pictures, pixels.")] = 64,
    grey: Annotated[bool, typer.Option("--grey", help="Convert pictures to grey.")] = False,
    latents: Annotated[int, typer.Option(min=2, max=256, help="Features of a latent.")] = 32,
    blocks: Annotated[int, typer.Option(min=2, max=16, help="Blocks that masks choose among.")] = 8,
    driver: Annotated[
        str, typer.Option(help="Who does the task: `simulated`, a family, or your own as `package.module:factory`.")
    ] = "simulated",
    runs: Annotated[int, typer.Option(min=2, max=100_000, help="Trials, or blocks of pictures, to train on.")] = 320,
    held_out_runs: Annotated[int, typer.Option(min=2, max=100_000, help="Held-out trials, to score on.")] = 40,
    vae_steps: Annotated[int, typer.Option(min=1, help="Gradient steps of the autoencoder.")] = 5000,
    batch: Annotated[
        int,
        typer.Option(
            min=2, max=4096, help="Frames per gradient step; a quarter as many, in four times the steps, learn faster."
        ),
    ] = 128,
    world_model_steps: Annotated[int, typer.Option(min=1, help="Gradient steps of the world model.")] = 1500,
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror", help="Mirror every other batch left to right, for tasks in which mirrored frames can occur."
        ),
    ] = False,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that collect frames. Default: one per processor.")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for frames and intermediate results. Default: OUT.work. Delete it when you are done."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a latent model, in about an hour on two cores. If interrupted, the same command continues."""
    from compression.model.training import TrainingConfig
    from racer.tasks.registry import parse_settings
    from racer.training.collect import CollectConfig
    from racer.training.models import RECONSTRUCTIONS, ModelConfig, make_model

    config = ModelConfig(
        out=out,
        task=task,
        settings=parse_settings(settings or ()),
        images=images,
        size=size,
        grey=grey,
        collect=CollectConfig(runs, held_out_runs, driver),
        training=TrainingConfig(
            latents=latents,
            blocks=blocks,
            vae_steps=vae_steps,
            batch=batch,
            world_model_steps=world_model_steps,
            mirror=mirror,
            seed=seed,
        ),
        work=work,
        device=device.value,
        jobs=jobs,
    )
    with progress_bar("model", shown=not as_json) as advance:
        advance(0, 100)
        reached = [0.0]

        def progress(stage: str, done: float) -> None:
            advance(100 * (done - reached[0]), None)
            reached[0] = done

        card = make_model(config, progress)
    if as_json:
        print_json({"model": str(out), "card": card})
        return
    for line in (*_card_lines(card), _told_sizes(card["sizes"])):
        print(line)
    print(f"Wrote {out}; look at {out / RECONSTRUCTIONS}")
    what = (
        f"racer play --task {task} --model {shlex.quote(str(out))}"
        if task
        else f"racer model show {shlex.quote(str(out))}"
    )
    print(f"Next: {what}")


@app.command("train-coder", epilog="Example: racer model train-coder --task car-racing --out rl-asc.safetensors")
def model_train_coder(
    out: Annotated[Path, typer.Option(help="File to write, for use with --mask; it must not exist yet.")],
    task: TaskOption = "car-racing",
    settings: SetOption = None,
    model: ModelOption = None,
    channels: Annotated[int, typer.Option(help="Channels of the features: 4, 8 or 16.")] = 4,
    trials: Annotated[int, typer.Option(min=4, max=100_000, help="Trials to learn from.")] = 200,
    labeller_steps: Annotated[
        int, typer.Option(min=1, help="Gradient steps of each network that labels pixels.")
    ] = 500,
    coder_steps: Annotated[int, typer.Option(min=1, help="Gradient steps of stage I, encoder and generator.")] = 4000,
    agent_steps: Annotated[int, typer.Option(min=1, help="Gradient steps of stage II, the agent.")] = 200,
    joint_steps: Annotated[int, typer.Option(min=1, help="Gradient steps of stage III, all together.")] = 300,
    batch: Annotated[int, typer.Option(min=2, max=4096, help="Frames per step.")] = 8,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for frames and intermediate results. Default: OUT.work. Delete it when you are done."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train coder rl-asc on a task with labels: networks, agent, both. If interrupted, the same command continues."""
    from compression.rl_asc.settings import ConceptConfig
    from racer.tasks.registry import parse_settings
    from racer.training.concepts import CoderConfig, make_coder, plan_coder

    config = CoderConfig(
        task=task,
        out=out,
        settings=parse_settings(settings or ()),
        model=model,
        trials=trials,
        training=ConceptConfig(
            channels=channels,
            labeller_steps=labeller_steps,
            coder_steps=coder_steps,
            agent_steps=agent_steps,
            joint_steps=joint_steps,
            batch=batch,
            seed=seed,
        ),
        work=work,
        device=device.value,
    )
    if dry_run:
        done = plan_coder(config)
    else:
        with progress_bar("coder", shown=not as_json) as advance:
            advance(0, 100)
            reached = [0.0]

            def progress(stage: str, fraction: float) -> None:
                advance(100 * (fraction - reached[0]), None)
                reached[0] = fraction

            done = make_coder(config, progress)
    if as_json:
        print_json({"file": str(out), "dry_run": dry_run, **done})
        return
    print(f"task            {done['task']}: {', '.join(done['parts'])}")
    print(f"learns from     {done['trials']['coder']} trials, its judge from {done['trials']['judge']} others")
    print(f"gradient steps  {', '.join(f'{name} {count}' for name, count in done['gradient_steps'].items())}")
    if dry_run:
        print("Nothing was written; leave out --dry-run to train")
        return
    print(f"Wrote {out}, {done['bytes'] / 1e6:.2f} MB")
    through = f" --model {shlex.quote(str(model))}" if model else ""
    print(f"Next: racer rates --task {task} --coders rl-asc --mask {shlex.quote(str(out))}{through}")


@app.command("tune", epilog="Example: racer model tune study --out tuned-model")
def model_tune(
    recordings: Annotated[
        list[Path], typer.Argument(help="Recordings of 2 people or more, or folders and studies that hold pilots'.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tuned model; it must not hold one yet.")],
    interaction: Annotated[
        Path | None,
        typer.Option(
            help="Interaction model, from `racer train --objective interaction` on the same recordings. "
            "Default: fit one."
        ),
    ] = None,
    model: ModelOption = None,
    weight: Annotated[
        float, typer.Option(help="Weight of a nat of agreement, above 0; changing the picture by 30 dB costs 1.")
    ] = 3.0,
    keeping: Annotated[
        float, typer.Option(min=0.0, help="Weight of a nat of no failure for a second, beside that of agreement.")
    ] = 0.0,
    steps: Annotated[int, typer.Option(min=1, help="Gradient steps of the decoder.")] = 400,
    iterations: Annotated[
        int, typer.Option(min=25, help="Gradient steps of each member of the interaction model.")
    ] = 600,
    seed: SeedOption = 0,
    work: Annotated[
        Path | None, typer.Option(help="Folder for intermediate results. Default: OUT.work. Delete it when done.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tune a latent model's decoder to what people do on seeing it. If interrupted, the same command continues."""
    from compression.fitting.interaction import fitting_config
    from compression.fitting.tuning import TuningConfig
    from racer.recordings.places import find_pilots
    from racer.training.tuning import PICTURE, Tuning, make_tuned

    tuning = Tuning(
        recordings=find_pilots(recordings),
        out=out,
        model=model,
        interaction=interaction,
        config=TuningConfig(weight=weight, keeping=keeping, steps=steps, seed=seed),
        fitting=fitting_config(seed, iterations),
        work=work,
    )
    with progress_bar("tuning", shown=not as_json) as advance:
        advance(0, 100)
        reached = [0.0]

        def progress(stage: str, done: float) -> None:
            advance(100 * (done - reached[0]), None)
            reached[0] = done

        card = make_tuned(tuning, progress)
    if as_json:
        print_json({"model": str(out), "card": card})
        return
    for line in _tuned_lines(card):
        print(line)
    print(f"Wrote {out}; look at {out / PICTURE}")
    print(f"Next: racer rates --task {card['task']} --model {shlex.quote(str(out))}")


@app.command("show", epilog="Example: racer model show lander-model")
def model_show(
    folder: Annotated[Path, typer.Argument(help="Folder of the model.")],
    pictures: Annotated[
        Path | None,
        typer.Option(
            help="Also draw what each feature looks like to this PNG file, and beside it, where the folder has no such "
            "picture, what comes back of frames that the task's simulated people see."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the data card of a latent model, and name its pictures."""
    from dataclasses import asdict

    from compression.errors import WeightsError
    from compression.model.latent_model import load_model
    from racer.errors import ConfigError
    from racer.training.models import CARD, RECONSTRUCTIONS, TRAVERSALS, read_card
    from racer.training.sheets import draw_reconstructions, draw_traversals
    from racer.training.train import write_new
    from racer.training.tuning import PICTURE

    card = read_card(folder)
    model = load_model(folder)
    drawn: dict[Path, bytes] = {}
    if pictures is not None:
        drawn[pictures] = draw_traversals(model)
        if not (folder / RECONSTRUCTIONS).is_file() and (frames := _frames_of(card, model)) is not None:
            drawn[pictures.with_name(f"{pictures.stem}_{RECONSTRUCTIONS}")] = draw_reconstructions(model, frames)
    for name in drawn:
        if name.exists():
            raise ConfigError(f"{name} exists and was left as it is; give another name with --pictures")
    for name, data in drawn.items():
        write_new(name, data)
    found = [str(folder / name) for name in (RECONSTRUCTIONS, TRAVERSALS, PICTURE) if (folder / name).is_file()]
    found += map(str, drawn)
    sizes = asdict(model.sizes)
    if as_json:
        print_json({"model": str(folder), "sha256": model.sha256, "sizes": sizes, "card": card, "pictures": found})
        return
    try:
        lines = _tuned_lines(card) if "tuned_from" in card else _card_lines(card)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{folder / CARD} is not the data card of a latent model") from error
    for line in (*lines, _told_sizes(sizes)):
        print(line)
    fitted = sorted(path.stem for path in folder.glob("*.safetensors") if path.stem != "model")
    print(f"fitted for it   {', '.join(fitted) or 'nothing yet'}")
    print(f"hash            {model.sha256[:12]}" + ("" if card.get("sha256") == model.sha256 else ", not the card's"))
    for path in found:
        print(f"picture         {path}")


def _frames_of(card: dict[str, Any], model: LatentModel) -> NDArray[np.uint8] | None:
    """Return frames of the task that a model is of; None where that is not known, not here, or of other frames."""
    from racer.errors import RacerError
    from racer.training.collect import frames_to_show

    try:
        frames = frames_to_show(str(card.get("task", "")))
    except RacerError:
        return None
    return frames if frames.shape[1:] == model.sizes.frame else None


def _told_sizes(sizes: dict[str, Any]) -> str:
    height, width, channels = sizes["frame"]
    return (
        f"sizes           {width} x {height} {'grey' if channels == 1 else 'colour'}, {sizes['latents']} features in "
        f"{sizes['blocks']} blocks, {sizes['actions']} actions, state of {sizes['hidden']}"
    )


def _tuned_lines(card: dict[str, Any]) -> list[str]:
    """Return what the card of a tuned model says, for people."""
    held_out, data, settings = card["held_out"], card["data"], card["settings"]
    moved = held_out["psnr_to_untuned_db"]
    lines = [
        f"tuned from      {card['tuned_from'][:12]}: encoder, quantiser and packets are its own",
        f"tuned to        {data['steps']} steps of {data['people']} people: {', '.join(data['drivers'])}",
        f"weight          {settings['weight']:g}, of no failure {settings['keeping']:g}",
        f"held out        {held_out['steps']} steps; action as on the original in "
        f"{100 * held_out['agreement_measured']:.1f} %, "
        f"predicted {100 * held_out['agreement_before']:.1f} % before and "
        f"{100 * held_out['agreement_after']:.1f} % after",
    ]
    if "kept_before" in held_out:
        before, after = (100 * held_out[f"kept_{name}"] for name in ("before", "after"))
        lines.append(f"no failure      for a second, predicted {before:.1f} % before and {after:.1f} % after")
    told = "nothing changed" if moved is None else f"{moved:.1f} dB to what the untuned decoder draws"
    return [
        *lines,
        f"moved           {told}",
        "What the interaction model predicts is no measurement: try it on people it has never met.",
    ]


def _card_lines(card: dict[str, Any]) -> list[str]:
    """Return what a card says, for people."""
    held_out = card["held_out"]
    data = card.get("data", {})
    lines = [f"trained on      {data.get('train_frames', '?')} frames: {data.get('source') or data.get('drivers', '')}"]
    lines.append(
        f"held out        {held_out['psnr_unquantised_db']:.2f} dB, {held_out['quantisation_cost_db']:.2f} dB less "
        f"through packets of all features; {held_out['informative_features']} features are informative"
    )
    if "half_precision_cost_db" in held_out:
        lines.append(f"half precision  {held_out['half_precision_cost_db']:.3f} dB less than before it was rounded")
    nats = held_out["nats_per_feature"]
    lines.append(f"nats a feature  {' '.join(f'{value:.1f}' for value in nats)}")
    if "next_latent_squared_error" in held_out:
        predicted, still = held_out["next_latent_squared_error"], held_out["next_latent_squared_error_of_no_change"]
        lines.append(f"next frame      squared error {predicted:.4f} a feature; {still:.4f} if nothing changed")
    if explained := held_out.get("explained"):
        lines.append(f"about           {explained['by']}, percent of each feature: {_percent(explained)}")
        for point in explained.get("at", ()):
            settings = ", ".join(f"{name} {value}" for name, value in point["settings"].items())
            lines.append(f"                at {settings}: {_percent(point)}")
    if readable := held_out.get("readable"):
        for what, kind in (("right", "accuracy"), ("of its variance", "explained")):
            read = ", ".join(f"{name} {100 * by[kind]:.0f} %" for name, by in readable.items() if kind in by)
            lines += [f"can be read     {read} {what}"] * bool(read)
    return lines


def _percent(explained: dict[str, Any]) -> str:
    return " ".join(f"{100 * value:.0f}" for value in explained["share_of_variance"])
