"""Frames to train on: that a collection repeats, goes on and keeps to its own folder, and what pictures may be."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from task_builders import COUNTING, installing

from racer.drivers.registry import make_driver
from racer.errors import ConfigError, RacerError
from racer.loop.episode import block_seeds
from racer.rates.people import FIRST_SEED as OF_SWEEPS
from racer.sitting.protocol import SESSION_SEEDS
from racer.tasks.registry import make_task, needed_settings, task_names
from racer.training.collect import (
    FIRST_SEED,
    CollectConfig,
    Collected,
    Run,
    collect,
    collect_run,
    plan_runs,
    read_pictures,
    split_pictures,
)

TASK, SETTINGS, TINY = "lunar-lander", {"view": 12.0}, CollectConfig(runs=2, held_out_runs=2)
Collection = tuple[Path, dict[str, Collected]]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def tell_in_one_line(refusal: pytest.ExceptionInfo[RacerError], *told: str) -> None:
    message = str(refusal.value)
    assert "\n" not in message and all(text in message for text in told), message


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Return the folder of a small collection, and what it gave."""
    folder = tmp_path_factory.mktemp("whole") / "frames"
    return folder, collect(TASK, SETTINGS, folder, TINY, jobs=1)


@pytest.fixture
def mine(whole: Collection, tmp_path: Path) -> Path:
    """Return a copy of the folder, to be spoilt."""
    return Path(shutil.copytree(whole[0], tmp_path / "frames"))


# Runs of a task -----------------------------------------------------------------------------------------------------


def test_a_collection_holds_the_frames_of_its_runs_in_their_order(whole: Collection) -> None:
    folder, splits = whole
    assert {split: len(part.seeds) for split, part in splits.items()} == {"train": 2, "held_out": 2}
    for split, part in splits.items():
        runs = [np.load(run.path) for run in plan_runs(TASK, SETTINGS, TINY, split, folder)]
        np.testing.assert_array_equal(part.frames, np.concatenate([run["frames"] for run in runs]))
        np.testing.assert_array_equal(part.actions, np.concatenate([run["actions"] for run in runs]))
        assert part.starts.tolist() == [0, len(runs[0]["actions"]), len(part.frames)]
        assert part.frames.shape[1:] == make_task(TASK).spec.frame and part.frames.dtype == np.uint8
        assert part.truth.shape == (len(part.frames), 0), "trials of a task without a truth tell none"


def test_the_same_collection_gives_the_same_bytes_in_any_number_of_processes(whole: Collection, tmp_path: Path) -> None:
    collect(TASK, SETTINGS, tmp_path / "again", TINY, jobs=2)
    assert files_of(tmp_path / "again") == files_of(whole[0])


def test_an_interrupted_collection_does_only_what_is_missing(whole: Collection, mine: Path) -> None:
    (mine / "train_000001.npz").rename(mine / ".racer-0123456789abcdef.unfinished.npz")
    (mine / "train_frames.npy").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in mine.iterdir()}
    told: list[float] = []
    collect(TASK, SETTINGS, mine, TINY, jobs=1, progress=told.append)
    assert told == [1.0], "three of four runs were there"
    assert files_of(mine) == files_of(whole[0])
    kept = before.keys() - {".racer-0123456789abcdef.unfinished.npz"}
    assert {name: (mine / name).stat().st_mtime_ns for name in kept} == {name: before[name] for name in kept}


@pytest.mark.parametrize(
    ("task", "settings", "config"),
    [
        ("car-racing", {}, TINY),
        (TASK, {}, TINY),
        (TASK, SETTINGS, replace(TINY, runs=3)),
        (TASK, SETTINGS, replace(TINY, driver="lander-pilot:3")),
    ],
    ids=["task", "settings", "runs", "driver"],
)
def test_a_folder_of_another_collection_is_refused_and_left_as_it_was(
    task: str, settings: dict[str, Any], config: CollectConfig, mine: Path
) -> None:
    before = files_of(mine)
    with pytest.raises(RacerError) as refusal:
        collect(task, settings, mine, config)
    tell_in_one_line(refusal, str(mine), "another collection", "--work")
    assert files_of(mine) == before


def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RacerError) as refusal:
        collect(TASK, SETTINGS, tmp_path / "file", TINY)
    tell_in_one_line(refusal, str(tmp_path / "file"), "--work")
    assert (tmp_path / "file").read_text() == "mine"


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def noise(data: bytes) -> bytes:
    return b"\xff" * len(data)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        pytest.param("train_000000.npz", noise),
        pytest.param("train_000000.npz", half),
        pytest.param("held_out_frames.npy", noise),
        pytest.param("held_out_frames.npy", half),
        pytest.param("collection.json", noise),
        ("collection.json", half),
    ],
)
def test_a_damaged_file_is_collected_again_or_refused_in_one_line(
    name: str, spoil: Callable[[bytes], bytes], whole: Collection, mine: Path
) -> None:
    path = mine / name
    path.write_bytes(spoil(path.read_bytes()))
    try:
        collect(TASK, SETTINGS, mine, TINY, jobs=1)
    except RacerError as refusal:
        assert str(mine) in str(refusal) and "\n" not in str(refusal)
    else:
        assert files_of(mine) == files_of(whole[0])


def test_a_driver_that_there_is_none_of_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RacerError, match="unknown driver"):
        collect(TASK, SETTINGS, tmp_path / "frames", replace(TINY, driver="nobody"), jobs=1)
    assert not list(tmp_path.iterdir())


def drive(path: Path, wander: float) -> tuple[list[int], list[int]]:
    """Return the actions of a run, and those that its driver takes on seeing the same frames."""
    run = Run("car-racing", (("speed", 50.0),), "simulated", seed=1_000_000, steps=40, wander=wander, path=path)
    collect_run(run)
    with np.load(path) as part:
        frames, actions = part["frames"], part["actions"]
        assert part["truth"].shape == (len(frames), 18) and len(frames) == len(actions) == 40
    driver = make_driver(run.driver, make_task(run.task, dict(run.settings)), run.seed)
    driver.reset()
    return actions.tolist(), [driver.act(frame) for frame in frames]


def test_people_act_as_they_do_but_for_bursts_of_one_wrong_action(tmp_path: Path) -> None:
    assert np.equal(*drive(tmp_path / "calm.npz", wander=0.0)).all()
    taken, own = drive(tmp_path / "wild.npz", wander=0.1)
    wrong = np.flatnonzero(np.not_equal(taken, own))
    assert len(wrong)
    assert len(set(taken[wrong[0] : wrong[0] + 5])) == 1, "a burst lasts for 5 steps or more"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calm.npz", "wild.npz"]


def seeds_of(runs: Iterable[Run]) -> set[int]:
    return {run.seed for run in runs}


def test_no_seed_is_in_both_splits_or_where_sittings_and_sweeps_take_theirs() -> None:
    most = CollectConfig(runs=100_000, held_out_runs=100)
    train, held_out = (seeds_of(plan_runs(TASK, {}, most, split, Path())) for split in ("train", "held_out"))
    assert (len(train), len(held_out)) == (100_000, 100)
    assert not train & held_out
    assert min(train | held_out) >= SESSION_SEEDS and max(train | held_out) < OF_SWEEPS


@pytest.mark.parametrize("task", [name for name in task_names() if not needed_settings(name)])
def test_runs_take_the_training_points_of_the_task_in_turn(task: str) -> None:
    spec = make_task(task).spec
    points = spec.training_points or spec.operating_points
    for split in ("train", "held_out"):
        runs = plan_runs(task, {}, CollectConfig(2 * len(points), 2 * len(points)), split, Path("frames"))
        assert [dict(run.settings) for run in runs] == [*points, *points]
        assert len({run.path for run in runs}) == len(runs)
        assert {run.steps for run in runs} <= {length * spec.steps for length in (2, 3, 5)}


def test_settings_that_are_given_hold_in_all_runs() -> None:
    runs = plan_runs("car-racing", {"speed": 35.0}, CollectConfig(10, 2), "train", Path("frames"))
    settings = [dict(run.settings) for run in runs]
    assert {each["speed"] for each in settings} == {35.0}
    assert {each.get("handling") for each in settings} == {None, "forgiving"}, "the rest follows the training points"


@pytest.mark.parametrize("change", [{"runs": 1}, {"held_out_runs": 1}, {"runs": 100_001}, {"held_out_runs": 100_001}])
def test_amounts_that_cannot_be_are_refused_in_one_line(change: dict[str, int]) -> None:
    with pytest.raises(ConfigError) as refusal:
        CollectConfig(**change)  # type: ignore[arg-type]
    tell_in_one_line(refusal, "between 2 and 100000")


def test_a_run_of_a_task_that_waits_for_answers_is_a_block_of_pictures(tmp_path: Path) -> None:
    collected = collect("digits", {}, tmp_path / "frames", CollectConfig(2, 2, driver="nobody"), jobs=1)
    for split, first in FIRST_SEED.items():
        part = collected[split]
        assert len(part.frames) >= 80 and part.seeds == (first, first + 1)
        assert set(np.unique(part.actions).tolist()) == set(range(10))
        seeds = block_seeds(first, int(part.starts[1]))
        task = make_task("digits")
        for seed, frame in zip(seeds, part.frames, strict=False):
            assert np.array_equal(task.start(seed).frame(), frame)
        assert part.truth.shape == (len(part.frames), 11)


def test_a_trial_of_several_answers_is_a_run_of_its_own_that_the_tasks_people_do(tmp_path: Path) -> None:
    waiting = COUNTING.replace("neutral=0", "paced=False, sequential=True, driver='lasting'")
    people = "class Person:\n    def reset(self): ...\n    def act(self, frame): return 1\n"
    people += "def make(task, person, dice): return Person()\n"
    people += "LASTING = DriverFamily('lasting', ('counting',), 'does the last', 'nobody', make)\n"
    with installing(tmp_path) as install:
        install("counting", waiting, "racer.tasks", "counting = counting:Counting")
        install(
            "lasting",
            "from racer.drivers.driver import DriverFamily\n" + people,
            "racer.drivers",
            "lasting = lasting:LASTING",
        )
        collected = collect("counting", {}, tmp_path / "frames", CollectConfig(4, 2), jobs=1)["train"]
    assert collected.starts.tolist() == [0, 4, 8, 12, 16]
    assert collected.frames[:, 0, 0, 0].tolist() == [0, 1, 2, 3] * 4
    assert np.mean(collected.actions == 1) > 0.5, "but for bursts of wrong actions"


# Pictures -----------------------------------------------------------------------------------------------------------


def draw_pictures(folder: Path, count: int = 20, width: int = 24, height: int = 36) -> Path:
    """Write pictures whose left half is red and whose right half is their number; return the folder."""
    folder.mkdir()
    for index in range(count):
        picture = np.full((height, width, 3), index, np.uint8)
        picture[:, : width // 2] = (250, 10, 20)
        Image.fromarray(picture).save(folder / f"{index:03}.png")
    return folder


@pytest.mark.parametrize(
    ("grey", "left"), [(False, [250, 10, 20]), (True, [(299 * 250 + 587 * 10 + 114 * 20) // 1000])]
)
def test_pictures_come_in_the_order_of_their_names_reduced_to_squares(
    grey: bool, left: list[int], tmp_path: Path
) -> None:
    folder = draw_pictures(tmp_path / "pictures")
    (folder / "notes.txt").write_text("no picture")
    (folder / "more.png").mkdir()
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    pictures = read_pictures(folder, 12, grey)
    assert pictures.frames.shape == (20, 12, 12, len(left)) and pictures.frames.dtype == np.uint8
    assert np.abs(pictures.frames[:, :, :6].astype(int) - left).max() <= 1
    assert pictures.frames[:, 0, -1, 0].tolist() == list(range(20))
    assert pictures.starts.tolist() == list(range(21)), "no picture follows from another"
    assert pictures.truth.shape == (20, 0) and pictures.seeds == ()


def test_a_pixel_is_the_mean_of_what_it_covers(tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path / "pictures")
    board = np.indices((32, 32)).sum(axis=0) % 2 * 200
    Image.fromarray(board.astype(np.uint8)).save(folder / "000.png")
    assert np.unique(read_pictures(folder, 16, True).frames[0]).tolist() == [100]


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".jpg", "RGB"), (".JPEG", "L"), (".bmp", "RGB"), (".webp", "RGB"), (".tif", "CMYK")]
)
@pytest.mark.parametrize("grey", [False, True])
def test_pictures_may_be_of_many_kinds(suffix: str, mode: str, grey: bool, tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path / "pictures")
    Image.new("RGB", (40, 40), (130, 130, 130)).convert(mode).save(folder / f"last{suffix}")
    assert np.abs(read_pictures(folder, 8, grey).frames[20].astype(int) - 130).max() <= 3


def test_a_picture_of_sixteen_bits_keeps_its_shades(tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path / "pictures")
    Image.fromarray(np.full((9, 9), 100 * 257, np.uint16)).save(folder / "last.png")
    assert np.abs(read_pictures(folder, 8, True).frames[20].astype(int) - 100).max() <= 1


def test_too_few_pictures_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        read_pictures(draw_pictures(tmp_path / "pictures", count=19), 8, False)
    tell_in_one_line(refusal, "19 pictures", "20 or more", "nothing was written")


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as refusal:
        read_pictures(tmp_path / name, 8, False)
    tell_in_one_line(refusal, str(tmp_path / name), "nothing was written")


def spoil_cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def spoil_empty(path: Path) -> None:
    path.write_bytes(b"")


def spoil_by_text(path: Path) -> None:
    path.write_text("no picture\nat all\n")


def spoil_by_size(path: Path) -> None:
    Image.new("1", (10_000, 5_001)).save(path)


@pytest.mark.parametrize("spoil", [spoil_cut_off, spoil_empty, spoil_by_text, spoil_by_size])
def test_a_picture_that_cannot_be_read_is_named_in_one_line(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path / "pictures", count=21)
    spoil(folder / "007.png")
    with pytest.raises(ConfigError) as refusal:
        read_pictures(folder, 8, False)
    tell_in_one_line(refusal, str(folder / "007.png"), "nothing was written")


def test_a_picture_of_far_too_many_pixels_is_refused_and_nothing_else_is_said(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    folder = draw_pictures(tmp_path / "pictures")
    Image.new("1", (10_000, 10_000)).save(folder / "007.png")
    with pytest.raises(ConfigError, match=r"007\.png cannot be read as a picture"):
        read_pictures(folder, 8, False)
    assert not recwarn.list


def test_every_picture_is_in_one_split_as_the_seed_has_it(tmp_path: Path) -> None:
    pictures = read_pictures(draw_pictures(tmp_path / "pictures", count=40), 8, True)

    def numbers(seed: int, split: str) -> list[int]:
        part = split_pictures(pictures, seed)[split]
        assert len(part.starts) == len(part.frames) + 1 == len(part.actions) + 1
        return [int(frame[0, -1, 0]) for frame in part.frames]

    train, held_out = numbers(0, "train"), numbers(0, "held_out")
    assert len(held_out) == 4
    assert sorted(train + held_out) == list(range(40))
    assert numbers(0, "held_out") == held_out != numbers(1, "held_out")
