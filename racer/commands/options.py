"""The options that several commands share, and the values they take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compression.coders import BUILT_IN

if TYPE_CHECKING:
    from racer.engines import Engine


class Protocol(StrEnum):
    """What a sitting consists of."""

    pilot = "pilot"
    evaluation = "evaluation"


class Interval(StrEnum):
    """How often a mask is chosen."""

    episode = "episode"
    step = "step"


class FillChoice(StrEnum):
    """How to fill in features that are not sent."""

    prior = "prior"
    hold = "hold"
    predict = "predict"


class NoiseChoice(StrEnum):
    """What happens to packets on their way."""

    none = "none"
    flips = "flips"
    erasures = "erasures"
    gaussian = "gaussian"


class EngineChoice(StrEnum):
    """Where work is spread."""

    local = "local"
    ray = "ray"


class Device(StrEnum):
    """What networks run on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class ObjectiveChoice(StrEnum):
    """What is trained, and by that which condition it serves."""

    pico = "pico"
    perceptual = "perceptual"
    pico_rate = "pico-rate"
    pico_transform = "pico-transform"
    interaction = "interaction"


def check_seed(value: int) -> int:
    """Refuse what no recording can keep as a seed."""
    if not 0 <= value < 2**63:
        raise typer.BadParameter("it must be a whole number from 0 on, below 2^63")
    return value


DriverOption = Annotated[
    str,
    typer.Option(
        help="`keyboard`, `simulated`, a family of `racer driver list`, both also with `:SEED` for one person, or "
        "your own as `package.module:factory`."
    ),
]
CONDITIONS_HELP = f"`raw`, `full`, {', '.join(f'`{name}`' for name in BUILT_IN)}, or an installed coder"
"""Names what may be shown, without loading any of it."""

CONDITION_HELP = f"What you see: {CONDITIONS_HELP}."
BitsOption = Annotated[int, typer.Option(help="Bits that may cross per step.")]
IntervalOption = Annotated[Interval, typer.Option(help="Choose the mask once per episode, or anew each step.")]
FillOption = Annotated[FillChoice, typer.Option(help="How to fill in features that are not sent.")]
NoiseOption = Annotated[
    NoiseChoice,
    typer.Option(help="Noise on the channel: `flips` of bits, `erasures` of packets, or `gaussian` noise on the bits."),
]
NoiseRateOption = Annotated[
    float,
    typer.Option(
        help=(
            "Probability that a bit flips or a packet is lost; of `gaussian`, the standard deviation on bits sent "
            "as +1 and -1."
        )
    ),
]
TaskOption = Annotated[str, typer.Option(help="The task; `racer task list` shows all.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of the task, as NAME=VALUE; may be repeated. `racer task show` lists them."),
]
ModelOption = Annotated[
    Path | None, typer.Option(help="Folder of a latent model from `racer model train`. Default: the task's.")
]
PaceOption = Annotated[float | None, typer.Option(help="Steps per second, 1 to 50. Default: the task's.")]
SeedOption = Annotated[int, typer.Option(callback=check_seed, help="Seed of trials, random masks and noise.")]
ChanceOption = Annotated[int, typer.Option(callback=check_seed, help="Seed of everything that is drawn at random.")]
MaskOption = Annotated[
    list[Path] | None, typer.Option(help="Mask file from `racer train`. May be given once per trained condition.")
]
FullscreenOption = Annotated[bool, typer.Option("--fullscreen", help="Start in full screen (F11 toggles it).")]
HeadlessOption = Annotated[
    bool, typer.Option("--headless", help="Run without a window, as fast as possible; for simulated drivers.")
]
JobsOption = Annotated[
    int | None, typer.Option(min=1, max=256, help="Number of processes. Default: one per processor.")
]
EngineOption = Annotated[EngineChoice, typer.Option(help="`ray` spreads the work over a Ray cluster.")]
AddressOption = Annotated[str | None, typer.Option(help="Address of the Ray cluster. Default: one on this machine.")]
DeviceOption = Annotated[Device, typer.Option(help="What networks run on; `auto` uses a GPU if there is one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@contextmanager
def chosen_engine(choice: EngineChoice, jobs: int | None, address: str | None) -> Iterator[Engine]:
    """Yield the engine that the work is spread over.

    Raises:
        ConfigError: If an address is given where there is no cluster, or Ray is not installed.
        RacerError: If the cluster cannot be reached.
    """
    import os

    from racer.engines import LocalEngine, RayEngine
    from racer.errors import ConfigError

    if address is not None and choice is not EngineChoice.ray:
        raise ConfigError("--address is that of a Ray cluster: add --engine ray, or leave it out")
    engine: Engine
    if choice is EngineChoice.ray:
        engine = RayEngine(address, jobs)
    else:
        engine = LocalEngine(jobs or min(os.cpu_count() or 1, 256))
    try:
        yield engine
    finally:
        engine.close()
