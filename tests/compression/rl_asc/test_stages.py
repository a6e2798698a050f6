"""The three stages: the same data and seed give the same numbers, killed in between or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from compression.errors import TrainingError
from compression.rl_asc.labelling import Labelled
from compression.rl_asc.networks import Design, centres, down_scaled, symbols_of
from compression.rl_asc.settings import ConceptConfig
from compression.rl_asc.training import train_concepts

BRIEF = ConceptConfig(labeller_steps=3, coder_steps=4, agent_steps=3, joint_steps=3, batch=4, checkpoint_steps=2)


class Killed(Exception):
    """Stands for a kill: whatever is not on disk is lost."""


def squares(seed: int, count: int = 12) -> Labelled:
    """Return frames uint8[12, 16, 16, 3] of squares before a ground, and what is what."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((count, 16, 16), np.uint8)
    for each, (row, column) in zip(labels, rng.integers(0, 9, (count, 2)), strict=True):
        each[row : row + 7, column : column + 7] = 1
    frames = np.where(labels[..., None] == 1, 200, 60) + rng.integers(-20, 20, (count, 1, 1, 3))
    return Labelled(frames.astype(np.uint8), labels)


def trained(work: Path, told: Any = lambda stage, done: None, config: ConceptConfig = BRIEF) -> dict[str, NDArray[Any]]:
    torch.set_num_threads(1)
    return train_concepts(squares(0), squares(1), 2, work, config, told)


@pytest.mark.parametrize(
    ("stage", "after"), [("labellers", 0.05), ("stage I", 0.45), ("stage II", 0.65), ("stage III", 0.85)]
)
def test_a_training_that_was_killed_ends_as_if_it_had_not_been(
    stage: str, after: float, tmp_path: Path, whole: dict[str, NDArray[Any]]
) -> None:
    def kill(name: str, done: float) -> None:
        if name == stage and done >= after:
            raise Killed

    with pytest.raises(Killed):
        trained(tmp_path, kill)
    again = trained(tmp_path)
    assert {name: value.tobytes() for name, value in again.items()} == {
        name: value.tobytes() for name, value in whole.items()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def whole(folder: Path) -> dict[str, NDArray[Any]]:
    return trained(folder)


def test_another_training_in_the_same_folder_is_refused(folder: Path, whole: dict[str, NDArray[Any]]) -> None:
    with pytest.raises(TrainingError, match="other settings or data"):
        trained(folder, config=ConceptConfig(labeller_steps=3, seed=1))


@pytest.mark.parametrize("wrong", [{"channels": 5}, {"batch": 0}, {"joint_steps": 0}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(TrainingError, match="must be"):
        ConceptConfig(**wrong)  # type: ignore[arg-type]


def test_frames_that_cells_do_not_divide_are_refused(tmp_path: Path) -> None:
    odd = Labelled(np.zeros((2, 20, 16, 3), np.uint8), np.zeros((2, 20, 16), np.uint8))
    with pytest.raises(TrainingError, match="multiples of 8"):
        train_concepts(odd, odd, 2, tmp_path, BRIEF)
    with pytest.raises(TrainingError, match="label map"):
        Labelled(np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 8, 16), np.uint8))


def test_a_cell_is_the_parts_that_takes_most_of_what_it_usually_takes() -> None:
    labels = torch.zeros(1, 8, 16, dtype=torch.long)
    labels[0, 2:5, 3:5] = 1  # 6 of 64 pixels
    assert down_scaled(labels, torch.tensor([1.0, 1.0])).tolist() == [[[0, 0]]]
    assert down_scaled(labels, torch.tensor([1.0, 10.0])).tolist() == [[[1, 0]]]


def test_quantisation_finds_the_nearest_centre() -> None:
    features = torch.linspace(-1, 1, 401)
    for level in range(6):
        places = centres(level)
        nearest = (features[:, None] - places).abs()
        chosen = symbols_of(features, level)
        assert torch.allclose(nearest.gather(1, chosen[:, None])[:, 0], nearest.amin(1), atol=1e-6)


@pytest.mark.parametrize(
    ("frame", "parts", "channels"),
    [((60, 64, 3), 2, 4), ((64, 64, 3), 1, 4), ((64, 64, 3), 17, 4), ((64, 64, 3), 3, 5)],
)
def test_designs_that_cannot_be_are_refused(frame: tuple[int, int, int], parts: int, channels: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Design(frame, parts, channels)
