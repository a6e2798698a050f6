"""Pictures of the user's own."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_folders import COLOURS, draw_folder
from PIL import Image

from racer.drivers.driver import DriverError
from racer.drivers.registry import make_driver
from racer.errors import ConfigError
from racer.sitting.protocol import PILOT_SEEDS
from racer.tasks.pictures.folder import Folder, FolderWorld
from racer.tasks.record import recorded_task
from racer.tasks.registry import TaskError, make_task, task_settings
from sessions import TaskRecord

ASKED = {
    "column": "colour",
    "text": "Which {colour}?",
    "answers": [
        {"value": "blue", "keys": ["b"], "button": "the blue {one}"},
        {"value": "red", "keys": ["r"]},
        {"value": "green", "keys": ["g"]},
    ],
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound folder; not to be changed."""
    return draw_folder(tmp_path_factory.mktemp("sound") / "pictures")


@pytest.fixture
def folder(drawn: Path, tmp_path: Path) -> Path:
    """A sound folder to spoil."""
    copy: Path = shutil.copytree(drawn, tmp_path / "pictures")
    return copy


def task_of(folder: Path, **given: Any) -> Folder:
    task = make_task("folder", {"images": str(folder), "size": 16, **given})
    assert isinstance(task, Folder)
    return task


def test_answers_without_a_latin_letter_have_names_of_their_own(folder: Path) -> None:
    labels = (
        (folder / "labels.csv")
        .read_text()
        .replace("blue", "answer 3")
        .replace("red", "\u03b2")
        .replace("green", "\u03b3")
    )
    (folder / "labels.csv").write_text(labels)
    spec = task_of(folder, question="colour").spec
    names = [action.name for action in spec.actions]
    assert len(set(names)) == 3 and list(spec.text("en").actions.values()) == ["answer 3", "\u03b2", "\u03b3"]
    task = task_of(folder, question="colour")
    assert all(sum(known[f"colour-{name}"] for name in names) == 1 for known in task.world.told)


def test_every_column_of_few_values_is_a_question(drawn: Path) -> None:
    task = task_of(drawn)
    assert [question.name for question in task.world.questions] == ["side", "colour"]
    assert task.question == "side" and [action.name for action in task.spec.actions] == ["left", "right"]
    assert [action.keys for action in task.spec.actions] == [("left", "f"), ("right", "j")]
    colour = task_of(drawn, question="colour").spec
    assert [(action.name, action.keys[0]) for action in colour.actions] == [("blue", "1"), ("green", "2"), ("red", "3")]
    assert task.spec.frame == (16, 16, 3) and task_of(drawn, grey=True).spec.frame == (16, 16, 1)


def test_a_trial_shows_a_picture_and_knows_its_label(drawn: Path) -> None:
    task = task_of(drawn, question="colour")
    for seed in range(600_000, 600_030):
        trial = task.start(seed)
        frame = trial.frame()
        colour = task.spec.actions[int(trial.step(0).metrics["right"])].name
        assert np.abs(frame.reshape(-1, 3).astype(int) - COLOURS[colour]).sum(axis=1).min() == 0
        assert frame.tobytes() == task.start(seed).frame().tobytes()


def test_questions_can_be_asked_in_ones_own_words(drawn: Path) -> None:
    task = task_of(drawn, questions=[ASKED])
    assert task.question == "colour" and task.spec.texts["en"].title == "Which {colour}?"
    assert [(action.name, action.keys) for action in task.spec.actions] == [
        ("blue", ("b",)),
        ("red", ("r",)),
        ("green", ("g",)),
    ]
    assert task.spec.texts["en"].actions["blue"] == "the blue {one}"
    said = [line.format(blue="B", red="R", green="G", trials=3) for line in task.spec.texts["en"].lines]
    assert any("B for “the blue {one}”" in line for line in said)


def test_no_picture_is_in_two_parts_and_it_stays_where_it_is_when_others_come(folder: Path) -> None:
    before = task_of(folder).world
    seen = {
        part: {before.names[before.index(first + each)] for each in range(400)}
        for part, first in (("piloted", 0), ("held-out", PILOT_SEEDS), ("learnt", 1_000_000), ("swept", 10**9))
    }
    assert not seen["piloted"] & seen["held-out"] and not seen["learnt"] & (seen["piloted"] | seen["held-out"])
    assert seen["swept"] == seen["held-out"]
    assert len(seen["piloted"] | seen["held-out"] | seen["learnt"]) == 60
    draw_more(folder, 20)
    after = task_of(folder).world
    assert parts_of(before).items() <= parts_of(after).items() and len(after.names) == 80


def test_copies_of_a_picture_are_in_one_part(folder: Path) -> None:
    labels = (folder / "labels.csv").read_text().splitlines()
    for line in labels[1:]:
        shutil.copy(folder / line[:7], folder / f"copy-{line[:7]}")
    (folder / "labels.csv").write_text("\n".join([*labels, *(f"copy-{line}" for line in labels[1:])]))
    parts = parts_of(task_of(folder).world)
    assert all(part == parts[name.removeprefix("copy-")] for name, part in parts.items())


def parts_of(world: FolderWorld) -> dict[str, str]:
    return {world.names[index]: part for part, members in world.members.items() for index in members}


def draw_more(folder: Path, count: int) -> None:
    lines = (folder / "labels.csv").read_text()
    for index in range(count):
        Image.new("RGB", (20, 20), (index, 0, 0)).save(folder / f"more{index}.png")
        lines += f"more{index}.png,left,red,0\n"
    (folder / "labels.csv").write_text(lines)


def test_a_recorded_task_is_found_beside_the_recordings_and_is_the_same_pictures(folder: Path) -> None:
    study = folder.parent
    task = make_task("folder", {"images": "pictures", "size": 16}, (study,))
    spec = task.spec
    record = TaskRecord(
        name=spec.name,
        settings=task_settings(task),
        frame=spec.frame,
        actions=tuple(action.name for action in spec.actions),
        neutral=None,
        metrics=spec.metrics,
        latents=8,
        blocks=4,
        paced=False,
        step_seconds=spec.step_seconds,
    )
    assert record.settings["images"] == "pictures" and str(study) not in str(record.settings)
    again = recorded_task(record, study / "recordings" / "p01.h5")
    assert again == task and again.start(7).frame().tobytes() == task.start(7).frame().tobytes()
    with pytest.raises(ConfigError, match="there is no folder"):
        recorded_task(record)
    draw_more(folder, 1)
    with pytest.raises(ConfigError, match="other pictures or labels"):
        recorded_task(record, study / "recordings" / "p01.h5")


def test_simulated_people_answer_about_a_folder_by_what_they_see(drawn: Path) -> None:
    task = task_of(drawn, question="side")
    person = make_driver("viewer-network", task, 3)
    right = [
        float(trial.step(person.act(trial.frame())).metrics["correct"])
        for trial in (task.start(600_000 + seed) for seed in range(40))
    ]
    assert np.mean(right) > 0.75


def test_an_answer_that_nobody_can_learn_is_named(folder: Path) -> None:
    world = task_of(folder).world
    lines = (folder / "labels.csv").read_text().splitlines()
    rare = {world.names[index] for index in world.members["held-out"]}
    kept = [f"{line.split(',')[0]},{'rare' if line.split(',')[0] in rare else 'usual'}" for line in lines[1:]]
    (folder / "labels.csv").write_text("\n".join(["image,kind", *kept]))
    with pytest.raises(DriverError, match="no picture that simulated people learn from is answered by 'rare'"):
        make_driver("viewer-trees", task_of(folder), 1)


# What folders may hold ------------------------------------------------------------------------------------------------


def relabel(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    lines = (folder / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").write_text("\n".join(change(lines)))


def empty(folder: Path) -> None:
    for path in folder.glob("*.png"):
        path.unlink()


def one(folder: Path) -> None:
    for path in sorted(folder.glob("*.png"))[1:]:
        path.unlink()
    relabel(folder, lambda lines: lines[:2])


def gif(folder: Path) -> None:
    Image.new("P", (9, 9)).save(folder / "x.gif")
    relabel(folder, lambda lines: [*lines, "x.gif,left,red,0"])


def gif_by_another_name(folder: Path) -> None:
    Image.new("P", (9, 9)).save(folder / "x.gif")
    (folder / "x.gif").rename(folder / "007.png")


def huge(folder: Path) -> None:
    # Nothing but the header says how large it is.
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (folder / "007.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT")


def truncated(folder: Path) -> None:
    path = folder / "007.png"
    path.write_bytes(path.read_bytes()[:-60])


def linked(folder: Path) -> None:
    shutil.copy(folder / "007.png", folder.parent / "outside.png")
    (folder / "007.png").unlink()
    (folder / "007.png").symlink_to(folder.parent / "outside.png")


def unanswerable(folder: Path) -> None:
    rows = [line.split(",") for line in (folder / "labels.csv").read_text().splitlines()]
    column = rows[0].index("colour")
    kept = [[row[0], row[column]] for row in rows]
    kept[4][1] = ""
    (folder / "labels.csv").write_text("\n".join(map(",".join, kept)))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: shutil.rmtree(folder), "there is no folder"),
        (lambda folder: (folder / "labels.csv").unlink(), "holds no labels.csv"),
        (empty, "holds no pictures"),
        (one, "holds 1 picture, and a task takes 20 or more"),
        (gif, "line 62: x.gif is not a PNG, JPEG"),
        (gif_by_another_name, "007.png cannot be read as a picture (it is not one of PNG, JPEG"),
        (huge, "007.png cannot be read as a picture (it has more than 50,000,000 pixels)"),
        (truncated, "007.png cannot be read as a picture"),
        (linked, "007.png cannot be read as a picture (it is a link out of its folder"),
        (lambda folder: (folder / "007.png").unlink(), "line 9: there is no picture 007.png"),
        (lambda folder: shutil.copy(folder / "007.png", folder / "z.png"), "z.png has no line in labels.csv"),
        (lambda folder: relabel(folder, lambda lines: [*lines, lines[3]]), "002.png is labelled a second time"),
        (lambda folder: relabel(folder, lambda lines: [*lines, "../x.png,left,red,0"]), "is not the name of a file"),
        (lambda folder: relabel(folder, lambda lines: [*lines, "=1+2,left,red,0"]), "run as a formula"),
        (lambda folder: relabel(folder, lambda lines: ["file,side,colour,n", *lines[1:]]), "has no column 'image'"),
        (lambda folder: relabel(folder, lambda lines: [line.split(",")[0] for line in lines]), "nothing to ask"),
        (unanswerable, "line 5: colour is empty, so that its picture has no answer"),
    ],
)
def test_what_a_folder_must_not_hold_is_said_in_one_line(
    spoil: Callable[[Path], object], said: str, folder: Path
) -> None:
    spoil(folder)
    with pytest.raises(ConfigError) as refusal:
        task_of(folder)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"images": ""}, "images must name a folder"),
        ({"size": 20}, "multiple of 8"),
        ({"question": "age"}, "question must be one of side, colour"),
        ({"questions": [{"column": "age"}]}, "no column 'age'"),
        ({"questions": [{"column": "number"}]}, "2 to 10 answers"),
        ({"questions": [{"column": "side", "answers": [{"value": "left"}, {"value": "up"}]}]}, "is 'right', which is"),
        ({"questions": [{"column": "side", "colour": "x"}]}, "a question has no 'colour'"),
        ({"questions": [{"column": "side", "answers": 3}]}, "answers must be a list"),
        ({"questions": [{"column": "side", "text": "a\nb"}]}, "one line of text"),
        ({"questions": [ASKED, ASKED]}, "the same name"),
        ({"questions": "side"}, "questions"),
        ({"sha256": "0" * 64}, "other pictures or labels"),
    ],
)
def test_settings_that_cannot_work_are_said_in_one_line(given: dict[str, Any], said: str, drawn: Path) -> None:
    with pytest.raises((ConfigError, TaskError)) as refusal:
        task_of(drawn, **given)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_becomes_of_a_folder_it_is_a_task_or_refused_in_one_line(data: st.DataObject, folder: Path) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        path = folder / data.draw(st.sampled_from(["labels.csv", "003.png", "030.png"]))
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
        path.write_bytes(bytes(content))
    try:
        task = task_of(folder)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert task.start(5).frame().shape == (16, 16, 3)
    finally:
        draw_again(folder)


def draw_again(folder: Path) -> None:
    shutil.rmtree(folder)
    draw_folder(folder)
