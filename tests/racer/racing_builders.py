"""Builders for the tests of `racer`: recordings and masks on disk, a display that acts, a clock that obeys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

import sessions
from compression.coders.packet import CHANNEL_FORMAT
from compression.fitting.fitted import FittedRecord, dump_fitted
from compression.fitting.mask_policy import MaskNetwork
from compression.model.latent_model import LatentModel, load_model
from racer.loop.display import EndSession, EventListener, Hud, Page, RedoEpisode, Reply
from racer.sitting.questionnaires import Item
from racer.tasks.record import record_of
from racer.tasks.registry import make_task

CAR_RACING = make_task("car-racing")
LEFT, STRAIGHT, RIGHT = range(3)


def car_racing_model() -> LatentModel:
    """Return the latent model that comes with car-racing, whatever it is."""
    assert CAR_RACING.spec.model is not None
    return load_model(CAR_RACING.spec.model)


TASK = record_of(CAR_RACING, car_racing_model())
SESSION = sessions.SessionInfo(
    session_id="0a1b2c",
    participant="p01",
    protocol="pilot",
    study="",
    trial_run=False,
    config={"channel_format": CHANNEL_FORMAT},
    created_utc="2026-01-31T14:05:09Z",
    software={},
    model_sha256="ab" * 32,
    fitted_sha256="",
    driver="keyboard",
    task=TASK,
)
EPISODE = sessions.EpisodeInfo(
    phase="evaluation",
    condition="random",
    seed=7,
    bits_per_step=85,
    mask_interval="episode",
    fill="hold",
    packet_bytes=11,
    started_ns=5,
)
METRICS = {
    "progress": 0.0,
    "off_road": 0.0,
    "speed": 50.0,
    "reward": 0.0,
    "steer": 0.0,
    "gas": 0.5,
    "brake": 0.0,
}
STEP = sessions.Step(
    time_ns=0,
    response_ns=0,
    action=STRAIGHT,
    stimulus=7,
    metrics=METRICS,
    latent=np.zeros(TASK.latents, np.float32),
    received=np.zeros(TASK.latents, np.float32),
    mask=np.zeros(TASK.blocks, bool),
    packet=bytes(11),
    bits=85,
    uplink_bits=2,
    arrived=True,
    stage_us=(1, 2, 3, 4),
)


@dataclass(frozen=True)
class Drive:
    """One episode to write down."""

    info: sessions.EpisodeInfo
    steps: Sequence[sessions.Step]
    status: Literal["complete", "aborted"] = "complete"


def scored(condition: str, progress: float, off_road: Sequence[bool] = (False,), **changes: Any) -> Drive:
    """Return an evaluation episode that ends at this road progress, off the road in the steps marked."""
    sends = {"packet_bytes": 0, "bits_per_step": 0} if condition == "raw" else {}
    info = replace(EPISODE, condition=condition, **sends | changes)
    step = replace(STEP, packet=bytes(info.packet_bytes), bits=info.bits_per_step, stimulus=info.seed)
    steps = [
        replace(step, metrics=METRICS | {"progress": progress * (i + 1) / len(off_road), "off_road": float(off)})
        for i, off in enumerate(off_road)
    ]
    return Drive(info, steps)


def pilot_drives(
    rng: np.random.Generator, calibration: int = 2, exploration: int = 2, steps: int = 6, **exploring: Any
) -> list[Drive]:
    """Return calibration and exploration episodes of random latents; `exploring` changes the latter's info."""

    def random_step() -> sessions.Step:
        latent, received = rng.standard_normal((2, TASK.latents), dtype=np.float32)
        mask = rng.permutation(np.arange(TASK.blocks) < TASK.blocks // 2)
        action = int(rng.integers(len(TASK.actions)))
        return replace(STEP, action=action, latent=latent, received=received, mask=mask)

    def drive(info: sessions.EpisodeInfo) -> Drive:
        seeded = replace(info, seed=int(rng.integers(1_000_000)))
        return Drive(seeded, [replace(random_step(), stimulus=seeded.seed) for _ in range(steps)])

    full = replace(EPISODE, phase="calibration", condition="full")
    random = replace(EPISODE, phase="exploration", **exploring)
    return [drive(full) for _ in range(calibration)] + [drive(random) for _ in range(exploration)]


def write_session(
    folder: Path, drives: Iterable[Drive], status: Literal["complete", "aborted"] = "complete", **changes: Any
) -> Path:
    """Write a recording of `SESSION` with `changes` and return its path."""
    with sessions.Recorder(folder, replace(SESSION, **changes)) as recorder:
        for drive in drives:
            recorder.begin_episode(drive.info)
            for step in drive.steps:
                recorder.append(step)
            recorder.end_episode(drive.status)
        return recorder.close(status)


def write_mask(
    path: Path, model: LatentModel, objective: str = "pico", first: Sequence[int] = (), **changes: Any
) -> Path:
    """Write a mask file whose policy sends the blocks `first` and then those of the lowest numbers."""
    network = MaskNetwork(model.sizes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        list(network.parameters())[-1][list(first)] = 1.0
    record = FittedRecord(
        objective=objective,
        model_sha256=model.sha256,
        participants=("somebody_else",),
        sessions=("0a1b2c",),
        seeds=(7,),
        config={},
        interval="episode",
        fill="hold",
        task="car-racing",
    )
    path.write_bytes(dump_fitted(network.tensors(), replace(record, **changes)))
    return path


class Clock:
    """Monotonic nanoseconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class ScriptedDisplay:
    """A display without a screen that keeps what it was shown and leaves where it is told to."""

    leave_at_frame: int | None = None
    """Count of frames, over all episodes, at which whoever sits there ends the session."""
    leave_at_page: int | None = None
    pause_ns: int = 0
    """Length of the pause that each wait reports."""
    listener: EventListener | None = None
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    originals: list[NDArray[np.uint8] | None] = field(default_factory=list)
    huds: list[Hud] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    redo_at: dict[str, int] = field(default_factory=dict)
    """When the experimenter wants an episode again: `frame` or `ask`, and how many of them came before."""
    choice: int = 0
    """What is chosen wherever there is a choice."""
    replies: list[Reply] = field(default_factory=list)
    """To questions, in order; then 1, or no words."""
    asked: list[tuple[tuple[str, ...], str, tuple[str, ...], bool]] = field(default_factory=list)
    """Of each page asked: its items by id, its heading, what was answered before, whether there was a way back."""
    closed: bool = False

    def page(self, page: Page) -> None:
        """Keep the page, or leave."""
        if len(self.pages) == self.leave_at_page:
            raise EndSession
        self.pages.append(page)

    def choose(self, page: Page, choices: tuple[str, ...]) -> int:
        """Press a key, for the listener to hear, and choose."""
        self.page(page)
        if self.listener is not None:
            self.listener("key_down", "return", 0)
        return self.choice

    def ask(self, items: Sequence[Item], heading: str, answers: Sequence[str], back: bool) -> Reply:
        """Keep what was asked and give the next reply."""
        if self.redo_at.get("ask") == len(self.asked):
            del self.redo_at["ask"]
            raise RedoEpisode
        self.asked.append((tuple(item.id for item in items), heading, tuple(answers), back))
        if self.replies:
            return self.replies.pop(0)
        return Reply(tuple("1" if item.kind == "scale" else "" for item in items))

    def countdown(self, hud: Hud, frame: NDArray[np.uint8], original: NDArray[np.uint8] | None = None) -> None:
        """Go on at once."""

    def show(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> int:
        """Keep the frame, tell the listener of a key, and return the frame's number as the time."""
        self.frames.append(frame.copy())
        self.originals.append(None if original is None else original.copy())
        self.huds.append(hud)
        if self.listener is not None:
            self.listener("key_down", f"f{len(self.frames)}", len(self.frames))
        return len(self.frames)

    def wait(self, until_ns: int) -> int:
        """Leave, or report the pause."""
        if self.redo_at.get("frame") == len(self.frames):
            del self.redo_at["frame"]
            raise RedoEpisode
        if len(self.frames) == self.leave_at_frame:
            raise EndSession
        return self.pause_ns

    def await_answer(self, gone: NDArray[np.uint8] | None = None, gone_ns: int = 0) -> int:
        """Answer at once, as a wait that ends at once."""
        return self.wait(0)

    def close(self) -> None:
        """Note it."""
        self.closed = True


class Replayer:
    """A driver that takes the actions it is given, indices, over and over, and fails after so many steps if told to."""

    def __init__(self, actions: Sequence[int], fail_after: int | None = None) -> None:
        self._actions = actions
        self._fail_after = fail_after
        self.steps = 0
        self.resets = 0

    def reset(self) -> None:
        """Count the episodes."""
        self.resets += 1

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return the next action."""
        if self.steps == self._fail_after:
            raise RuntimeError("out of petrol")
        self.steps += 1
        return self._actions[(self.steps - 1) % len(self._actions)]
