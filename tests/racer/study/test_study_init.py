from __future__ import annotations

import errno
import os
import re
import tomllib
from pathlib import Path

import pytest
from task_builders import COUNTING, installing
from tiny_models import write_tiny_model

from compression.model.sizes import Sizes
from racer.drivers.keyboard import default_bindings
from racer.errors import ConfigError
from racer.study.file import StudyFile, StudyFileError, load_study
from racer.study.init import PRESETS, init_study, preset_text, task_of
from racer.tasks.car_racing.task import CarRacing
from racer.tasks.registry import GROUP, TaskError, describe_settings, make_task, needed_settings, task_names
from sessions import ParticipantNameError

KEY = re.compile(r"[a-z_]+ = ")


def test_the_default_preset_holds_the_defaults(tmp_path: Path) -> None:
    file, bare = load_study(init_study("demo", "default", tmp_path, "en")).file, StudyFile(title="demo")
    own = {"task", "keys", "episodes", "questionnaires"}
    assert file.model_dump(exclude=own) == bare.model_dump(exclude=own)
    # Where a file may leave something to the task, the preset says what the task says.
    spec = make_task().spec
    assert file.make_task() == bare.make_task()
    assert file.keys.given == default_bindings(spec)
    assert (file.episodes.steps, file.episodes.pace) == (spec.steps, spec.pace)
    assert file.episodes.model_copy(update={"steps": None, "pace": None}) == bare.episodes
    assert file.questionnaires.after_condition == spec.questionnaires


@pytest.mark.parametrize("task", [name for name in task_names() if not needed_settings(name)])
def test_a_study_of_any_task_says_what_the_task_says(tmp_path: Path, task: str) -> None:
    path, spec = init_study("demo", "default", tmp_path, "en", task), make_task(task).spec
    if spec.model is None or not spec.model.is_dir():
        with pytest.raises(StudyFileError, match=r"task\.model: ") as refusal:
            load_study(path)
        assert len(str(refusal.value).splitlines()) == 1
        sizes = Sizes(spec.frame, latents=12, blocks=4, actions=len(spec.actions), hidden=16, dense=32)
        write_tiny_model(path.parent / "mine", sizes)
        path.write_text(path.read_text(encoding="utf-8").replace('model = ""', 'model = "mine"'), encoding="utf-8")
    file = load_study(path).file
    assert file.make_task() == make_task(task)
    assert file.keys.given == default_bindings(spec)
    assert (file.episodes.steps, file.episodes.pace) == (spec.steps, spec.pace)
    assert file.questionnaires.after_condition == spec.questionnaires
    text = path.read_text(encoding="utf-8")
    for setting in describe_settings(task):
        assert f"\n{setting.name} = " in text and " ".join(setting.meaning.split()[:2]) in text


def test_settings_of_a_package_are_written_as_toml_reads_them(tmp_path: Path) -> None:
    with installing(tmp_path) as install:
        install("their_task", COUNTING, GROUP, "counting = their_task:Counting")
        said = tomllib.loads(preset_text("default", "counting"))
    assert said["task"] == {"name": "counting", "model": "", "size": 3, "pace": "slow", "loud": False, "share": 0.5}
    assert said["keys"] == {"go": ["up", "space"], "back": ["down"]}
    assert (said["episodes"]["steps"], said["episodes"]["pace"]) == (4, 10.0)


def test_the_paper_preset_is_the_released_experiment(tmp_path: Path) -> None:
    file = load_study(init_study("demo", "paper", tmp_path, "en")).file
    assert file.conditions == ("random", "pico", "full") and (file.participants, file.pilots) == (12, 1)
    assert file.episodes.model_dump() == {
        "practice": 5,
        "calibration": 10,
        "exploration": 15,
        "explore": "random",
        "mixed": False,
        "evaluation": 15,
        "catch": 0,
        "repeats": 0,
        "probes": 0,
        "steps": 100,
        "pace": 10.0,
        "seeds": (42,),
    }
    assert file.channel.model_dump() == {
        "bits": 85,
        "mask_interval": "episode",
        "fill": "hold",
        "noise": "none",
        "noise_rate": 0.0,
        "action_delay": 0,
        "action_loss": 0.0,
    }
    assert file.make_task() == CarRacing("forgiving")
    assert file.masks.pico == "pilot"


@pytest.mark.parametrize("world", ["digits", "vehicles", "faces"])
def test_a_preset_of_pictures_is_a_study_of_its_task(tmp_path: Path, world: str) -> None:
    path = init_study("demo", world, tmp_path, "en")
    if (spec := make_task(world).spec).model is None:
        sizes = Sizes(spec.frame, latents=32, blocks=16, actions=len(spec.actions), hidden=0, dense=32)
        write_tiny_model(path.parent / "mine", sizes)
        path.write_text(path.read_text(encoding="utf-8").replace('model = ""', 'model = "mine"'), encoding="utf-8")
    file = load_study(path).file
    assert file.task.name == world == task_of(world, None)
    assert file.conditions == ("raw", "full", "random", "perceptual", "pico", "pico-transform")
    assert file.channel.fill == "prior" and file.masks_needed == ("perceptual", "pico", "pico-transform")
    # The paper's 1000 incomplete pictures, and 100 of each condition.
    assert file.pilots * file.episodes.exploration * (file.episodes.steps or 0) == 1000
    assert file.episodes.evaluation * (file.episodes.steps or 0) == 100
    with pytest.raises(ConfigError, match=f"preset {world} is an experiment with {world}"):
        init_study("other", world, tmp_path, "en", "car-racing")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_explains_every_key(preset: str) -> None:
    assert "\\" not in preset_text(preset)
    text = preset_text(preset)
    explained = False
    for line in text.splitlines():
        if KEY.match(line):
            assert explained, f"nothing above {line}"
        else:
            explained = line.startswith("# ")
    said = tomllib.loads(text)
    task = task_of(preset, None)
    # Catch trials and repeats are of single pictures, whose order is always mixed, and which no action leads to.
    paced = make_task(task).spec.paced
    elsewhere = {"custom", "negative_label"} | (
        {"catch", "repeats"} if paced else {"mixed", "probes", "action_delay", "action_loss"}
    )
    for name, field in StudyFile.model_fields.items():
        keys = set(getattr(field.annotation, "model_fields", ())) - elsewhere
        assert name in said and keys <= set(said[name] if keys else ()), name
    assert set(said["keys"]) == {action.name for action in make_task(task).spec.actions if action.keys}
    assert {setting.name for setting in describe_settings(task)} <= set(said["task"])


@pytest.mark.parametrize("preset", PRESETS)
def test_the_questionnaire_that_a_preset_suggests_works(tmp_path: Path, preset: str) -> None:
    path = init_study("demo", preset, tmp_path, "en")
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if "[[questionnaires.custom]]" in line)
    last = lines.index("[experimenter]")
    lines[first:last] = [line.removeprefix("#") for line in lines[first:last]]
    path.write_text("\n".join(lines), encoding="utf-8")
    questionnaire = load_study(path).questionnaire("trust")
    assert [item.kind for item in questionnaire.items] == ["scale", "text", "choice", "number"]


def test_a_new_study_has_its_name_as_title_and_the_language_asked_for(tmp_path: Path) -> None:
    path = init_study("demo_2", "default", tmp_path / "new", "de")
    study = load_study(path)
    assert path == tmp_path / "new" / "demo_2" / "study.toml"
    assert (study.file.title, study.file.language) == ("demo_2", "de")
    assert [entry.name for entry in path.parent.iterdir()] == ["study.toml"]


def test_an_existing_study_is_never_overwritten(tmp_path: Path) -> None:
    path = init_study("demo", "default", tmp_path, "en")
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(StudyFileError, match="exists already and was left as it is"):
        init_study("demo", "paper", tmp_path, "en")
    assert path.read_text(encoding="utf-8") == "mine"


def test_a_folder_without_a_study_file_becomes_a_study(tmp_path: Path) -> None:
    (tmp_path / "demo" / "recordings").mkdir(parents=True)
    assert init_study("demo", "default", tmp_path, "en").is_file()


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine", encoding="utf-8")
    with pytest.raises(StudyFileError, match="demo: exists already"):
        init_study("demo", "default", tmp_path, "en")
    assert (tmp_path / "demo").read_text(encoding="utf-8") == "mine"


def test_what_a_study_cannot_be_made_of_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ParticipantNameError, match="study name"):
        init_study("../demo", "default", tmp_path, "en")
    with pytest.raises(
        ConfigError, match="there is no preset 'papre'; choose from default, paper, digits, vehicles, faces"
    ):
        init_study("demo", "papre", tmp_path, "en")
    with pytest.raises(ConfigError, match="preset paper is an experiment with car-racing; use --preset default"):
        init_study("demo", "paper", tmp_path, "en", "lunar-lander")
    with pytest.raises(TaskError, match="there is no task 'chess'"):
        init_study("demo", "default", tmp_path, "en", "chess")
    with pytest.raises(ConfigError, match="there is no language 'fr'"):
        init_study("demo", "default", tmp_path, "fr")
    with pytest.raises(ConfigError):
        init_study("demo", "default", tmp_path, '"\nx.toml')
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_no_half_of_a_study_file_and_the_name_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("disk.writing.os.fsync", refuse)
        with pytest.raises(StudyFileError, match="No space left on device"):
            init_study("demo", "default", tmp_path, "en")
    assert list((tmp_path / "demo").iterdir()) == []
    assert load_study(init_study("demo", "default", tmp_path, "en")).file.title == "demo"
