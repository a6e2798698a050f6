from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from footage_builders import Walk, copy_recording, golden, other_progress, record
from racing_builders import CAR_RACING

import sessions
from compression.model.latent_model import LatentModel
from racer.recordings import rerun
from racer.recordings.footage import Footage, FootageError
from racer.recordings.models import NotHereError, find_model, find_task
from racer.recordings.rerun import Rerun, RerunError, rerun_episode
from racer.tasks.gymnasium import env_spec
from racer.tasks.registry import make_task, task_settings
from racer.tasks.task import Action, Metric, Outcome, Task, TaskSpec, TaskText
from sessions import EpisodeInfo, Session


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recordings"))


@pytest.fixture
def session(recording: Path) -> Iterator[Session]:
    with sessions.open(recording) as opened:
        yield opened


def test_the_frames_are_those_that_were_encoded_in_the_session(session: Session, model: LatentModel) -> None:
    for episode in session.episodes:
        with closing(Rerun(session.info, episode)) as again:
            for step, latent in enumerate(episode.latent):
                assert np.array_equal(model.encode_frame(again.frame(step)), latent)


@pytest.mark.parametrize("participant", ["pilot01", "eval01", "noisy01"])
def test_the_frames_of_version_0_1_0_are_those_that_were_encoded_then(
    participant: str, tmp_path: Path, model: LatentModel
) -> None:
    with sessions.open(golden(participant, tmp_path)) as session:
        assert session.schema_version == 1
        for episode in session.episodes:
            with closing(Rerun(session.info, episode)) as again:
                for step in (0, episode.n_steps - 1):
                    assert np.allclose(model.encode_frame(again.frame(step)), episode.latent[step], atol=1e-4)


def test_frames_are_the_same_in_any_order_and_however_few_are_kept(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerun, "_KEPT_BYTES", 3 * 64 * 64 * 3)
    monkeypatch.setattr(rerun, "_DRAWN_BEFORE", 2)
    episode = session.episodes[0]
    with closing(CAR_RACING.start(episode.info.seed)) as trial:
        expected = [trial.frame()]
        for action in episode.action.tolist():
            trial.step(action)
            expected.append(trial.frame())
    order = np.random.default_rng(0).integers(episode.n_steps + 1, size=40).tolist()
    with closing(Rerun(session.info, episode)) as again:
        for step in [episode.n_steps, episode.n_steps - 1, 0, *order]:
            assert np.array_equal(again.frame(step), expected[step])


def test_going_back_step_by_step_begins_anew_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    episode = session.episodes[0]
    begun: list[int] = []

    @dataclass(frozen=True)
    class Counted:
        task: Task

        @property
        def spec(self) -> TaskSpec:
            return self.task.spec

        def start(self, seed: int) -> Any:
            begun.append(seed)
            return self.task.start(seed)

    monkeypatch.setattr(rerun, "find_task", lambda info, place: Counted(find_task(info, place)))
    with closing(Rerun(session.info, episode)) as again:
        again.frame(episode.n_steps)
        before = len(begun)
        for step in range(episode.n_steps - 1, -1, -1):
            again.frame(step)
    assert len(begun) == before + 1


def test_an_episode_that_goes_otherwise_is_refused(recording: Path, tmp_path: Path) -> None:
    path = copy_recording(recording, tmp_path, step=other_progress)
    with sessions.open(path) as session, pytest.raises(RerunError, match=r"goes differently.*progress at step 0"):
        Rerun(session.info, session.episodes[0])


@pytest.mark.parametrize("metric", [metric.name for metric in CAR_RACING.spec.metrics])
def test_every_metric_is_compared_to_the_last_digit(metric: str, session: Session) -> None:
    episode = session.episodes[1]
    columns = {name: episode[name] for name in episode.columns}
    flat = columns[metric].view(np.uint8)
    flat[-columns[metric].itemsize] ^= 1  # of the last number, the least bit
    again = rerun_episode(CAR_RACING, episode.info, columns)
    assert again.difference == f"{metric} at step {episode.n_steps - 1} does not follow from seed and actions"
    assert rerun_episode(CAR_RACING, episode.info, episode).difference == ""


@pytest.mark.parametrize(
    "settings",
    [{"handling": "odd"}, {"handling": ["stock"]}, {"skip_zoom": 1}, {"wings": 2}]
    + [{"speed": speed} for speed in (None, -1, [])],
)
def test_settings_that_the_task_cannot_have_are_refused(settings: dict[str, Any], session: Session) -> None:
    with pytest.raises(NotHereError) as error:
        find_task(replace(session.info, task=replace(session.info.task, settings=settings)))
    assert "\n" not in str(error.value)


def test_the_settings_of_a_session_come_back(tmp_path: Path) -> None:
    task = make_task("car-racing", {"handling": "forgiving", "speed": 61.0, "skip_zoom": False})
    with sessions.open(record(tmp_path, steps=3, task=task, conditions=("raw",))) as session:
        assert task_settings(find_task(session.info)) == task_settings(task)
        Rerun(session.info, session.episodes[0]).close()


def test_footage_shows_what_was_received_beside_the_original(session: Session, model: LatentModel) -> None:
    for episode in session.episodes:
        with Footage(session, episode) as footage, closing(Rerun(session.info, episode)) as again:
            assert footage.without_original == ""
            for step in (0, episode.n_steps - 1):
                view = footage.view(step)
                raw = episode.info.condition == "raw"
                shown = again.frame(step) if raw else model.decode_latent(episode.received[step])
                assert np.array_equal(view.shown, shown)
                assert view.original is not None
                assert np.array_equal(view.original, again.frame(step))
                assert (view.actions, view.action) == (("left", "straight", "right"), episode.action[step])
                assert view.score == episode["progress"][step]
                assert f"{episode.bits[step]} bits" in view.facts
                assert f"road progress {100 * episode['progress'][step]:.1f} %" in view.facts


def test_footage_of_another_task_has_its_frames_actions_and_metric(walk: Walk) -> None:
    with sessions.open(walk.path) as session:
        with Footage(session, session.episodes[0], walk.model) as footage:
            view = footage.view(3)
        assert view.original is not None
        assert view.original.shape == view.shown.shape == (24, 32, 1)
        assert view.actions == ("rest", "up", "down")
        assert view.score is None, "nobody knows how far it can get"
        assert f"distance {session.episodes[0]['distance'][3]:.4g} m" in view.facts


def test_footage_leaves_out_an_original_that_would_be_wrong(recording: Path, tmp_path: Path) -> None:
    with sessions.open(copy_recording(recording, tmp_path, step=other_progress)) as session:
        conditions = [episode.info.condition for episode in session.episodes]
        for condition, episode in zip(conditions, session.episodes, strict=True):
            if condition == "raw":
                with pytest.raises(FootageError, match="cannot be drawn"):
                    Footage(session, episode)
                continue
            with Footage(session, episode) as footage:
                assert "goes differently" in footage.without_original
                assert footage.view(0).original is None


def test_footage_recorded_with_other_weights_is_refused(recording: Path, tmp_path: Path) -> None:
    path = copy_recording(recording, tmp_path, session=lambda info: replace(info, model_sha256="ab" * 32))
    with sessions.open(path) as session, pytest.raises(FootageError, match=r"other weights .*--model"):
        Footage(session, session.episodes[0])


def test_a_model_of_other_sizes_than_the_recording_is_refused(session: Session) -> None:
    info = replace(session.info, task=replace(session.info.task, blocks=4))
    with pytest.raises(NotHereError, match="sizes"):
        find_model(info)


def test_a_task_that_is_not_installed_is_named_with_what_to_do(walk: Walk) -> None:
    walk.uninstall()
    with sessions.open(walk.path) as session:
        for episode in session.episodes:
            with pytest.raises(FootageError, match="task grey-walk is not installed: install the package"):
                Footage(session, episode)
        with Footage(session, session.episodes[0], walk.model) as footage:
            assert footage.shown(0).shape == (24, 32, 1)
            assert "not installed" in footage.without_original


def test_the_environment_repeats_a_recorded_episode(session: Session) -> None:
    episode = session.episodes[0]
    environment = gymnasium.make(env_spec(find_task(session.info)))
    with closing(Rerun(session.info, episode)) as again:
        frame, _ = environment.reset(seed=episode.info.seed)
        for step, action in enumerate(episode.action.tolist()):
            assert np.array_equal(frame, again.frame(step))
            frame, reward, terminated, truncated, info = environment.step(action)
            assert np.float32(reward) == episode["reward"][step]
            assert np.float32(info["progress"]) == episode["progress"][step]
            assert not (terminated or truncated)
        assert np.array_equal(frame, again.frame(episode.n_steps))
    environment.close()


# Blocks of trials -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asking:
    """Waits for answers: which of two is larger. A trial takes one step, or two after the answer `again`."""

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(
            name="asking",
            summary="compare",
            frame=(8, 8, 1),
            actions=(Action("first", ("a",)), Action("second", ("b",)), Action("again", ("c",))),
            metrics=(Metric("correct", "whether it was right", "fraction", "higher", 0.0, 1.0, boolean=True),),
            texts={"en": TaskText("Compare", ("Press {first} or {second}.",))},
            paced=False,
        )

    def start(self, seed: int) -> Question:
        return Question(seed)


class Question:
    def __init__(self, seed: int) -> None:
        self.seed, self.asked = seed, 0

    def frame(self) -> Any:
        return np.full((8, 8, 1), self.seed + 100 * self.asked, np.uint8)

    def step(self, action: int) -> Outcome:
        self.asked += 1
        return Outcome({"correct": float(action == self.seed % 2)}, over=action != 2)

    def close(self) -> None:
        pass


BLOCK = EpisodeInfo("evaluation", "raw", 5, 0, "episode", "hold", 0, 0)


def block(actions: list[int], seeds: list[int], correct: list[bool]) -> dict[str, Any]:
    return {"action": np.array(actions, np.uint8), "stimulus": np.array(seeds), "correct": np.array(correct)}


def test_a_block_of_trials_is_done_again_trial_by_trial() -> None:
    columns = block([1, 2, 0, 0], [5, 6, 6, 7], [True, False, True, False])
    again = rerun_episode(Asking(), BLOCK, columns)
    assert (again.difference, again.over) == ("", True)
    columns["correct"][2] = False
    assert rerun_episode(Asking(), BLOCK, columns).difference.startswith("correct at step 2")


@pytest.mark.parametrize(
    ("actions", "seeds", "told"),
    [
        ([1, 0], [6, 7], "stimulus"),
        ([2, 0], [5, 6], "stimulus changes at step 1 within a trial"),
        ([1, 0], [5, -1], "stimulus"),
        ([1, 0], [5, 2**40], "stimulus"),
        ([1, 3], [5, 6], "actions that the task does not have"),
    ],
)
def test_trials_that_cannot_have_been_are_found(actions: list[int], seeds: list[int], told: str) -> None:
    assert told in rerun_episode(Asking(), BLOCK, block(actions, seeds, [False] * 2)).difference
