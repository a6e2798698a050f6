"""What a study file says of its mask's training, and what depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from compression.fitting.config import PicoConfig, config_of
from racer.study.deciding import settings_sha256
from racer.study.file import Study, StudyFileError, load_study


def study(folder: Path, training: str) -> Study:
    (folder / "study.toml").write_text(f'title = "T"\nseed = 7\n{training}\n', encoding="utf-8")
    return load_study(folder)


def test_a_file_that_says_nothing_trains_as_before_and_is_known_by_the_same_hash(tmp_path: Path) -> None:
    silent = study(tmp_path, "")
    assert silent.file.training_config("pico") == silent.file.training_config("perceptual") == PicoConfig(seed=7)
    recorded = {name: value for name, value in silent.settings.items() if name != "training"}
    assert settings_sha256(recorded) == silent.settings_sha256
    assert study(tmp_path, '[training]\nlabels = "released"').settings_sha256 == silent.settings_sha256


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('labels = "paper"', PicoConfig(seed=7, labels="paper")),
        ("negative_label = 0.1", PicoConfig(seed=7, negative_label=0.1)),
        ('constants = "cars"', config_of("cars", seed=7)),
        ('constants = "cars"\nnegative_label = 0.5', config_of("digits", seed=7)),
    ],
)
def test_what_is_said_is_what_pico_is_trained_with_and_decides(said: str, expected: PicoConfig, tmp_path: Path) -> None:
    spoken = study(tmp_path, f"[training]\n{said}")
    assert spoken.file.training_config("pico") == expected
    assert spoken.file.training_config("pico", 30).iterations == 30
    assert spoken.file.training_config("perceptual") == PicoConfig(seed=7), "the rest is of PICO alone"
    assert spoken.settings_sha256 != study(tmp_path, "").settings_sha256


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('labels = "mine"', "training.labels"),
        ('constants = "birds"', "training.constants"),
        ("negative_label = 1.5", "training: the label of negatives must lie between 0 and 1; got 1.5"),
        ('labels = "paper"\nnegative_label = 0.5', "training: the negatives of labels paper are 0"),
        ("iterations = 5", "training.iterations"),
    ],
)
def test_training_that_cannot_be_is_refused_in_a_line(said: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match=told) as error:
        study(tmp_path, f"[training]\n{said}")
    assert len(str(error.value).splitlines()) == 1


def test_pictures_that_are_marked_have_no_keys_to_choose(tmp_path: Path) -> None:
    task = '[task]\nname = "faces"\npage = 4\n'
    assert study(tmp_path, f"pilots = 0\nconditions = ['raw']\n{task}").file.make_task().spec.page == 4
    with pytest.raises(
        StudyFileError, match=r"keys: with these settings no action of task faces has keys: leave 'covered'"
    ):
        study(tmp_path, f"pilots = 0\nconditions = ['raw']\n{task}[keys]\ncovered = ['a']")
