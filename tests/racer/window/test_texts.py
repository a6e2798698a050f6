from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from racer.drivers.keyboard import default_bindings
from racer.errors import ConfigError
from racer.loop.display import Page
from racer.sitting.agenda import Screens, make_agenda
from racer.tasks.registry import make_task, needed_settings, task_names
from racer.window.texts import BUILT_IN, MOST_FILE_BYTES, Texts, english, load_texts

ENGLISH_FILE = (files("racer.window") / "languages" / "en.toml").read_text(encoding="utf-8")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    (folder / "texts").mkdir(parents=True)
    return folder


def refusal(study: Path, contents: str | bytes) -> str:
    (study / "fr.toml").write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    with pytest.raises(ConfigError) as error:
        load_texts("fr.toml", study)
    message = str(error.value)
    assert "\n" not in message and message.startswith("fr.toml: ") and len(message) < 250
    return message


@pytest.mark.parametrize("language", BUILT_IN)
def test_the_built_in_languages_say_everything_and_ask_the_same_questions(language: str) -> None:
    found = load_texts(language, None)
    assert list(found.questionnaires) == ["driving", "nasa-tlx"]
    driving, load = found.questionnaires.values()
    assert [(item.points, item.kind) for item in driving.items] == [(7, "scale")] * 7 + [(7, "text")]
    assert [item.points for item in load.items] == [21] * 6
    assert all(item.low and item.high for item in (*driving.items[:7], *load.items))


def test_a_translation_leaves_no_text_in_english_that_differs_between_the_languages() -> None:
    german, same = load_texts("de", None).texts, {"confirm"}
    assert {f.name for f in fields(Texts) if getattr(german, f.name) == getattr(english().texts, f.name)} == same


def test_a_file_of_the_study_is_a_language(study: Path) -> None:
    changed = ENGLISH_FILE.replace('agree = "I agree to take part"', 'agree = "Je participe"')
    (study / "texts" / "fr.toml").write_text(changed, encoding="utf-8")
    assert load_texts("texts/fr.toml", study).texts.agree == "Je participe"


@pytest.mark.parametrize("language", ["fr", "", "EN", "/etc/passwd", "en.tom"])
def test_what_is_no_language_is_refused_with_those_there_are(language: str, study: Path) -> None:
    with pytest.raises(ConfigError, match=r"en, de, or a \.toml file"):
        load_texts(language, study)


@pytest.mark.parametrize("inside", ["../fr.toml", "texts/../../fr.toml", "link.toml", "away/fr.toml"])
def test_a_language_file_lies_in_the_studys_folder_links_followed(inside: str, study: Path) -> None:
    (study.parent / "fr.toml").write_text(ENGLISH_FILE, encoding="utf-8")
    (study / "link.toml").symlink_to(study.parent / "fr.toml")
    (study / "away").symlink_to(study.parent)
    with pytest.raises(ConfigError, match="must lie in the study's folder"):
        load_texts(inside, study)
    with pytest.raises(ConfigError, match="must lie in the study's folder"):
        load_texts(str(study.parent / "fr.toml"), study)


def test_a_file_that_is_missing_or_no_file_is_told(study: Path) -> None:
    (study / "folder.toml").mkdir()
    (study / "loop.toml").symlink_to(study / "loop.toml")
    for name in ("fr.toml", "folder.toml", "loop.toml", "nul\0.toml", "x" * 300 + ".toml"):
        with pytest.raises(ConfigError) as error:
            load_texts(name, study)
        assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="needs a study's folder"):
        load_texts("fr.toml", None)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('resume = "Resume"\n', "", "the key 'resume' is missing"),
        ('resume = "Resume"', 'resum = "Resume"', "unknown key 'resum'; did you mean 'resume'"),
        ('resume = "Resume"', "resume = 5", "resume must be a text"),
        ('resume = "Resume"', 'resume = " "', "resume must have 1 to"),
        ('resume = "Resume"', 'resume = ["Resume"]', "resume must be a text"),
        ('resume = "Resume"', 'resume = "{number}"', "resume has {number}, which nothing replaces"),
        ('resume = "Resume"', 'resume = "{0.__class__}"', "braces"),
        (
            'practice = "Practice, round {number} of {count}"',
            'practice = "Practice {number}"',
            "practice misses {count}",
        ),
        ('practice = "Practice, round {number} of {count}"', 'practice = "{number} {count:9}"', "braces"),
        ('break_title = "Time for a break"', 'break_lines = "Rest"', "is here twice"),
        ("thanks_lines = [", "thanks_lines = [7, ", "thanks_lines must be"),
        ("[texts]", "[text]", "unknown key 'text'; did you mean 'texts'"),
        ('id = "ahead"', 'id = "before"', "items of 'driving'"),
        ('name = "driving"', 'name = "drives"', "questionnaires must be driving and nasa-tlx"),
        ("points = 7", 'points = "7"', "questionnaire 1, item 1: points must be"),
        ("points = 7", "points = true", "questionnaire 1, item 1: points must be"),
        ("points = 7", "points = 22", "questionnaire 1, item 1"),
        ("points = 7", "points = 5", "items of 'driving'"),
        ("points = 7", "point = 7", "unknown key 'point'; did you mean 'points'"),
        ('text = "I knew what was coming ahead on the road."\n', "", "questionnaire 1, item 1"),
    ],
)
def test_a_mistake_is_named_with_the_file_and_the_key(study: Path, old: str, new: str, why: str) -> None:
    assert old in ENGLISH_FILE
    assert why in refusal(study, ENGLISH_FILE.replace(old, new, 1))


@pytest.mark.parametrize(
    "contents",
    [
        b"\xff\xfe",
        b"",
        b"texts = 3\nquestionnaires = []",
        b"[texts]\nquestionnaires = 1",
        b"a = " + b"[" * 5000,
        b"x" * (MOST_FILE_BYTES + 1),
    ],
)
def test_what_is_no_language_file_is_told_in_one_line(study: Path, contents: bytes) -> None:
    refusal(study, contents)


@given(
    st.dictionaries(
        st.sampled_from(["resume", "thanks_lines", "x"]), st.one_of(st.integers(), st.text(), st.booleans())
    )
)
def test_any_values_are_accepted_as_texts_or_refused_as_a_setting(values: dict[str, object]) -> None:
    from racer.window.texts import _words

    for name, value in values.items():
        try:
            words = _words(value, name.endswith("_lines"), name)
        except ConfigError:
            continue
        assert isinstance(value, str) and words == value


def test_keys_are_named_as_people_say_them() -> None:
    german = load_texts("de", None).texts
    assert english().texts.key_names(["left", "a"]) == "the left arrow or A"
    assert german.key_names(["right", "left shift", "[6]"]) == "Pfeil rechts oder Left Shift oder 6"
    assert english().texts.key_names(["up", "down", "space"]) == "the up arrow or the down arrow or the space bar"
    assert english().texts.key_names(["space"]) == "the space bar"


def test_a_language_is_called_what_tasks_call_theirs(study: Path) -> None:
    (study / "texts" / "fr.toml").write_text(ENGLISH_FILE, encoding="utf-8")
    assert [load_texts(name, study).code for name in (*BUILT_IN, "texts/fr.toml")] == [*BUILT_IN, "fr"]


@pytest.mark.parametrize("task", [name for name in task_names() if not needed_settings(name)])
@pytest.mark.parametrize("language", BUILT_IN)
def test_every_task_tells_what_to_do_in_every_built_in_language(task: str, language: str) -> None:
    spec = make_task(task).spec
    text, texts = spec.texts[language], load_texts(language, None).texts
    bound = {index for index, action in enumerate(spec.actions) if action.keys}
    assert {spec.actions[index].name for index in bound} <= set(text.actions)
    agenda = make_agenda([], Screens(), texts, text, default_bindings(spec))
    (instructions,) = (item for item in agenda if isinstance(item, Page) and item.show_keys)
    assert instructions.title == text.title
    told = " ".join(instructions.lines)
    assert not set("{}") & set(told)
    for index in bound:
        action = spec.actions[index]
        assert text.actions[action.name] in action.keys or texts.key_names(action.keys) in told


def test_every_placeholder_is_filled_with_what_a_sitting_knows() -> None:
    known = {
        "keys",
        "key",
        "seconds",
        "number",
        "count",
        "episodes",
        "done",
        "first",
        "last",
        "least",
        "most",
        "conditions",
    }
    assert set(re.findall(r"\{(\w*)\}", ENGLISH_FILE)) - {"placeholders"} == known


def test_the_english_file_has_its_keys_in_the_order_of_the_texts() -> None:
    assert list(tomllib.loads(ENGLISH_FILE)["texts"]) == [field.name for field in fields(Texts)]
