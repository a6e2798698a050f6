"""Builders for what looks at recordings again: real ones, done headless, and copies that say otherwise.

Besides car-racing there is `GREY_WALK`, a task of its own sizes, whose package this module stands in for.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from racing_builders import Replayer
from tiny_models import write_tiny_model

import sessions
from compression.model.sizes import Sizes
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.tasks import registry
from racer.tasks.task import Action, Metric, Outcome, TaskSpec, TaskText
from sessions import Episode, EpisodeInfo, SessionInfo, Step

STEPS = 12
CONDITIONS = ("random", "full", "raw")
GOLDEN = Path(__file__).parent / "recordings" / "data"
"""Recordings that `racer session start NAME --driver simulated --headless` of version 0.1.0 made, and stay as they are:

- pilot01: --practice 0 --calibration 2 --exploration 2 --steps 20
- eval01: --protocol evaluation --practice 1 --evaluation 1 --steps 10 --conditions raw,random,pico,full,pico-rate
- noisy01: as eval01, --practice 0 --conditions random,full --noise erasures --noise-rate 0.3
"""


def golden(participant: str, folder: Path) -> Path:
    """Lay the recording of version 0.1.0 of a participant, such as `pilot01`, into a folder, and return it."""
    (packed,) = GOLDEN.glob(f"{participant}_*.h5.gz")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / packed.name.removesuffix(".gz")
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path


def record(folder: Path, participant: str = "p01", steps: int = STEPS, **settings: Any) -> Path:
    """Do one short episode under each of `CONDITIONS`, simulated, and return the recording."""
    protocol = ProtocolConfig(
        protocol="evaluation", practice=0, evaluation=1, steps=steps, conditions=settings.pop("conditions", CONDITIONS)
    )
    given: dict[str, Any] = {"protocol": protocol, "driver": "simulated", "order": 0} | settings
    result = start_session(StartConfig(participant, headless=True, data=folder, **given))
    assert result.path is not None
    return result.path


def step_of(episode: Episode, row: int) -> Step:
    """Return a recorded row as the step that was appended."""
    values = {name: episode[name][row] for name in episode.columns}
    return Step(
        time_ns=int(values["time_ns"]),
        response_ns=int(values["response_ns"]),
        action=int(values["action"]),
        stimulus=int(values["stimulus"]),
        metrics={metric.name: float(values[metric.name]) for metric in episode.task.metrics},
        latent=values["latent"],
        received=values["received"],
        mask=values["mask"],
        packet=values["packet"].tobytes(),
        bits=int(values["bits"]),
        uplink_bits=int(values["uplink_bits"]),
        arrived=bool(values["arrived"]),
        stage_us=tuple(values["stage_us"].tolist()),
    )


def copy_recording(
    path: Path,
    folder: Path,
    session: Callable[[SessionInfo], SessionInfo] = lambda info: info,
    episode: Callable[[EpisodeInfo], EpisodeInfo] = lambda info: info,
    step: Callable[[Step], Step] = lambda step: step,
    end: str = "complete",
) -> Path:
    """Write a recording once more, with what it says of session, episodes and steps changed."""
    with sessions.open(path) as source, sessions.Recorder(folder, session(source.info)) as recorder:
        for recorded in source.episodes:
            recorder.begin_episode(episode(recorded.info))
            for row in range(recorded.n_steps):
                recorder.append(step(step_of(recorded, row)))
            recorder.end_episode(end)  # type: ignore[arg-type]
        return recorder.close("complete")


def other_progress(step: Step) -> Step:
    """Return a step that no game of today would lead to."""
    return replace(step, metrics={**step.metrics, "progress": step.metrics["progress"] + 0.5})


# A task of other sizes ------------------------------------------------------------------------------------------------

WALK_SIZES = Sizes(frame=(24, 32, 1), latents=12, blocks=4, actions=3, hidden=16, dense=16)
WALK_DRIVER = "footage_builders:walker"


@dataclass(frozen=True)
class GreyWalk:
    """Walk up and down a grey ramp: wide frames, a metric that is better the lower it is, and no model of its own."""

    ramp: int = 5

    @property
    def spec(self) -> TaskSpec:
        """Everything that Racer needs to know of it."""
        return TaskSpec(
            name="grey-walk",
            summary="walk on a grey ramp",
            frame=WALK_SIZES.frame,
            actions=(Action("rest"), Action("up", ("up",)), Action("down", ("down",))),
            metrics=(
                Metric("distance", "distance to the top", "m", "lower", low=0.0),
                Metric("resting", "whether nothing was done", "fraction", "higher", 0.0, 1.0, "mean", boolean=True),
            ),
            texts={"en": TaskText("Walk", ("Up: {up}, down: {down}.",))},
            neutral=0,
            software=("numpy",),
        )

    def start(self, seed: int) -> Ramp:
        """Begin a walk."""
        return Ramp(self.ramp, seed)


class Ramp:
    """A walk of `GreyWalk`, over at the top."""

    def __init__(self, ramp: int, seed: int) -> None:
        self._ramp, self._noise = ramp, np.random.default_rng(seed)
        self._height = 0.1 * (seed % 7)
        self._texture = self._noise.integers(0, 40, WALK_SIZES.frame, np.uint8)

    def frame(self) -> NDArray[np.uint8]:
        """Draw the ramp, the brighter the higher."""
        frame: NDArray[np.uint8] = self._texture + np.uint8(min(20 * self._height, 200))
        return frame

    def step(self, action: int) -> Outcome:
        """Walk."""
        self._height += (0.0, 0.4, -0.1)[action]
        distance = max(self._ramp - self._height, 0.0)
        return Outcome({"distance": distance, "resting": float(action == 0)}, over=distance == 0)

    def close(self) -> None:
        """Do nothing."""


def walker(seed: int) -> Replayer:
    """Return a driver of `GreyWalk`."""
    return Replayer([1, 0, 1, 2, 1])


@dataclass(frozen=True)
class Walk:
    """A recording of `GreyWalk`, under `CONDITIONS`."""

    path: Path
    model: Path
    """Folder of its latent model."""
    uninstall: Callable[[], None]
    """Takes the task's package away."""


@contextmanager
def grey_walk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Install `GreyWalk` for as long as this lasts; yield what uninstalls it."""
    point = EntryPoint("grey-walk", "footage_builders:GreyWalk", registry.GROUP)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "entry_points", lambda group: [point])
        registry.forget_installed()

        def uninstall() -> None:
            patch.setattr(registry, "entry_points", lambda group: [])
            registry.forget_installed()

        yield uninstall
    registry.forget_installed()


def walk_model(folder: Path) -> Path:
    """Write a latent model for `GreyWalk` into a folder and return the folder."""
    return write_tiny_model(folder, WALK_SIZES)
