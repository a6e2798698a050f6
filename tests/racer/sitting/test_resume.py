from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from racing_builders import write_mask
from tiny_models import write_tiny_model

import sessions
from compression.model.latent_model import LatentModel
from compression.model.sizes import Sizes
from racer.loop.conditions import ChannelConfig
from racer.sitting.agenda import Screens
from racer.sitting.leases import Leases
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.questionnaires import Item, Questionnaire
from racer.sitting.resume import ResumeError
from racer.sitting.start import StartConfig, start_session
from racer.tasks.registry import make_task

STEPS = 6
PROTOCOL = ProtocolConfig("evaluation", practice=1, evaluation=2, steps=STEPS, conditions=("raw", "full"))
ASKED = Screens(after_condition=(Questionnaire("driving", (Item("control", "?"), Item("trust", "?"))),))
MORTAL = """
import os
from pathlib import Path

class Mortal:
    steps = 0
    def reset(self): pass
    def act(self, frame):
        self.steps += 1
        fate = Path("fate")
        if fate.exists() and self.steps == int(fate.read_text()):
            os.kill(os.getpid(), 9)
        return 1

def mortal(seed):
    return Mortal()
"""


@pytest.fixture(autouse=True)
def in_a_folder_with_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mortal_driver.py").write_text(MORTAL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mortal_driver", raising=False)


def config(participant: str | None = "p01", **changes: Any) -> StartConfig:
    settings = StartConfig(
        participant, PROTOCOL, driver="mortal_driver:mortal", headless=True, data=Path("data"), screens=ASKED
    )
    return replace(settings, **changes)


def killed(steps: int, sitting: str = "config()") -> Path:
    """Have a process record a sitting and be killed in a step, counted from 1; return what it leaves.

    Args:
        steps: Which step.
        sitting: Source of the configuration, in the words of this module.
    """
    before = set(sessions.find_recordings(Path("data")))
    Path("fate").write_text(str(steps))
    here = Path(__file__).parent
    code = f"from {Path(__file__).stem} import *; start_session({sitting})"
    path = os.pathsep.join(map(str, (here.parents[2], here.parents[1], here.parent, here, Path.cwd())))
    result = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert result.returncode == -9, result.stderr
    Path("fate").unlink()
    (left,) = set(sessions.find_recordings(Path("data"))) - before
    assert left.name.endswith(".h5.partial")
    return left


def plan(path: Path) -> list[tuple[str, str, int]]:
    with sessions.open(path) as session:
        return [
            (episode.info.phase, episode.info.condition, episode.info.seed)
            for episode in session.episodes
            if episode.accepted
        ]


@pytest.mark.parametrize("episodes", [0, 1, 4])
def test_a_killed_sitting_goes_on_with_the_next_episode_of_the_same_plan(episodes: int) -> None:
    left = killed(episodes * STEPS + 3)
    result = start_session(config(resume=True))
    assert result.complete and result.path is not None
    whole = start_session(config("p01", data=Path("elsewhere")))
    assert whole.path is not None
    assert plan(left) + plan(result.path) == plan(whole.path)
    assert len(plan(left)) == episodes
    with sessions.open(left) as begun, sessions.open(result.path) as resumed:
        assert resumed.info.resumes == begun.info.session_id
        assert resumed.info.participant == "p01"
        assert resumed.info.config["order"] == begun.info.config["order"]
        items = [answer.item for answer in (*begun.answers(), *resumed.answers())]
        assert sorted(items) == sorted(set(items)), "a question was asked twice"
    with sessions.open(whole.path) as session:
        assert sorted(items) == sorted(answer.item for answer in session.answers())


def test_what_was_recorded_before_is_not_touched() -> None:
    left = killed(2 * STEPS)
    before = left.read_bytes()
    start_session(config(resume=True))
    assert left.read_bytes() == before


def test_a_sitting_can_be_resumed_again_and_again_and_is_one_sitting() -> None:
    killed(STEPS + 2)
    killed(STEPS + 4, "config(resume=True)")
    result = start_session(config(None, resume=True))
    assert result.complete
    (sitting,), unusable = sessions.find_sittings(sessions.find_recordings(Path("data")))
    assert (len(sitting.paths), sitting.status, unusable) == (3, "complete", {})
    assert sum(len(plan(path)) for path in sitting.paths) == 5


def test_without_a_name_the_latest_unfinished_sitting_goes_on() -> None:
    killed(2)
    killed(STEPS + 2, "config('p02')")
    result = start_session(config(None, resume=True))
    assert result.path is not None
    assert result.path.name.startswith("p02_")


CHANGES: dict[str, tuple[Callable[[StartConfig], StartConfig], str]] = {
    "steps": (lambda c: replace(c, protocol=replace(PROTOCOL, steps=7)), "protocol, steps (6 then, 7 now)"),
    "bits": (lambda c: replace(c, channel=ChannelConfig(bits=60)), "channel, bits (85 then, 60 now)"),
    "speed": (
        lambda c: replace(c, task=make_task("car-racing", {"speed": 40.0})),
        "it differs in task, settings, speed (50.0 then, 40.0 now)",
    ),
    "seed": (lambda c: replace(c, seed=9), "it differs in seed (0 then, 9 now)"),
    "pace": (lambda c: replace(c, pace=20.0), "it differs in pace"),
    "driver": (lambda c: replace(c, driver="simulated"), "it differs in driver"),
    "keys": (lambda c: replace(c, keys={"left": ("j",)}), "it differs in keys, left"),
    "trial": (lambda c: replace(c, trial_run=True), "trial run"),
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("begun")
    (folder / "mortal_driver.py").write_text(MORTAL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        killed(STEPS + 3)
    return folder / "data"


@pytest.mark.parametrize("name", CHANGES)
def test_other_settings_than_it_was_begun_with_are_refused_with_what_differs(name: str, begun: Path) -> None:
    change, told = CHANGES[name]
    before = sorted(begun.iterdir())
    with pytest.raises(ResumeError) as refusal:
        start_session(change(config(resume=True, data=begun)))
    assert told in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert sorted(path for path in begun.iterdir() if path.name != ".leases") == [
        path for path in before if path.name != ".leases"
    ]


def test_another_version_of_racer_is_refused(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("racer.sitting.resume.__version__", "99.0")
    with pytest.raises(ResumeError, match=r"begun with Racer .* and this is 99\.0"):
        start_session(config(resume=True, data=begun))


def test_another_latent_model_is_refused(begun: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", Sizes((64, 64, 3), 32, 8, 3, hidden=8, dense=16))
    with pytest.raises(ResumeError, match="begun with other weights"):
        start_session(config(resume=True, data=begun, model=other))


def test_another_mask_is_refused(model: LatentModel) -> None:
    protocol = replace(PROTOCOL, conditions=("random", "pico"))
    first, second = (write_mask(Path(name), model, first=blocks) for name, blocks in (("a", (0,)), ("b", (3,))))
    killed(STEPS + 2, "config(protocol=replace(PROTOCOL, conditions=('random', 'pico')), masks=(Path('a'),))")
    with pytest.raises(ResumeError, match="another mask file"):
        start_session(config(resume=True, protocol=protocol, masks=(second,)))
    assert start_session(config(resume=True, protocol=protocol, masks=(first,))).complete


def test_there_has_to_be_an_unfinished_session() -> None:
    with pytest.raises(ResumeError, match="no unfinished evaluation session of p01 in data"):
        start_session(config(resume=True))
    assert start_session(config()).complete
    with pytest.raises(ResumeError, match="no unfinished evaluation session in data"):
        start_session(config(None, resume=True))


def test_a_session_that_still_runs_is_not_continued() -> None:
    left = killed(STEPS)
    with sessions.open(left) as session:
        running = session.info.session_id
    leased = Leases(Path("data")).lease(running, "p01", "evaluation", 2)
    with leased, pytest.raises(ResumeError, match="still running"):
        start_session(config(resume=True))
    assert start_session(config(resume=True)).complete


def test_a_trial_run_that_ended_early_does_not_hide_the_sitting_that_waits() -> None:
    killed(STEPS + 3)
    killed(STEPS, "config('p02', trial_run=True)")
    result = start_session(config(None, resume=True))
    assert result.path is not None and result.path.name.startswith("p01_")
    resumed = start_session(config(None, resume=True, trial_run=True))
    assert resumed.path is not None and resumed.path.name.startswith("p02_")


def test_a_sitting_that_runs_on_another_desk_does_not_hide_the_one_that_waits() -> None:
    killed(STEPS + 3)
    with sessions.open(killed(STEPS, "config('p02')")) as session:
        running = session.info.session_id
    with Leases(Path("data")).lease(running, "p02", "evaluation", 2):
        result = start_session(config(None, resume=True))
    assert result.path is not None and result.path.name.startswith("p01_")


def test_a_killed_sittings_order_is_given_to_the_next_until_it_goes_on() -> None:
    killed(STEPS)
    second = start_session(config("p02"))
    third = start_session(config("p03"))
    orders = []
    for result in (second, third):
        assert result.path is not None
        with sessions.open(result.path) as session:
            orders.append(session.info.config["order"])
    assert orders == [0, 1]
