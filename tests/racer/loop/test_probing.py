from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from racing_builders import CAR_RACING, SESSION, Clock, ScriptedDisplay
from tiny_models import GREY, tiny_model
from tiny_tasks import Drift, Shades

import sessions
from compression.model.latent_model import LatentModel
from racer.drivers.driver import DriverError
from racer.drivers.keyboard import HeldKeys, KeyboardDriver
from racer.errors import ConfigError
from racer.loop.attended import EpisodeRun, Setup, Unrecorded
from racer.loop.conditions import ChannelConfig
from racer.loop.display import Hud
from racer.loop.pacing import Pacer
from racer.loop.probing import PROBE, PROBE_SECONDS, Probe, draw_probes, read_probe
from racer.report.study import report_study
from racer.report.wording import probe_lines
from racer.sitting.protocol import EpisodePlan, ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.tasks.record import record_of

ACTIONS = ("left", "straight", "right")
PLAN = EpisodePlan(0, "evaluation", "random", 8, 12)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32))
def test_a_round_stops_as_often_as_asked_each_time_after_an_action(count: int, more: int, seed: int) -> None:
    found = draw_probes(count, count + more, np.random.default_rng(seed))
    assert len(found) == count and all(1 <= step < count + more for step in found)


def test_chance_decides_what_is_shown() -> None:
    found = [each for seed in range(200) for each in draw_probes(4, 100, np.random.default_rng(seed)).values()]
    assert 0.4 < np.mean(found) < 0.6


@given(st.integers(1, 1000), st.booleans(), st.integers(0, 2))
def test_what_is_recorded_is_read_again(step: int, original: bool, action: int) -> None:
    probe = Probe(step, original, action)
    assert read_probe(step, probe.detail(ACTIONS), ACTIONS) == probe


@pytest.mark.parametrize(
    ("step", "detail"), [(3, "original"), (3, "both left"), (3, "shown up"), (3, ""), (0, "shown left")]
)
def test_what_cannot_be_an_answer_is_none(step: int, detail: str) -> None:
    assert read_probe(step, detail, ACTIONS) is None


class Asking(ScriptedDisplay):
    """A display with a clock, in front of which somebody holds a key whenever a question mark is seen."""

    def __init__(self, keys: HeldKeys) -> None:
        super().__init__()
        self.clock = Clock()
        self._keys = keys
        self.counted = 0

    def show(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> int:
        """Show the frame, which takes no time."""
        super().show(frame, hud, original)
        (self._keys.press if hud.mark == "?" else self._keys.release)("left")
        return self.clock()

    def wait(self, until_ns: int) -> int:
        """Let the time come."""
        self.clock.now_ns = max(self.clock(), until_ns)
        return 0

    def countdown(self, hud: Hud, frame: NDArray[np.uint8], original: NDArray[np.uint8] | None = None) -> None:
        """Take three seconds."""
        self.counted += 1
        self.clock.now_ns += 3 * 10**9


def sat(model: LatentModel, folder: Path, probes: int, plan: EpisodePlan = PLAN) -> tuple[Asking, sessions.Session]:
    """Let somebody do a round, and return what was recorded."""
    keys = HeldKeys(CAR_RACING.spec)
    display = Asking(keys)
    setup = Setup(CAR_RACING, ChannelConfig(), model, {}, 3, CAR_RACING.spec.text("en"), probes=probes)
    recorder = sessions.Recorder(folder, replace(SESSION, task=record_of(CAR_RACING, model)), clock=display.clock)
    with recorder:
        pacer = Pacer(10.0, display.clock)
        EpisodeRun(setup, KeyboardDriver(keys), display, recorder, pacer, display.clock).run(plan, "")  # type: ignore[arg-type]
        return display, sessions.open(recorder.close("complete"))


def test_the_game_stops_asks_and_goes_on_as_if_nothing_had_been(model: LatentModel, tmp_path: Path) -> None:
    display, asked = sat(model, tmp_path / "asked", 3)
    _, left = sat(model, tmp_path / "left", 0)
    steps = sorted(draw_probes(3, 12, np.random.default_rng([3, 0, 1])).items())
    with asked, left:
        told = [event for event in asked.events() if event.kind == PROBE]
        names = {True: "original", False: "shown"}
        assert [(event.step, event.detail) for event in told] == [(at, f"{names[kind]} left") for at, kind in steps]
        kinds = [event.kind for event in asked.events() if event.detail == PROBE or event.kind == PROBE]
        assert kinds == ["pause", PROBE, "resume"] * 3
        (one,), (other,) = asked.episodes, left.episodes
        for name in ("action", "mask", "packet", "received"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        # A step takes what it always takes, but for the question and the countdown after it.
        longer = np.diff(one.time_ns) - np.diff(other.time_ns)
        assert [int(each) for each in np.flatnonzero(longer) + 1] == [at for at, _ in steps]
        assert set(longer[longer > 0].tolist()) == {round((PROBE_SECONDS + 3) * 1e9)}
    assert display.counted == 1 + 3
    questions = [number for number, hud in enumerate(display.huds) if hud.mark == "?"]
    for number, (_, original) in zip(questions, steps, strict=True):
        # What is due comes next; the question showed it, or the original, which looks otherwise.
        assert np.array_equal(display.frames[number], display.frames[number + 1]) != original


@pytest.mark.parametrize("phase", ["practice", "calibration", "exploration"])
def test_only_rounds_of_the_evaluation_stop(model: LatentModel, tmp_path: Path, phase: str) -> None:
    display, recorded = sat(model, tmp_path, 3, replace(PLAN, phase=phase, condition="full", steps=4))
    recorded.close()
    assert display.counted == 1 and not any(hud.mark for hud in display.huds)


def test_a_round_must_have_more_steps_than_questions() -> None:
    with pytest.raises(ConfigError, match="a round of 3 steps stops fewer than 3 times; got 3"):
        ProtocolConfig("evaluation", steps=3, probes=3)


def test_a_task_that_waits_for_answers_is_stopped_by_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shades waits for every answer, so nothing stops it: leave probes out"):
        StartConfig("p01", ProtocolConfig("evaluation", probes=1), Shades(), data=tmp_path)


def test_a_driver_that_cannot_be_copied_is_told_of(tmp_path: Path) -> None:
    class Whole:
        def __deepcopy__(self, memo: object) -> Whole:
            raise TypeError("there is one of me")

        def reset(self) -> None: ...

        def act(self, frame: NDArray[np.uint8]) -> int:
            return 0

    task, model = Drift(), tiny_model(tmp_path, GREY)
    setup = Setup(task, ChannelConfig(bits=30), model, {}, 3, task.spec.text("en"), probes=1)
    display = Asking(HeldKeys(CAR_RACING.spec))
    with pytest.raises(DriverError, match="cannot be copied, which probes take"):
        EpisodeRun(setup, Whole(), display, Unrecorded(), None, display.clock).run(PLAN, "")


def test_a_report_compares_the_answers_to_originals_with_those_to_what_arrived(tmp_path: Path) -> None:
    for number in ("p01", "p02"):
        protocol = ProtocolConfig("evaluation", 0, evaluation=1, steps=10, conditions=("raw", "random"), probes=9)
        start_session(StartConfig(number, protocol, driver="simulated", data=tmp_path, headless=True))
    found = report_study(tmp_path).probed
    assert [each.condition for each in found] == ["random", "raw"] or [each.condition for each in found] == [
        "raw",
        "random",
    ]
    (raw,) = (each for each in found if each.condition == "raw")
    assert (raw.participants, raw.answers) == (2, 18) and raw.difference is not None
    assert 0 <= raw.arrived <= 1 and raw.difference.mean == pytest.approx(raw.original - raw.arrived)
    (line,) = (line for line in probe_lines(found) if line.startswith("raw"))
    assert line.startswith("raw: of 18 probes, ") and line.endswith("(2 participants)")
