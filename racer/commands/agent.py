"""`racer agent`: agents whose feature extractor encodes."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from racer.commands.options import Device, DeviceOption, JsonOption, ModelOption, SeedOption, SetOption
from racer.commands.output import print_json, progress_bar, value_told

if TYPE_CHECKING:
    from racer.tasks.task import TaskSpec

app = typer.Typer(
    help="Train an agent that encodes frames for condition `agent`, or look at one.", no_args_is_help=True
)


class RateModelChoice(StrEnum):
    """What says what latents cost."""

    factorised = "factorised"
    normal = "normal"


class DecoderLossChoice(StrEnum):
    """What the decoder minimises."""

    mse = "mse"
    latent = "latent"
    both = "both"


@app.command("train", epilog="Example: racer agent train --task car-racing --out agent.safetensors")
def agent_train(
    out: Annotated[Path, typer.Option(help="File to write, for use with --mask; it must not exist yet.")],
    task: Annotated[str, typer.Option(help="A task that moves on by itself; `racer task list` shows all tasks.")],
    settings: SetOption = None,
    model: ModelOption = None,
    driver: Annotated[
        str, typer.Option(help="Who is imitated: `simulated`, a family, or your own as `package.module:factory`.")
    ] = "simulated",
    alpha: Annotated[
        float, typer.Option(min=0.0, help="Weight of the bits of a frame's latents beside the loss of imitation.")
    ] = 1e-4,
    target_bits: Annotated[
        float | None, typer.Option(help="Bits per frame to aim for: alpha is adjusted until the rate stays there.")
    ] = None,
    free_rounds: Annotated[int, typer.Option(min=0, help="Rounds at the start in which bits cost nothing.")] = 0,
    rate_model: Annotated[
        RateModelChoice,
        typer.Option(help="`factorised`: a learned prior of whole numbers. `normal`: as published, three digits."),
    ] = RateModelChoice.factorised,
    latents: Annotated[int, typer.Option(min=2, max=256, help="Number of latents that the agent acts by; even.")] = 64,
    steps: Annotated[int, typer.Option(min=1, help="Gradient steps of the agent, over all rounds.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often frames are gathered.")] = 4,
    trials: Annotated[int, typer.Option(min=1, max=1000, help="Trials to gather in each round.")] = 24,
    held_out_trials: Annotated[int, typer.Option(min=1, max=1000, help="Held-out trials, to score on.")] = 16,
    decoder_steps: Annotated[int, typer.Option(min=1, help="Gradient steps of the decoder.")] = 1500,
    decoder_loss: Annotated[
        DecoderLossChoice,
        typer.Option(help="`mse`: of pixels. `latent`: of what the agent sees in the picture. `both`: their sum."),
    ] = DecoderLossChoice.mse,
    seed: SeedOption = 0,
    device: DeviceOption = Device.cpu,
    work: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Folder for frames, intermediate results and checkpoints. Default: OUT.work. Delete it when you are "
                "done."
            )
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what there is to do, and check that it can be done.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train an agent that pays for its bits, and its decoder. If interrupted, the same command continues."""
    from compression.fitting.agent import AgentConfig
    from racer.tasks.registry import make_task, parse_settings
    from racer.training.agent import AgentTraining, plan, train

    training = AgentTraining(
        task=task,
        out=out,
        settings=parse_settings(settings or ()),
        model=model,
        driver=driver,
        trials=trials,
        held_out_trials=held_out_trials,
        config=AgentConfig(
            alpha=alpha,
            target_bits=target_bits,
            free_rounds=free_rounds,
            rate_model=rate_model.value,
            latents=latents,
            steps=steps,
            rounds=rounds,
            decoder_steps=decoder_steps,
            decoder_loss=decoder_loss.value,
            seed=seed,
        ),
        work=work,
        device=device.value,
    )
    if dry_run:
        planned = plan(training)
        if as_json:
            print_json(planned)
            return
        for name, value in planned.items():
            print(f"{name.replace('_', ' '):<24}{value}")
        print("Nothing was written; leave out --dry-run to train")
        return
    with progress_bar("agent", shown=not as_json) as advance:
        advance(0, 100)
        reached = [0.0]

        def progress(stage: str, done: float) -> None:
            advance(100 * (done - reached[0]), None)
            reached[0] = done

        card = train(training, progress)
    if as_json:
        print_json({"agent": str(out), "card": card})
        return
    for line in _card_lines(card, make_task(task).spec):
        print(line)
    print(f"Wrote {out}")
    through = f" --model {shlex.quote(str(model))}" if model else ""
    print(f"Next: racer rates --task {task} --coders agent --mask {shlex.quote(str(out))}{through}")


@app.command("show", epilog="Example: racer agent show agent.safetensors --task car-racing")
def agent_show(
    file: Annotated[Path, typer.Argument(help="Made by `racer agent train`.")],
    task: Annotated[
        str | None, typer.Option(help="Task whose latent model it is for. Default: the task that it was trained in.")
    ] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an agent was trained for, what its latents cost and how it does the task."""
    from dataclasses import asdict

    from compression.coders.agent import AGENT
    from compression.errors import MaskError
    from compression.fitting.fitted import remedy, task_of
    from compression.tensor_files import one_line
    from racer.errors import ConfigError
    from racer.tasks.latent_model import load_task_model
    from racer.tasks.registry import make_task
    from racer.training.agent import read_card

    task = task or task_of(file)
    if not task:
        raise ConfigError(f"{file} is not a readable agent file; check the path")
    spec = make_task(task).spec
    record, card = read_card(file, load_task_model(spec, model))
    if as_json:
        print_json({"agent": str(file), "record": asdict(record)})
        return
    settings = ", ".join(f"{name} {value}" for name, value in record.config.items() if name != "card")
    lines = [f"trained for     {record.task}, imitating {', '.join(record.drivers)}", f"settings        {settings}"]
    try:
        lines += _card_lines(card, spec)
    except (KeyError, TypeError, ValueError) as error:
        raise MaskError(f"{file} holds a card that is damaged; {remedy(file, AGENT.made_by)}") from error
    for line in lines:
        print(one_line(line, 400))


def _card_lines(card: dict[str, Any], spec: TaskSpec) -> list[str]:
    """Return what a card says, for people."""
    size = card["latents"]
    lines = [
        f"held out        {card['frames']} frames of {card['trials']} trials",
        f"bits a latent   {card['coded_bits_per_latent']:.3f} coded, {card['entropy_bits_per_latent']:.3f} entropy, "
        f"{card['cross_entropy_bits_per_latent']:.3f} cross-entropy",
        f"bits a frame    {card['coded_bits_per_frame']:.1f} of {size} latents, at most {card['coded_bits_most']}",
        f"squared error   {card['squared_error']:.1f}; {card['squared_error_of_mean_frame']:.1f} of the mean frame",
    ]
    slots = [name.split("_")[3] for name in card if name.startswith("squared_error_at_")]
    told = ", ".join(f"{card[f'squared_error_at_{bits}_bits']:.1f} at {bits} bits" for bits in slots)
    lines += [f"in a slot       squared error {told}"] * bool(slots)
    for metric in spec.compared:
        own, driver = (card[who].get(metric.name) for who in ("agent", "driver"))
        if own is not None and driver is not None:
            lines.append(
                f"{metric.title:<15} {value_told(metric, own)}; {value_told(metric, driver)} of whom it imitates"
            )
    return lines
