from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from tiny_models import write_tiny_model

import sessions
from compression.model.sizes import Sizes
from racer.drivers.registry import KEYBOARD
from racer.engines import LocalEngine
from racer.errors import ConfigError, RacerError
from racer.recordings.verification import verify_recording
from racer.recordings.withdrawal import find_traces, remove_person
from racer.report.study import report_study
from racer.sitting.protocol import condition_order
from racer.sitting.start import start_session
from racer.study.file import Study, StudyFileError, load_study
from racer.study.run import LOCK, run_study
from racer.study.sitting import completed, next_protocol, protocol_to_resume, remarks, sitting_config
from racer.study.status import study_status
from racer.study.train import train_study
from racer.tasks.car_racing.task import CarRacing
from racer.tasks.registry import make_task
from sessions.maintenance.withdraw import plan_withdrawal

TINY = """
title = "tiny"
conditions = ["random", "pico"]
participants = 3
[episodes]
practice = 1
calibration = 2
exploration = 3
evaluation = 1
steps = 8
"""
QUICK = 25
"""Gradient steps: enough to tell one training from another."""
ROOT = Path(__file__).parents[3]


def tiny(folder: Path, text: str = TINY) -> Study:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.toml").write_text(text)
    return load_study(folder)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = tiny(tmp_path_factory.mktemp("study"))
    told: list[tuple[str, int, int]] = []
    run = run_study(study, engine=LocalEngine(2), progress=lambda *now: told.append(now), iterations=QUICK)
    assert (run.recorded, len(run.recordings), run.masks) == (4, 4, (study.masks / "pico.safetensors",))
    assert told[0] == ("pilots", 0, 5) and told[-1] == ("participants", 5, 5)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    return study


def copied(study: Study, folder: Path, text: str) -> Study:
    """Return a study with the recordings and masks of another one."""
    copy = tiny(folder, text)
    for source, target in ((study.recordings, copy.recordings), (study.masks, copy.masks)):
        shutil.copytree(source, target)
    return copy


def contents(study: Study) -> dict[str, bytes]:
    files = [*study.recordings.glob("*.h5"), *study.masks.iterdir()]
    return {path.name: path.read_bytes() for path in files}


def test_a_simulated_study_has_every_sitting_complete_in_balanced_orders(ran: Study) -> None:
    assert [sitting.info.participant for sitting in completed(ran, "pilot")] == ["pilot01"]
    people = completed(ran, "evaluation")
    assert [sitting.info.participant for sitting in people] == ["p01", "p02", "p03"]
    for place, person in enumerate(people):
        with sessions.open(person.paths[0]) as session:
            assert (session.status, session.info.study) == ("complete", "tiny")
            assert session.info.config["study_sha256"] == ran.sha256
            assert session.info.config["study"]["episodes"]["steps"] == 8
            driven = [episode.info.condition for episode in session.episodes if episode.info.phase == "evaluation"]
            assert tuple(driven) == condition_order(("random", "pico"), place)
            places = {answer.item.rpartition("/")[0] for answer in session.answers()}
            assert places == {f"evaluation/{i}/{condition}/driving" for i, condition in enumerate(driven, 1)}
    assert {path.suffix for path in ran.recordings.iterdir() if not path.name.startswith(".")} == {".h5", ".jsonl"}
    assert not list(ran.recordings.glob(".racer-*")), "what sittings were recorded in is gone"


def test_simulated_time_passes_by_one_step_with_every_frame(ran: Study) -> None:
    with sessions.open(completed(ran, "evaluation")[1].paths[0]) as session:
        assert session.info.created_utc == "2000-01-01T01:00:00Z"
        for episode in session.episodes:
            times = [int(time) for time in episode.time_ns]
            assert {after - before for before, after in pairwise(times)} == {100_000_000}
        assert not any(episode.stage_us.any() for episode in session.episodes)


def test_the_same_study_file_gives_the_same_bytes_elsewhere_and_one_after_the_other(ran: Study, tmp_path: Path) -> None:
    again = tiny(tmp_path / "another")
    run_study(again, engine=LocalEngine(1), iterations=QUICK)
    assert contents(again) == contents(ran)


def test_running_it_again_adds_only_what_is_missing(ran: Study, tmp_path: Path) -> None:
    before = contents(ran)
    gone = completed(ran, "evaluation")[1].paths[0]
    gone.unlink()
    assert run_study(ran, engine=LocalEngine(1)).recorded == 1
    assert contents(ran) == before
    assert run_study(ran, 2, engine=LocalEngine(1)).recorded == 0


def test_a_run_that_is_killed_in_the_middle_is_finished_by_the_next(ran: Study, tmp_path: Path) -> None:
    study = tiny(tmp_path / "killed")
    # The pilots and the mask are there, so that it is killed among the participants.
    for source in [*completed(ran, "pilot")[0].paths, *ran.masks.iterdir()]:
        target = (study.masks if source.suffix == ".safetensors" else study.recordings) / source.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(source.read_bytes())
    code = (
        "import os\n"
        "from pathlib import Path\n"
        "from racer.engines import LocalEngine\n"
        "from racer.study.file import load_study\n"
        "from racer.study.run import run_study\n"
        "run_study(load_study(Path('killed')), engine=LocalEngine(1),\n"
        "    progress=lambda what, done, total: done == 2 and os.kill(os.getpid(), 9))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert result.returncode == -9
    assert len(completed(study, "evaluation")) == 1
    assert list(study.recordings.glob(".racer-*"))
    run_study(study, engine=LocalEngine(1))
    assert [sitting.info.participant for sitting in completed(study, "evaluation")] == ["p01", "p02", "p03"]
    assert not list(study.recordings.glob(".racer-*"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"participants": 0}, "participants must lie between 1 and 1000; got 0"),
        ({"driver": "keyboard"}, "people drive with `racer session start`"),
        ({"driver": "nobody"}, "unknown driver 'nobody'"),
        ({"driver": "lander-pilot"}, "drivers of family lander-pilot cannot do car-racing"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(arguments: dict[str, object], told: str, ran: Study) -> None:
    with pytest.raises(RacerError, match=re.escape(told)) as refusal:
        run_study(ran, engine=LocalEngine(1), **arguments)  # type: ignore[arg-type]
    assert len(str(refusal.value).splitlines()) == 1


def test_files_behind_a_link_in_a_study_from_somebody_else_are_left_alone(tmp_path: Path) -> None:
    study, elsewhere = tiny(tmp_path / "theirs"), tmp_path / "thesis"
    elsewhere.mkdir()
    (elsewhere / "chapter").write_text("precious")
    study.recordings.mkdir()
    (study.recordings / LOCK).symlink_to(elsewhere / "chapter")
    with pytest.raises(StudyFileError, match="is a link, which Racer does not follow"):
        run_study(study, engine=LocalEngine(1))
    assert [path.name for path in elsewhere.iterdir()] == ["chapter"]


def test_what_an_earlier_version_of_the_file_recorded_is_not_taken_for_this_ones(ran: Study, tmp_path: Path) -> None:
    study = copied(ran, tmp_path / "changed", TINY.replace("steps = 8", "steps = 9"))
    with pytest.raises(StudyFileError, match=r"p01 was evaluated with this file as it was before \S+ was changed"):
        run_study(study, engine=LocalEngine(1))
    with pytest.raises(StudyFileError, match="cannot be compared"):
        sitting_config(study, "evaluation", None)
    assert sitting_config(study, "evaluation", None, trial_run=True).trial_run


def test_people_and_simulated_participants_are_not_recorded_into_one_study(ran: Study) -> None:
    with pytest.raises(StudyFileError, match="p01 is simulated, and cannot be compared"):
        sitting_config(ran, "evaluation", "p07")
    assert sitting_config(ran, "evaluation", "p07", driver="simulated", headless=True).participant == "p07"


def test_a_thousand_simulated_sittings_have_names_of_their_own(ran: Study) -> None:
    from racer.study.run import _identity

    identities = [_identity(ran, "pilot", place) for place in range(300)]  # more than a study has: some withdrew
    identities += [_identity(ran, "evaluation", place) for place in range(1000)]
    assert len({identity.session_id for identity in identities}) == 1300


def test_a_name_with_a_space_is_quoted_in_the_command_that_comes_next(tmp_path: Path) -> None:
    study = tiny(tmp_path / "two words")
    assert shlex.split(study_status(study).next) == ["racer", "session", "start", "--study", str(study.folder)]


def test_an_unfinished_sitting_is_resumed_in_its_own_protocol(ran: Study, tmp_path: Path) -> None:
    study = copied(ran, tmp_path / "resumed", TINY)
    assert protocol_to_resume(study, None, trial_run=False) == next_protocol(study) == "evaluation"
    config = sitting_config(study, "pilot", "pilot02", driver="simulated", headless=True)

    def leave(result: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_session(config, on_episode=leave)
    assert protocol_to_resume(study, None, trial_run=False) == "pilot"
    assert next_protocol(study) == "evaluation"


# The next sitting ---------------------------------------------------------------------------------------------------


def test_pilots_come_first_then_training_then_evaluation(ran: Study, tmp_path: Path) -> None:
    study = tiny(tmp_path / "new")
    assert next_protocol(study) == "pilot"
    status = study_status(study)
    assert (status.pilots, status.masks_missing) == ((), ("pico",))
    assert status.next == f"racer session start --study {study.folder}"
    with pytest.raises(StudyFileError, match="no pilot has completed a sitting yet"):
        train_study(study)
    with pytest.raises(StudyFileError, match=r"masks\.pico: .*pico\.safetensors has not been trained"):
        sitting_config(study, "evaluation", None)

    study.recordings.mkdir()
    for path in completed(ran, "pilot")[0].paths:
        (study.recordings / path.name).write_bytes(path.read_bytes())
    assert next_protocol(study) == "evaluation"
    assert study_status(study).next == f"racer study train {study.folder}"
    train_study(study, iterations=QUICK)
    assert (study.masks / "pico.safetensors").read_bytes() == (ran.masks / "pico.safetensors").read_bytes()
    assert train_study(study) == {}
    assert study_status(study).next == f"racer session start --study {study.folder}"


def test_a_pilot_who_withdraws_leaves_a_study_that_can_go_on(ran: Study, tmp_path: Path) -> None:
    study = copied(ran, tmp_path / "study", TINY)
    plan = plan_withdrawal("pilot01", study.recordings)
    remove_person(plan, (), datetime(2026, 1, 1, tzinfo=UTC))
    status = study_status(study)
    assert (status.pilots, status.masks_withdrawn) == ((), {"pico": ("pilot01",)})
    assert status.next == f"racer session withdraw pilot01 --data {study.recordings} --traces"
    remove_person(plan, find_traces(plan), datetime(2026, 1, 1, tzinfo=UTC))
    status = study_status(study)
    assert (status.masks_missing, status.masks_withdrawn) == (("pico",), {})
    assert status.next == f"racer session start --study {study.folder}"


def test_status_report_and_the_next_session_agree_on_a_study_whose_file_was_changed(ran: Study, tmp_path: Path) -> None:
    text = TINY.replace("tiny", "Tiny").replace("participants = 3", "participants = 4")
    worded = copied(ran, tmp_path / "worded", text + '[screens]\ninstructions = "Go"\n')
    status = study_status(worded)
    assert (status.changed, status.unusable, len(status.participants)) == ({}, {}, 3)
    assert len(report_study(worded.recordings).participants) == 3
    assert sitting_config(worded, "evaluation", None, driver="simulated", headless=True)
    longer = copied(ran, tmp_path / "longer", TINY.replace("steps = 8", "steps = 9"))
    status = study_status(longer)
    assert status.changed == dict.fromkeys(("pilot01", "p01", "p02", "p03"), ("episodes.steps",))
    assert (status.unusable, len(status.participants)) == ({}, 3)
    assert len(report_study(longer.recordings).participants) == 3
    with pytest.raises(StudyFileError, match=r"before episodes\.steps was changed"):
        sitting_config(longer, "evaluation", None, driver="simulated", headless=True)


def test_sittings_beyond_the_plan_and_people_after_simulated_pilots_are_remarked_on(ran: Study, tmp_path: Path) -> None:
    beyond, simulated = remarks(ran, "evaluation", KEYBOARD)
    assert beyond == "3 of 3 planned evaluation sittings are complete; this one is beyond the plan"
    assert "pilots of this study were simulated" in simulated
    more = copied(ran, tmp_path / "more", TINY.replace("participants = 3", "participants = 4"))
    assert remarks(more, "evaluation", "simulated") == []


def test_somebody_new_replaces_a_simulated_person_who_has_withdrawn(ran: Study, tmp_path: Path) -> None:
    study = copied(ran, tmp_path / "study", TINY)
    for gone, there in (("p02", ["p01", "p03", "p04"]), ("p04", ["p01", "p03", "p05"])):
        remove_person(plan_withdrawal(gone, study.recordings), (), datetime(2026, 1, 1, tzinfo=UTC))
        told: list[tuple[str, int, int]] = []
        run = run_study(
            study, engine=LocalEngine(1), iterations=QUICK, progress=lambda *now, told=told: told.append(now)
        )
        assert run.recorded == 1 and ("participants", 3, 4) in told and told[-1] == ("participants", 4, 4)
        people = completed(study, "evaluation")
        assert sorted(sitting.info.participant for sitting in people) == there
        assert len({sitting.info.session_id for sitting in people}) == 3
        assert study_status(study).orders == (2, 1), "in the order of whom they replace"
    assert run_study(study, engine=LocalEngine(1), iterations=QUICK).recorded == 0


def test_the_pilots_train_the_levels_of_pico_rate_as_well(ran: Study, tmp_path: Path) -> None:
    text = TINY.replace('"random", "pico"', '"pico-rate", "raw"').replace("participants = 3", "participants = 1")
    study = tiny(tmp_path / "rate", text)
    run = run_study(study, engine=LocalEngine(1), iterations=QUICK)
    (levels,) = run.masks
    assert levels == study.masks / "pico-rate.safetensors"
    (sitting,) = completed(study, "evaluation")
    assert sitting.info.fitted_sha256 == hashlib.sha256(levels.read_bytes()).hexdigest()
    checked = verify_recording(sitting.paths[0])
    assert [(f.check, f.outcome) for f in checked.findings if f.check == "received"] == [("received", "ok")]
    shipped = tiny(tmp_path / "shipped", "pilots = 0\n" + text + "[masks]\npico_rate = 'shipped'")
    assert shipped.mask_path("pico-rate") is None and study_status(shipped).masks_missing == ()


def test_when_everybody_has_driven_the_report_comes_next(ran: Study) -> None:
    status = study_status(ran)
    assert status.participants == ("p01", "p02", "p03")
    assert status.orders == (2, 1)
    assert status.next.startswith("racer study report ")
    assert json.dumps(status.orders)


def test_nobody_drives_the_same_sitting_twice(ran: Study) -> None:
    with pytest.raises(StudyFileError, match="p02 has completed the evaluation sitting"):
        sitting_config(ran, "evaluation", "p02")
    assert sitting_config(ran, "evaluation", "p02", trial_run=True).trial_run, "a trial run takes nothing from anybody"
    assert sitting_config(ran, "evaluation", None, driver="simulated").participant is None


def test_a_sitting_is_what_the_study_file_says(ran: Study, tmp_path: Path) -> None:
    text = TINY.replace("[episodes]", 'seed = 7\n[task]\nhandling = "forgiving"\n[episodes]\npace = 20.0\nseeds = [42]')
    text += '[channel]\nbits = 60\n[masks]\npico = "masks/mine.safetensors"\n[keys]\nleft = ["j"]\nright = ["l"]\n'
    text += '[screens]\nconsent = "Yes?"\nbreak_every = 4\ncountdown = 1\n'
    text += '[experimenter]\ncode = "q1w2"\nfullscreen = false\n'
    folder = tmp_path / "full"
    (folder / "masks").mkdir(parents=True)
    (folder / "masks" / "mine.safetensors").write_bytes((ran.masks / "pico.safetensors").read_bytes())
    config = sitting_config(tiny(folder, text), "evaluation", "p01")
    assert (config.seed, config.pace, config.protocol.seeds) == (7, 20.0, (42,))
    assert (config.task, config.model) == (CarRacing("forgiving"), None)
    assert (config.channel.bits, config.masks) == (60, (folder / "masks" / "mine.safetensors",))
    assert (config.keys, config.countdown) == ({"left": ("j",), "right": ("l",)}, 1)
    assert (config.screens.consent, config.screens.break_every) == ("Yes?", 4)
    assert (config.locked, config.code, config.fullscreen) == (True, "q1w2", False)
    assert [each.name for each in config.screens.after_condition] == ["driving"]
    assert config.study is not None
    assert "q1w2" not in json.dumps(config.study.settings)
    assert sitting_config(tiny(folder, text), "evaluation", "p01", fullscreen=True).fullscreen


def test_a_sitting_leaves_to_the_task_what_the_file_does(ran: Study) -> None:
    config = sitting_config(ran, "evaluation", "p09", trial_run=True)
    assert (config.task, config.model, config.pace, config.keys) == (CarRacing(), None, None, {})


def test_a_study_of_another_task_and_model_is_run_and_its_mask_fitted_to_that_model(tmp_path: Path) -> None:
    lander = make_task("lunar-lander").spec
    write_tiny_model(tmp_path / "lander" / "tiny", Sizes(lander.frame, 16, 8, len(lander.actions), 16, 32))
    text = TINY.replace(
        "[episodes]", '[channel]\nbits = 24\n[task]\nname = "lunar-lander"\nmodel = "tiny"\nview = 12\n[episodes]'
    )
    study = tiny(tmp_path / "lander", text.replace("participants = 3", "participants = 1"))
    run_study(study, engine=LocalEngine(1), iterations=QUICK)
    (person,) = completed(study, "evaluation")
    record, config = person.info.task, person.info.config
    assert (record.name, record.settings) == ("lunar-lander", {"handling": "eased", "view": 12.0})
    assert (record.latents, record.blocks) == (16, 8)
    assert config["study"]["task"] == {"name": "lunar-lander", "model": "tiny", "view": 12}
    assert (
        person.info.model_sha256 == hashlib.sha256((study.folder / "tiny/model.safetensors").read_bytes()).hexdigest()
    )
    assert person.info.fitted_sha256 == hashlib.sha256((study.masks / "pico.safetensors").read_bytes()).hexdigest()
    found = {each.check: each.outcome for each in verify_recording(person.paths[0]).findings}
    assert {found[check] for check in ("weights", "packets", "received", "replay")} == {"ok"}, "with the study's model"
    with sessions.open(person.paths[0]) as session:
        for episode in session.episodes:
            assert {after - before for before, after in pairwise(map(int, episode.time_ns))} <= {50_000_000}
            assert set(episode.action.tolist()) <= set(range(4))


def test_a_simulated_sitting_needs_all_that_makes_it_repeat(ran: Study) -> None:
    config = sitting_config(ran, "evaluation", None, driver="simulated", headless=True)
    from racer.study.run import _identity

    with pytest.raises(ConfigError):
        replace(config, simulated=_identity(ran, "evaluation", 3))
