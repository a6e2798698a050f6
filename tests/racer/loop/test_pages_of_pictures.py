"""Trials that are shown together: what crosses, what is recorded, and whom the page is shown to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from racing_builders import SESSION, Clock, ScriptedDisplay
from tiny_models import tiny_model
from tiny_tasks import LEVELS, Shades

import sessions
from compression.channel import Bypass, Channel
from compression.model.latent_model import LatentModel
from racer.drivers.keyboard import HeldKeys, KeyboardDriver
from racer.errors import ConfigError
from racer.loop.attended import EpisodeRun, Setup, Unrecorded
from racer.loop.batched import Job, simulate
from racer.loop.conditions import ChannelConfig, build_channel
from racer.loop.display import EndSession, Hud, PictureMark
from racer.loop.episode import Act, Acted, Decode, Encode, Row, block_seeds, episode
from racer.recordings.verification import verify_recordings
from racer.sitting.agenda import Drive
from racer.sitting.protocol import EpisodePlan
from racer.sitting.run import SittingResult, SittingRun, SittingSetup
from racer.tasks.record import record_of
from racer.tasks.registry import make_task
from racer.tasks.task import Action, Outcome, Task, TaskSpec
from racer.window.texts import english
from sessions import Step

MS = 1_000_000
SEED, ROWS = 40, 7


@dataclass(frozen=True)
class Pairs(Shades):
    """`Shades` under a question of two answers, several at a time."""

    page: int = 3

    @property
    def spec(self) -> TaskSpec:
        """As of `Shades`."""
        return replace(super().spec, actions=(Action("dark"), Action("bright")), page=self.page)


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    return tiny_model(tmp_path_factory.mktemp("levels"), LEVELS)


def channel_of(model: LatentModel, condition: str) -> Channel | Bypass:
    return build_channel(condition, ChannelConfig(bits=12), model, np.random.default_rng(5), None, lambda: 0)


def gone_through(task: Task, model: LatentModel, condition: str) -> tuple[list[Step], list[int]]:
    """Return the rows of a block, always answered alike, and how many pictures every answer was one of."""
    run = episode(task, SEED, ROWS, channel_of(model, condition), lambda: 0)
    rows, pages = [], []
    request: Any = next(run)
    while True:
        answer: Any = None
        if isinstance(request, Encode):
            answer = model.encode_frame(request.frame)
        elif isinstance(request, Decode):
            answer = model.decode_latent(request.latent)
        elif isinstance(request, Act):
            assert np.array_equal(request.page[0], request.shown) and request.metrics is None
            pages.append(len(request.page))
            answer = Acted(1, 0, 0)
        elif isinstance(request, Row):
            rows.append(request.step)
        try:
            request = run.send(answer)
        except StopIteration:
            return rows, pages


@pytest.mark.parametrize("condition", ["random", "random-step", "full", "raw", "jpeg"])
def test_pictures_shown_together_cross_as_they_do_one_by_one(condition: str, levels: LatentModel) -> None:
    alone, ones = gone_through(Pairs(1), levels, condition)
    together, pages = gone_through(Pairs(3), levels, condition)
    assert (ones, pages) == ([1] * ROWS, [3, 2, 1, 3, 2, 1, 1])
    for one, other in zip(alone, together, strict=True):
        assert (one.packet, one.bits, one.stimulus, one.metrics) == (
            *(other.packet, other.bits, other.stimulus, other.metrics),
        )
        assert np.array_equal(one.received, other.received) and np.array_equal(one.mask, other.mask)


@dataclass
class Marker(ScriptedDisplay):
    """A display in front of which somebody marks every other picture of a page, the later ones first."""

    clock: Clock = field(default_factory=Clock)
    pages: list[tuple[int, Hud]] = field(default_factory=list)
    leave_at_page: int | None = None

    def mark(self, frames: Sequence[NDArray[np.uint8]], hud: Hud) -> tuple[PictureMark, ...]:
        """Mark, or leave."""
        self.clock.now_ns += 5 * MS
        if len(self.pages) == self.leave_at_page:
            raise EndSession
        self.pages.append((len(frames), hud))
        shown = self.clock()
        self.clock.now_ns += 1000 * MS
        return tuple(PictureMark(n % 2 == 0, shown, shown + (900 - 100 * n) * MS) for n in range(len(frames)))


def sat(model: LatentModel, folder: Path, display: Marker, condition: str = "random") -> SittingResult:
    task = Pairs()
    setup = Setup(task, ChannelConfig(bits=12), model, {}, 3, task.spec.text("en"))
    sitting = SittingSetup((Drive(EpisodePlan(0, "evaluation", condition, SEED, ROWS), ""),), setup, english().texts)
    recorder = sessions.Recorder(folder, replace(SESSION, task=record_of(task, model)), clock=display.clock)
    keys = KeyboardDriver(HeldKeys(task.spec))
    return SittingRun(sitting, keys, display, recorder, clock=display.clock).run()


def test_a_page_is_recorded_as_a_row_for_each_picture(levels: LatentModel, tmp_path: Path) -> None:
    display = Marker()
    assert sat(levels, tmp_path, display).complete
    assert [count for count, _ in display.pages] == [3, 3, 1]
    assert [hud.count for _, hud in display.pages] == [(1, ROWS), (4, ROWS), (7, ROWS)]
    (path,) = sessions.find_recordings(tmp_path)
    with sessions.open(path) as session:
        (block,) = session.episodes
        assert block.stimulus.tolist() == block_seeds(SEED, ROWS)
        assert block.action.tolist() == [0, 1, 0, 0, 1, 0, 0]
        waits = np.round((block.response_ns - block.time_ns) / MS).astype(int)
        assert waits.tolist() == [900, 800, 700, 900, 800, 700, 900]
        assert set(block.bits.tolist()) == {12}
    (verified,) = verify_recordings([path], jobs=1).recordings
    assert [found.detail for found in verified.findings if found.outcome == "fail"] == []


def test_other_devices_hear_of_every_picture_of_a_page_and_see_pages_alternate(levels: LatentModel) -> None:
    task, display, told = Pairs(), Marker(), list[tuple[int, int]]()
    setup = Setup(task, ChannelConfig(bits=12), levels, {}, 3, task.spec.text("en"), photodiode=40)
    keys = KeyboardDriver(HeldKeys(task.spec))
    run = EpisodeRun(setup, keys, display, Unrecorded(), None, display.clock, lambda *shown: told.append(shown))
    run.run(EpisodePlan(0, "evaluation", "random", SEED, ROWS), "")
    assert [step for step, _ in told] == list(range(ROWS))
    assert [time for _, time in told] == sorted(time for _, time in told)
    assert [hud.photodiode for _, hud in display.pages] == [(40, True), (40, False), (40, True)]


def test_who_leaves_amid_a_page_leaves_the_pages_before_it(levels: LatentModel, tmp_path: Path) -> None:
    assert not sat(levels, tmp_path, Marker(leave_at_page=1)).complete
    (path,) = sessions.find_recordings(tmp_path)
    with sessions.open(path) as session:
        (block,) = session.episodes
        assert (block.status, block.n_steps) == ("aborted", 3)


def test_simulated_people_answer_alike_however_pictures_are_shown(levels: LatentModel) -> None:
    jobs = [
        Job("random", ChannelConfig(bits=12), Pairs(page), SEED, "tiny_tasks:onlooker_of_drift", 0, ROWS, 1)
        for page in (1, 4)
    ]
    jobs = [replace(job, driver=f"{__name__}:two_answers") for job in jobs]
    one, other = simulate(jobs, levels, {})
    assert one == other and one.steps == ROWS


def two_answers(seed: int) -> Any:
    """Return a driver of `Pairs`."""
    from tiny_tasks import Onlooker

    return Onlooker(2, seed)


def test_trials_that_go_on_cannot_be_shown_together(levels: LatentModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiny_tasks import Shade

    monkeypatch.setattr(Shade, "step", lambda self, action: Outcome({"correct": 1.0, "error": 0.0}, over=False))
    with pytest.raises(ConfigError, match="over after one step"):
        gone_through(Pairs(), levels, "raw")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"question": "digit", "page": 6}, "only under a question of two answers"),
        ({"question": "thickness", "page": 6, "seconds": 2.0}, "leave seconds out"),
        ({"question": "thickness", "page": 10}, "1 to 9 pictures can be shown together; got 10"),
        ({"question": "thickness", "page": 0}, "1 to 9"),
    ],
)
def test_pages_that_cannot_work_are_refused_in_a_line(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        make_task("digits", settings)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_page_says_what_is_marked(language: str) -> None:
    spec = make_task("faces", {"page": 6}).spec
    text = spec.text(language)
    assert text.actions["covered"] in text.hint and text.hint in [line.format(trials=3) for line in text.lines]
    assert not any(action.keys for action in spec.actions) and spec.fixation_seconds == 0
    assert make_task("faces").spec.text(language).hint == ""
