from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from racing_builders import CAR_RACING, LEFT, RIGHT, SESSION, STRAIGHT, Clock, Replayer, ScriptedDisplay, write_mask

import sessions
from compression.coders.blocks import BlockReceiver, full_layout
from compression.coders.packet import layout_for
from compression.fill import FillName
from compression.fitting.fitted import load_fitted
from compression.masks import MaskInterval
from compression.model.latent_model import LatentModel
from racer.drivers.driver import Driver
from racer.loop.attended import EpisodeResult, Setup, Unrecorded
from racer.loop.conditions import ChannelConfig
from racer.loop.display import EndSession, NoDisplay, Page, Reply
from racer.loop.pacing import Pacer
from racer.sitting.agenda import AgendaItem, Asking, Consent, Drive, heading
from racer.sitting.protocol import EpisodePlan
from racer.sitting.questionnaires import Item, Questionnaire
from racer.sitting.run import SittingResult, SittingRun, SittingSetup
from racer.tasks.registry import make_task
from racer.window.texts import english

TEXTS = english().texts
STEPS = 8
PLAN = [
    EpisodePlan(0, "practice", "full", 11, STEPS),
    EpisodePlan(1, "evaluation", "random", 12, STEPS),
    EpisodePlan(2, "evaluation", "pico", 12, STEPS),
    EpisodePlan(3, "evaluation", "raw", 13, STEPS),
]
ACTIONS = [STRAIGHT, RIGHT, RIGHT, LEFT, STRAIGHT, LEFT, RIGHT]
"""Seven, so that every episode of eight steps steers differently."""


@pytest.fixture
def sitting(tmp_path: Path, model: LatentModel) -> SittingSetup:
    mask = load_fitted(write_mask(tmp_path / "mask", model, first=(0, 2, 5, 6)), model)
    setup = Setup(CAR_RACING, ChannelConfig(), model, {"pico": mask}, seed=3, text=CAR_RACING.spec.text("en"))
    return SittingSetup(drives(PLAN), setup, TEXTS, respondent=np.random.default_rng(0))


def drives(plans: Sequence[EpisodePlan]) -> tuple[AgendaItem, ...]:
    return tuple(Drive(plan, heading(plans, plan, TEXTS)) for plan in plans)


def changed(sitting: SittingSetup, **changes: Any) -> SittingSetup:
    """Return the sitting with another setup."""
    return replace(sitting, setup=replace(sitting.setup, **changes))


def run(
    sitting: SittingSetup, folder: Path, driver: Driver | None = None, display: Any = None, **others: Any
) -> SittingResult:
    recorder = sessions.Recorder(folder, SESSION)
    driver, display = driver or Replayer(ACTIONS), display or ScriptedDisplay()
    return SittingRun(sitting, driver, display, recorder, **others).run()


def recorded(folder: Path) -> sessions.Session:
    (path,) = sessions.find_recordings(folder)
    assert path.suffix == ".h5"
    return sessions.open(path)


@pytest.mark.parametrize(("interval", "fill"), [("episode", "hold"), ("step", "prior"), ("step", "predict")])
def test_whoever_has_packets_actions_and_weights_recomputes_every_frame_shown(
    interval: MaskInterval, fill: FillName, sitting: SittingSetup, tmp_path: Path
) -> None:
    display = ScriptedDisplay()
    run(changed(sitting, channel=ChannelConfig(mask_interval=interval, fill=fill)), tmp_path / "data", None, display)
    shown = iter(display.frames)
    with recorded(tmp_path / "data") as session:
        assert session.status == "complete"
        assert [episode.info.condition for episode in session.episodes] == ["full", "random", "pico", "raw"]
        for episode in session.episodes:
            assert (episode.info.mask_interval, episode.info.fill) == (interval, fill)
            assert episode.latent.shape == episode.received.shape == (STEPS, 32)
            if episode.info.condition == "raw":
                continue
            sizes = sitting.setup.model.sizes
            layout = full_layout(sizes) if episode.info.condition == "full" else layout_for(85, sizes)
            receiver = BlockReceiver(sitting.setup.model, layout, fill)
            before = [STRAIGHT, *episode.action[:-1].tolist()]
            masks = set()
            for row, (packet, action) in enumerate(zip(episode.packet, before, strict=True)):
                latent = receiver.receive(packet.tobytes(), action)
                assert np.array_equal(latent, episode.received[row])
                assert np.array_equal(receiver.mask, episode.mask[row])
                assert np.array_equal(sitting.setup.model.decode_latent(latent), next(shown))
                masks.add(episode.mask[row].tobytes())
            assert interval == "step" or len(masks) == 1


def test_no_step_sends_more_than_its_slot_and_full_takes_two(sitting: SittingSetup, tmp_path: Path) -> None:
    run(sitting, tmp_path / "data")
    charged = {}
    with recorded(tmp_path / "data") as session:
        for episode in session.episodes:
            packets = [packet.tobytes() for packet in episode.packet]
            charged[episode.info.condition] = (set(episode.bits.tolist()), episode.info.bits_per_step)
            slots = [packet[start : start + 11] for packet in packets for start in range(0, len(packet), 11)]
            assert all(int.from_bytes(slot, "big") < 2**85 for slot in slots)
            assert len(slots) == STEPS * {"full": 2, "raw": 0}.get(episode.info.condition, 1)
    assert charged == {"full": ({170}, 170), "random": ({85}, 85), "pico": ({85}, 85), "raw": ({0}, 0)}


def test_row_t_holds_the_frame_shown_at_t_the_action_on_it_and_every_metric_after_it(
    sitting: SittingSetup, tmp_path: Path
) -> None:
    run(sitting, tmp_path / "data")
    with recorded(tmp_path / "data") as session:
        for number, episode in enumerate(session.episodes):
            expected = [ACTIONS[(number * STEPS + step) % len(ACTIONS)] for step in range(STEPS)]
            assert episode.action.tolist() == expected
            assert set(episode.stimulus.tolist()) == {episode.info.seed}
            trial = sitting.setup.task.start(episode.info.seed)
            for row, action in enumerate(expected):
                assert np.array_equal(sitting.setup.model.encode_frame(trial.frame()), episode.latent[row])
                for name, value in trial.step(action).metrics.items():
                    assert episode[name].dtype.type(value) == episode[name][row], name


def test_raw_shows_the_original_and_beside_shows_it_always(sitting: SittingSetup, tmp_path: Path) -> None:
    display = ScriptedDisplay()
    run(changed(sitting, beside=True), tmp_path / "beside", None, display)
    for plan, first in zip(PLAN, range(0, len(display.frames), STEPS), strict=True):
        original = CAR_RACING.start(plan.seed).frame()
        assert np.array_equal(display.originals[first], original)
        assert np.array_equal(display.frames[first], original) == (plan.condition == "raw")
    alone = ScriptedDisplay()
    run(sitting, tmp_path / "alone", None, alone)
    assert alone.originals == [None] * len(PLAN) * STEPS
    assert all(map(np.array_equal, alone.frames, display.frames))


def test_what_surrounds_the_frame_counts_episodes_and_steps_and_never_names_the_condition(
    sitting: SittingSetup, tmp_path: Path
) -> None:
    display = ScriptedDisplay()
    run(changed(sitting, mark="TRIAL RUN"), tmp_path / "data", None, display)
    headings = ["Practice, round 1 of 4", "Round 2 of 4", "Round 3 of 4", "Round 4 of 4"]
    assert [hud.heading for hud in display.huds] == [heading for heading in headings for _ in range(STEPS)]
    assert [hud.steps_done for hud in display.huds[:STEPS]] == [step / STEPS for step in range(STEPS)]
    assert {hud.mark for hud in display.huds} == {"TRIAL RUN"}
    with recorded(tmp_path / "data") as session:
        progress = session.episodes[0]["progress"].tolist()
    assert {hud.score_label for hud in display.huds} == {CAR_RACING.spec.text("en").primary or "road progress"}
    values, reach = [0.0, *progress[:-1]], CAR_RACING.reach(STEPS)
    assert [hud.score for hud in display.huds[:STEPS]] == [f"{100 * value:.0f} %" for value in values]
    assert [hud.score_share for hud in display.huds[:STEPS]] == pytest.approx([min(v / reach, 1.0) for v in values])


def test_times_are_the_displays_and_events_say_in_which_step_they_came(sitting: SittingSetup, tmp_path: Path) -> None:
    display = ScriptedDisplay()
    run(sitting, tmp_path / "data", None, display)
    assert display.listener is None
    with recorded(tmp_path / "data") as session:
        times = [time for episode in session.episodes for time in episode.time_ns.tolist()]
        events = session.events()
    assert times == list(range(1, len(PLAN) * STEPS + 1))
    assert [(event.kind, event.detail, event.time_ns) for event in events] == [
        ("key_down", f"f{time}", time) for time in times
    ]
    assert [(event.episode, event.step) for event in events] == [divmod(time - 1, STEPS) for time in times]


def test_stage_times_are_taken_on_the_clock_given(sitting: SittingSetup, tmp_path: Path) -> None:
    ticks = iter(range(0, 10**12, 1_000_000))
    run(replace(sitting, agenda=drives(PLAN[:2])), tmp_path / "data", clock=lambda: next(ticks))
    with recorded(tmp_path / "data") as session:
        for episode in session.episodes:
            # One look at the clock takes a millisecond: two stretches of environment, one of display.
            assert episode.stage_us[:, 0].tolist() == [2000] * STEPS
            assert episode.stage_us[:, 3].tolist() == [1000] * STEPS
            assert (episode.stage_us[:, 1:3] > 0).all()


def test_results_say_what_the_recording_says(sitting: SittingSetup, tmp_path: Path) -> None:
    told: list[EpisodeResult] = []
    result = run(sitting, tmp_path / "data", on_episode=told.append)
    assert result.complete
    assert result.pace is None
    assert result.episodes == told
    with recorded(tmp_path / "data") as session:
        assert session.path == result.path
        for told_of, episode, plan in zip(told, session.episodes, PLAN, strict=True):
            assert told_of.plan == plan
            assert told_of.steps == episode.n_steps == STEPS
            assert list(told_of.metrics) == [metric.name for metric in CAR_RACING.spec.metrics]
            assert np.float32(told_of.metrics["progress"]) == episode["progress"][-1]
            assert told_of.metrics["off_road"] == episode["off_road"].mean()
            assert told_of.metrics["speed"] == pytest.approx(episode["speed"].mean(dtype=float))
            assert episode.status == "complete"


def test_the_same_sitting_twice_differs_in_nothing_but_time(sitting: SittingSetup, tmp_path: Path) -> None:
    def columns(name: str) -> list[bytes]:
        run(sitting, tmp_path / name)
        with recorded(tmp_path / name) as session:
            return [
                episode[column].tobytes()
                for episode in session.episodes
                for column in episode.columns
                if column not in ("time_ns", "response_ns", "stage_us")
            ]

    assert columns("first") == columns("second")


def test_random_masks_differ_between_episodes_and_follow_the_sittings_seed(
    sitting: SittingSetup, tmp_path: Path
) -> None:
    several = [EpisodePlan(number, "exploration", "random", 12, 1) for number in range(8)]

    def masks(seed: int, name: str) -> list[bytes]:
        run(replace(changed(sitting, seed=seed), agenda=drives(several)), tmp_path / name)
        with recorded(tmp_path / name) as session:
            return [episode.mask.tobytes() for episode in session.episodes]

    assert len(set(masks(1, "a"))) > 1
    assert masks(1, "b") == masks(1, "c")
    assert masks(1, "d") != masks(2, "e")


def test_an_episode_is_over_and_complete_when_the_car_has_left_the_field(sitting: SittingSetup, tmp_path: Path) -> None:
    plans = [EpisodePlan(0, "practice", "raw", 11, 1000), EpisodePlan(1, "practice", "raw", 11, 2)]
    forgiving = make_task("car-racing", {"handling": "forgiving"})
    fast = replace(changed(sitting, task=forgiving), agenda=drives(plans))
    result = run(fast, tmp_path / "data", Replayer([STRAIGHT]), NoDisplay())
    assert 100 < result.episodes[0].steps < 1000
    with recorded(tmp_path / "data") as session:
        assert session.status == "complete"
        assert [episode.status for episode in session.episodes] == ["complete"] * 2
        assert session.episodes[0].n_steps == result.episodes[0].steps
        assert session.episodes[0]["reward"][-1] == -100


def test_ending_the_session_in_the_middle_keeps_every_step_taken(sitting: SittingSetup, tmp_path: Path) -> None:
    display = ScriptedDisplay(leave_at_frame=STEPS + 4)
    result = run(sitting, tmp_path / "data", None, display, pacer=Pacer(10.0, Clock()))
    assert not result.complete
    assert len(result.episodes) == 1
    assert display.listener is None
    with recorded(tmp_path / "data") as session:
        assert session.status == "aborted"
        assert [(episode.status, episode.n_steps) for episode in session.episodes] == [("complete", 8), ("aborted", 3)]
        assert session.episodes[1].action.tolist() == ACTIONS[1:4]
        assert len(session.events()) == STEPS + 4


@pytest.mark.parametrize(("page", "complete", "episodes"), [(0, False, 0), (1, True, 4)])
def test_leaving_over_the_instructions_aborts_and_over_the_thanks_loses_nothing(
    page: int, complete: bool, episodes: int, sitting: SittingSetup, tmp_path: Path
) -> None:
    pages = replace(sitting, agenda=(Page("Welcome", ()), *sitting.agenda, Page("Thanks", ())))
    result = run(pages, tmp_path / "data", None, ScriptedDisplay(leave_at_page=page))
    assert result.complete == complete
    with recorded(tmp_path / "data") as session:
        assert session.status == ("complete" if complete else "aborted")
        assert len(session.episodes) == episodes


def test_pages_frame_the_sitting(sitting: SittingSetup, tmp_path: Path) -> None:
    display, welcome, thanks = ScriptedDisplay(), Page("Welcome", ()), Page("Thanks", ())
    run(replace(sitting, agenda=(welcome, *sitting.agenda, thanks)), tmp_path / "data", None, display)
    assert display.pages == [welcome, thanks]


@pytest.mark.parametrize("failing_step", [0, 5, STEPS + 2])
def test_a_driver_that_fails_in_a_step_leaves_every_step_before_it_in_a_valid_file(
    failing_step: int, sitting: SittingSetup, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="out of petrol"):
        run(sitting, tmp_path / "data", Replayer(ACTIONS, fail_after=failing_step))
    with recorded(tmp_path / "data") as session:
        assert session.status == "aborted"
        assert session.episodes[-1].status == "aborted"
        actions = [action for episode in session.episodes for action in episode.action.tolist()]
    assert actions == [ACTIONS[step % len(ACTIONS)] for step in range(failing_step)]


def test_the_driver_is_reset_before_each_episode(sitting: SittingSetup, tmp_path: Path) -> None:
    driver = Replayer(ACTIONS)
    run(sitting, tmp_path / "data", driver)
    assert (driver.resets, driver.steps) == (len(PLAN), len(PLAN) * STEPS)


def test_pauses_are_no_overruns(sitting: SittingSetup, tmp_path: Path) -> None:
    second = 1_000_000_000

    class PausingDisplay(ScriptedDisplay):
        def show(self, *args: Any) -> int:
            super().show(*args)
            return clock()

        def wait(self, until_ns: int) -> int:
            clock.now_ns = until_ns + 90 * second
            return 90 * second

    clock = Clock()
    pacer = Pacer(10.0, clock)
    result = run(replace(sitting, agenda=drives(PLAN[:2])), tmp_path / "data", None, PausingDisplay(), pacer=pacer)
    assert result.pace is not None
    assert (result.pace.steps, result.pace.overruns, result.pace.median_ms) == (2 * (STEPS - 1), 0, 100.0)


def test_nothing_is_kept_where_nothing_is_recorded(sitting: SittingSetup, tmp_path: Path) -> None:
    display = ScriptedDisplay()
    result = SittingRun(sitting, Replayer(ACTIONS), display, Unrecorded()).run()
    assert (result.path, result.complete, len(display.frames)) == (None, True, len(PLAN) * STEPS)
    assert {path.name for path in tmp_path.iterdir()} == {"mask"}


FEELING = Questionnaire(
    "feeling", (Item("calm", "I was calm."), Item("fast", "It was fast."), Item("why", "Why?", kind="text"))
)
ASKING = Asking(FEELING, "evaluation/1/pico")
CONSENT_PAGE = Consent(Page("Do you agree?", ()), ("yes", "no"), Page("Goodbye", ()))


def replied(*answers: str, back: bool = False) -> Reply:
    return Reply(answers, back)


def answers(session: sessions.Session) -> list[tuple[str, str]]:
    return [(answer.item, answer.answer) for answer in session.answers()]


def test_answers_are_recorded_with_what_they_are_about_and_the_last_one_after_going_back_counts(
    sitting: SittingSetup, tmp_path: Path
) -> None:
    display = ScriptedDisplay(
        replies=[replied("3"), replied("2", back=True), replied("4"), replied("5"), replied("dunno")]
    )
    run(replace(sitting, agenda=(ASKING,), respondent=None), tmp_path / "data", None, display)
    assert display.asked == [
        (("calm",), "Question 1 of 3", (), False),
        (("fast",), "Question 2 of 3", (), True),
        (("calm",), "Question 1 of 3", ("3",), False),
        (("fast",), "Question 2 of 3", ("2",), True),
        (("why",), "Question 3 of 3", (), True),
    ]
    with recorded(tmp_path / "data") as session:
        assert answers(session) == [
            ("evaluation/1/pico/feeling/calm", "3"),
            ("evaluation/1/pico/feeling/calm", "4"),
            ("evaluation/1/pico/feeling/fast", "5"),
            ("evaluation/1/pico/feeling/why", "dunno"),
        ]


def test_simulated_participants_answer_on_the_scale_and_by_seed(sitting: SittingSetup, tmp_path: Path) -> None:
    def given(seed: int, name: str) -> list[tuple[str, str]]:
        many = Questionnaire("many", tuple(Item(f"i{i}", "?", points=5) for i in range(40)))
        asked = replace(sitting, agenda=(Asking(many, "end/0/-"),), respondent=np.random.default_rng(seed))
        run(asked, tmp_path / name)
        with recorded(tmp_path / name) as session:
            return answers(session)

    assert {answer for _, answer in given(0, "a")} == {"1", "2", "3", "4", "5"}
    assert given(0, "b") == given(0, "c") != given(1, "d")


def test_whoever_declines_leaves_nothing_behind_but_that(sitting: SittingSetup, tmp_path: Path) -> None:
    display = ScriptedDisplay(choice=1)
    result = run(replace(sitting, agenda=(CONSENT_PAGE, *sitting.agenda)), tmp_path / "data", None, display)
    assert (result.declined, result.complete, result.episodes) == (True, False, [])
    assert display.pages == [CONSENT_PAGE.page, CONSENT_PAGE.declined]
    with recorded(tmp_path / "data") as session:
        assert answers(session) == [("consent", "declined")]
        assert (session.status, len(session.episodes), session.events()) == ("aborted", 0, [])


def test_what_was_pressed_before_agreeing_is_not_recorded(sitting: SittingSetup, tmp_path: Path) -> None:
    agenda = (CONSENT_PAGE, *drives(PLAN[:1]))
    assert run(replace(sitting, agenda=agenda), tmp_path / "data").complete
    with recorded(tmp_path / "data") as session:
        assert answers(session) == [("consent", "accepted")]
        assert {event.detail for event in session.events()} == {f"f{n}" for n in range(1, STEPS + 1)}


def test_leaving_over_the_consent_page_is_no_agreement(sitting: SittingSetup, tmp_path: Path) -> None:
    result = run(replace(sitting, agenda=(CONSENT_PAGE,)), tmp_path / "data", None, ScriptedDisplay(leave_at_page=0))
    assert (result.complete, result.declined) == (False, False)
    with recorded(tmp_path / "data") as session:
        assert (answers(session), session.events()) == ([], [])


def driven(session: sessions.Session) -> list[tuple[str, str, bool]]:
    return [(episode.info.condition, episode.status, episode.rejected) for episode in session.episodes]


def test_an_episode_redone_while_it_runs_is_kept_flagged_and_driven_again_with_the_same_mask(
    sitting: SittingSetup, tmp_path: Path
) -> None:
    display = ScriptedDisplay(redo_at={"frame": STEPS + 3})
    result = run(
        replace(sitting, agenda=drives(PLAN[:2])), tmp_path / "data", None, display, pacer=Pacer(10.0, Clock())
    )
    assert result.complete
    assert [each.plan for each in result.episodes] == PLAN[:2]
    with recorded(tmp_path / "data") as session:
        assert driven(session) == [
            ("full", "complete", False), ("random", "aborted", True), ("random", "complete", False)
        ]  # fmt: skip
        _, rejected, accepted = session.episodes
        assert np.array_equal(rejected.mask[0], accepted.mask[0])
        assert [event.episode for event in session.events()] == [0] * STEPS + [1] * 3 + [2] * STEPS


def test_the_last_episode_can_be_redone_once_it_is_over_and_only_that_one(
    sitting: SittingSetup, tmp_path: Path
) -> None:
    display = ScriptedDisplay(redo_at={"ask": 1})
    agenda = (*drives(PLAN[:2]), ASKING)
    result = run(replace(sitting, agenda=agenda, respondent=None), tmp_path / "data", None, display)
    assert (result.complete, len(result.episodes)) == (True, 2)
    assert [item for (item,), *_ in display.asked] == ["calm", "calm", "fast", "why"]
    with recorded(tmp_path / "data") as session:
        assert driven(session) == [
            ("full", "complete", False), ("random", "complete", True), ("random", "complete", False)
        ]  # fmt: skip


def test_wanting_to_redo_before_anything_was_driven_changes_nothing(sitting: SittingSetup, tmp_path: Path) -> None:
    display = ScriptedDisplay(redo_at={"ask": 0})
    agenda = (ASKING, *drives(PLAN[:1]))
    assert run(replace(sitting, agenda=agenda, respondent=None), tmp_path / "data", None, display).complete
    with recorded(tmp_path / "data") as session:
        assert driven(session) == [("full", "complete", False)]


def test_a_sitting_left_before_its_last_question_is_not_complete(sitting: SittingSetup, tmp_path: Path) -> None:
    class Leaving(ScriptedDisplay):
        def ask(self, *question: Any, **others: Any) -> Reply:
            raise EndSession

    agenda = (*drives(PLAN[:1]), ASKING, Page("Thanks", ()))
    assert not run(replace(sitting, agenda=agenda, respondent=None), tmp_path / "data", None, Leaving()).complete


def test_the_experimenters_notes_are_kept_with_their_time_also_before_consent(
    sitting: SittingSetup, tmp_path: Path
) -> None:
    class Noting(ScriptedDisplay):
        def choose(self, page: Page, choices: tuple[str, ...]) -> int:
            assert self.listener is not None
            self.listener("note", "glasses <b>broken</b>", 17)
            return 0

    run(replace(sitting, agenda=(CONSENT_PAGE,)), tmp_path / "data", None, Noting())
    with recorded(tmp_path / "data") as session:
        note = session.answers()[0]
    assert (note.item, note.answer, note.time_ns) == ("note", "glasses <b>broken</b>", 17)
