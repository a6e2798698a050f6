from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_builders import COUNTING, installing
from tiny_models import write_tiny_model

from compression.model.sizes import Sizes
from racer.loop.conditions import ChannelConfig
from racer.sitting.protocol import ProtocolConfig
from racer.study.deciding import deciding, settings_sha256
from racer.study.file import StudyFile, StudyFileError, find_study, load_study
from racer.study.init import preset_text
from racer.study.sections import CustomItem
from racer.tasks.car_racing.task import CarRacingClutter
from racer.tasks.registry import GROUP, make_task

TITLE = 'title = "T"\n'
ITEM = '[[questionnaires.custom]]\nname = "mine"\n[[questionnaires.custom.items]]\nid = "a"\ntext = "A?"\n'

FULL = '''
title = "Bits und Bögen"
conditions = ["raw", "perceptual", "random"]
participants = 6
pilots = 2
language = "de"
seed = 7

[task]
name = "car-racing-clutter"
model = "models/mine"
handling = "forgiving"
speed = 60
clutter = 0.5

[episodes]
practice = 0
calibration = 4
exploration = 5
evaluation = 3
steps = 250
pace = 20
seeds = [42, 7, 42]

[channel]
bits = 60
mask_interval = "step"
fill = "prior"
noise = "erasures"
noise_rate = 0.25

[masks]
pico = "shipped"
perceptual = "ours/first.safetensors"

[keys]
left = ["q"]
right = ["p", "right"]

[screens]
consent = """
First line.
Second line: 1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20."""
instructions = "Drive."
key_test = false
break_every = 0
break_seconds = 30
countdown = 0

[questionnaires]
start = ["trust"]
after_condition = ["driving", "trust"]
end = ["nasa-tlx"]

[[questionnaires.custom]]
name = "trust"
[[questionnaires.custom.items]]
id = "trust"
text = "How much did you trust it?"
low = "not at all"
high = "completely"
points = 5
[[questionnaires.custom.items]]
id = "why"
text = "Why?"
free = true

[experimenter]
code = "Leave123"
fullscreen = false
'''


def write(folder: Path, content: str | bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(folder: Path, content: str | bytes) -> str:
    """Return the one line, without the file, by which a study is refused."""
    path = write(folder, content)
    with pytest.raises(StudyFileError) as caught:
        load_study(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and message.isprintable()
    assert len(message) < len(str(path)) + 400
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def tiny_for(task: str, folder: Path, **other: Any) -> Path:
    """Write a latent model of a task's sizes, or of some other than those, and return its folder."""
    spec = make_task(task).spec
    sizes: dict[str, Any] = {"frame": spec.frame, "latents": 12, "blocks": 4, "actions": len(spec.actions)}
    return write_tiny_model(folder, Sizes(**sizes | {"hidden": 16, "dense": 32} | other))


BAD: dict[str, tuple[str | bytes, str, str]] = {
    # What the file says, the key that the message must begin with, and a part of what it must say.
    "no title": ("", "title", "is missing"),
    "empty title": ('title = ""', "title", "must not be empty"),
    "blank title": ('title = "  "', "title", "one line"),
    "long title": (f'title = "{"x" * 201}"', "title", "at most 200"),
    "title of two lines": ('title = "a\\nb"', "title", "one line"),
    "title is a number": ("title = 3", "title", "text in quotation marks; got 3"),
    "misspelt title": ('titel = "T"', "titel", "did you mean `title`? (and 1 more)"),
    "unknown section": (TITLE + "[epsodes]\nsteps = 3", "epsodes", "did you mean `episodes`?"),
    "unknown key": (TITLE + "[episodes]\nstepz = 3", "episodes.stepz", "unknown key `stepz`; did you mean `steps`?"),
    "unknown key like no other": (TITLE + "[channel]\nxyzzy = 1", "channel.xyzzy", "bits, mask_interval, fill"),
    "key in capitals": (TITLE + "[episodes]\nSTEPS = 3", "episodes.STEPS", "did you mean `steps`?"),
    "action in capitals": (TITLE + "[keys]\nLEFT = ['a']", "keys", "no action 'LEFT' has keys in task car-racing"),
    "key a level too high": (TITLE + "steps = 3", "steps", "did you mean `episodes.steps`?"),
    "misspelt key a level too high": (
        TITLE + "mask_intervl = 'step'",
        "mask_intervl",
        "did you mean `channel.mask_int",
    ),
    "key a level too low": (
        TITLE + "[episodes]\nseed = 3",
        "episodes.seed",
        "`seed`? It stands above the first section",
    ),
    "key of another section": (TITLE + "[episodes]\nbits = 3", "episodes.bits", "did you mean `channel.bits`?"),
    "section of an earlier version": (TITLE + "[driving]\npace = 10.0", "driving", "under `[episodes]`"),
    "unknown key of an item": (TITLE + ITEM + "hihg = 'x'", "questionnaires.custom[1].items[1].hihg", "`high`"),
    "key of two lines": (TITLE + '"a\\nb" = 1', "a b", "unknown key"),
    "key that steers the terminal": (TITLE + '"\\u001b[31m" = 1', " [31m", "unknown key"),
    "key like a tag": (TITLE + '"<x>" = 1', "<x>", "unknown key `<x>`"),
    "key that is a tag": (TITLE + '[episodes]\n"<list>" = 1', "episodes.<list>", "unknown key `<list>`"),
    "key of nothing": (TITLE + '"" = 1', "", "unknown key ``"),
    "text for a number": (TITLE + 'seed = "7"', "seed", 'must be a whole number; got "7"'),
    "fraction for a whole number": (TITLE + "[episodes]\nsteps = 10.0", "episodes.steps", "whole number; got 10.0"),
    "truth for a whole number": (TITLE + "pilots = true", "pilots", "must be a whole number; got true"),
    "truth for a number": (TITLE + "[episodes]\npace = true", "episodes.pace", "must be a number; got true"),
    "number for truth": (TITLE + "[screens]\nkey_test = 1", "screens.key_test", "must be true or false; got 1"),
    "date for text": (TITLE + "language = 2024-01-01", "language", "got a date"),
    "text for a list": (TITLE + 'conditions = "pico"', "conditions", "must be a list"),
    "number in a list": (TITLE + "conditions = ['pico', 3]", "conditions[2]", "text in quotation marks; got 3"),
    "value for a section": (TITLE + "episodes = 3", "episodes", "must be a section"),
    "list for a section": (TITLE + "[[channel]]\nbits = 85", "channel", "must be a section"),
    "section for a value": (TITLE + "[seed]\nx = 1", "seed", "must be a whole number; got a section"),
    "negative seed": (TITLE + "seed = -1", "seed", "must be 0 or more; got -1"),
    "huge seed": (TITLE + f"seed = 0x{'f' * 9000}", "seed", "too large"),
    "huge bits": (TITLE + f"[channel]\nbits = 0x{'f' * 9000}", "channel.bits", "too large"),
    "huge setting": (TITLE + f"[task]\nspeed = 0x{'f' * 9000}", "task.speed", "too large"),
    "huge number in a setting": (TITLE + f"[task]\nspeed = [[0x{'f' * 9000}]]", "task.speed", "too large"),
    "no participants": (TITLE + "participants = 0", "participants", "must be 1 or more; got 0"),
    "many pilots": (TITLE + "pilots = 101", "pilots", "must be 100 or less; got 101"),
    "negative count": (TITLE + "[episodes]\npractice = -3", "episodes.practice", "between 0 and 1000; got -3"),
    "no steps": (TITLE + "[episodes]\nsteps = 0", "episodes.steps", "between 1 and 100000; got 0"),
    "unknown exploration": (TITLE + "[episodes]\nexplore = 'full'", "episodes.explore", "random, pico, perceptual"),
    "exploration before its mask": (TITLE + "[episodes]\nexplore = 'pico'", "episodes.explore", 'begin with "random"'),
    "unknown condition": (TITLE + "conditions = ['random', 'pcio']", "conditions", "unknown condition 'pcio'"),
    "condition twice": (TITLE + "conditions = ['pico', 'pico']", "conditions", "once each"),
    "no conditions": (TITLE + "conditions = []", "conditions", "at least one"),
    "too few bits": (TITLE + "[channel]\nbits = 3", "channel.bits", "bits per step or more"),
    "unknown noise": (TITLE + "[channel]\nnoise = 'rain'", "channel.noise", '"flips", "erasures" or "gaussian"'),
    "noise without a kind": (TITLE + "[channel]\nnoise_rate = 0.1", "channel.noise_rate", "needs a kind of noise"),
    "noise beyond certainty": (
        TITLE + "[channel]\nnoise = 'flips'\nnoise_rate = 1.5",
        "channel.noise_rate",
        "between 0 and 1",
    ),
    "late actions": (TITLE + "[channel]\naction_delay = 6", "channel.action_delay", "between 0 and 5 steps; got 6"),
    "lost actions": (TITLE + "[channel]\naction_loss = 1.5", "channel.action_loss", "between 0 and 1; got 1.5"),
    "negative bits": (TITLE + "[channel]\nbits = -85", "channel.bits", "between 1 and"),
    "unknown interval": (
        TITLE + "[channel]\nmask_interval = 'sometimes'",
        "channel.mask_interval",
        '"episode" or "step"',
    ),
    "unknown fill": (TITLE + "[channel]\nfill = 'guess'", "channel.fill", 'got "guess"'),
    "pace of a film": (TITLE + "[episodes]\npace = 60", "episodes.pace", "between 1 and 50 steps a second; got 60"),
    "endless pace": (TITLE + "[episodes]\npace = inf", "episodes.pace", "must be a finite number; got inf"),
    "no pace": (TITLE + "[episodes]\npace = nan", "episodes.pace", "must be a finite number; got nan"),
    "unknown task": (
        TITLE + "[task]\nname = 'lunar-landr'",
        "task",
        "no task 'lunar-landr'; did you mean 'lunar-lander'",
    ),
    "task that is a number": (TITLE + "[task]\nname = 3", "task.name", "text in quotation marks; got 3"),
    "task that is a value": (TITLE + "task = 'car-racing'", "task", "must be a section"),
    "task of a long name": (TITLE + f"[task]\nname = '{'x' * 201}'", "task.name", "at most 200 characters"),
    "misspelt setting": (
        TITLE + "[task]\nsped = 60",
        "task",
        "car-racing has no setting 'sped'; did you mean 'speed'?",
    ),
    "setting of another task": (TITLE + "[task]\nname = 'lunar-lander'\nspeed = 9", "task", "has no setting 'speed'"),
    "setting of no name": (TITLE + "[task]\n'' = 60", "task", "has no setting ''"),
    "endless speed": (TITLE + "[task]\nspeed = inf", "task", "speed must be above 0 and at most 200"),
    "no speed": (TITLE + "[task]\nspeed = nan", "task", "speed must be above 0 and at most 200"),
    "standing still": (TITLE + "[task]\nspeed = 0", "task", "above 0 and at most 200"),
    "truth for a speed": (TITLE + "[task]\nspeed = true", "task", "speed: "),
    "section for a speed": (TITLE + "[task.speed]\nx = 1", "task", "speed: "),
    "date for a speed": (TITLE + "[task]\nspeed = 2024-01-01", "task", "speed: "),
    "unknown handling": (
        TITLE + "[task]\nhandling = 'easy'",
        "task",
        "handling: input should be 'stock' or 'forgiving'",
    ),
    "model elsewhere": (TITLE + "[task]\nmodel = '/tmp/model'", "task.model", "must lie in the study's folder"),
    "model above": (TITLE + "[task]\nmodel = '../model'", "task.model", "must lie in the study's folder"),
    "missing model": (
        TITLE + "[task]\nmodel = 'model'",
        "task.model",
        "there is no folder model in the study's folder",
    ),
    "model that is a file": (TITLE + "[task]\nmodel = 'study.toml'", "task.model", "there is no folder study.toml"),
    "model of nothing": (TITLE + "[task]\nmodel = '.'", "task.model", "model.safetensors"),
    "unknown seeds": (TITLE + "[episodes]\nseeds = 'all'", "episodes.seeds", 'must be "varied" or a list'),
    "number for seeds": (TITLE + "[episodes]\nseeds = 42", "episodes.seeds", 'must be "varied" or a list'),
    "no seeds": (TITLE + "[episodes]\nseeds = []", "episodes.seeds", "at least 1 entry"),
    "text for a seed": (TITLE + "[episodes]\nseeds = [1, 'b']", "episodes.seeds[2]", 'whole number; got "b"'),
    "impossible seed": (TITLE + "[episodes]\nseeds = [2147483648]", "episodes.seeds", "2147483647"),
    "too many seeds": (TITLE + f"[episodes]\nseeds = {[1] * 1001}", "episodes.seeds", "at most 1000 entries"),
    "mask of no pilot": (TITLE + "pilots = 0", "masks.pico", 'use "shipped" or a file'),
    "levels of no pilot": (
        TITLE + "pilots = 0\nconditions = ['pico-rate', 'raw']",
        "masks.pico_rate",
        'use "shipped" or a file',
    ),
    "levels of one drive": (
        TITLE + "conditions = ['pico-rate', 'raw']\n[episodes]\ncalibration = 1\nexploration = 0",
        "masks.pico_rate",
        "needs 2 episodes of the pilots",
    ),
    "levels shipped elsewhere": (TITLE + "[masks]\npico_rate = 'ship'", "masks.pico_rate", '"pilot" or "shipped"'),
    "mask of no calibration": (TITLE + "[episodes]\ncalibration = 0", "episodes.calibration", "must be 2 or more"),
    "nothing to compare": (TITLE + "[episodes]\nevaluation = 0", "episodes.evaluation", "must be 1 or more"),
    "perceptual mask shipped": (
        TITLE + "[masks]\nperceptual = 'shipped'",
        "masks.perceptual",
        "no such mask",
    ),
    "unknown mask": (TITLE + "[masks]\npico = 'piolt'", "masks.pico", '"pilot" or "shipped"'),
    "missing mask": (TITLE + "[masks]\npico = 'a.safetensors'", "masks.pico", "there is no file a.safetensors"),
    "mask elsewhere": (TITLE + "[masks]\npico = '/tmp/a.safetensors'", "masks.pico", "must lie in the study's folder"),
    "mask above": (TITLE + "[masks]\npico = 'x/../../a.safetensors'", "masks.pico", "must lie in the study's folder"),
    "mask on a drive": (TITLE + "[masks]\npico = 'C:\\a.safetensors'", "masks.pico", "must lie in the study's folder"),
    "mask of a long name": (
        TITLE + f"[masks]\npico = '{'a' * 5000}.safetensors'",
        "masks.pico",
        "at most 200 characters",
    ),
    "mask with a NUL": (TITLE + '[masks]\npico = "a\\u0000.safetensors"', "masks.pico", "must lie in"),
    "unknown language": (TITLE + "language = 'fr'", "language", "use en, de, or"),
    "language elsewhere": (TITLE + "language = '../fr.toml'", "language", "must lie in the study's folder"),
    "missing language": (TITLE + "language = 'fr.toml'", "language", "no such file"),
    "no key": (TITLE + "[keys]\nleft = []", "keys", "no key is named for left"),
    "unknown key on the keyboard": (TITLE + "[keys]\nleft = ['lefty']", "keys", "there is no key 'lefty'"),
    "key of two actions": (TITLE + "[keys]\nleft = ['d']", "keys", "cannot mean two actions"),
    "key of no action": (TITLE + "[keys]\nbrake = ['b']", "keys", "no action 'brake' has keys"),
    "text for keys": (TITLE + "[keys]\nleft = 'a'", "keys.left", "must be a list"),
    "number for a key": (TITLE + "[keys]\nleft = [3]", "keys.left[1]", "text in quotation marks; got 3"),
    "many keys": (TITLE + f"[keys]\nleft = {['a'] * 21}", "keys.left", "at most 20 entries"),
    "key of the window": (TITLE + "[keys]\nleft = ['escape']", "keys", "the window needs it"),
    "long consent": (TITLE + f"[screens]\nconsent = '{'x' * 20001}'", "screens.consent", "at most 20000 characters"),
    "consent with a bell": (TITLE + '[screens]\nconsent = "a\\u0007"', "screens.consent", "control character"),
    "negative break": (TITLE + "[screens]\nbreak_seconds = -1", "screens.break_seconds", "must be 0 or more"),
    "unknown questionnaire": (TITLE + "[questionnaires]\nend = ['sus']", "questionnaires.end", "driving, nasa-tlx"),
    "questionnaire twice": (TITLE + "[questionnaires]\nend = ['driving', 'driving']", "questionnaires.end", "twice"),
    "custom twice": (TITLE + ITEM + ITEM, "questionnaires.custom", "names 'mine' twice"),
    "custom named as a built-in": (
        TITLE + ITEM.replace("mine", "driving"),
        "questionnaires.custom[1].name",
        "built-in",
    ),
    "custom without items": (
        TITLE + "[[questionnaires.custom]]\nname = 'x'",
        "questionnaires.custom[1].items",
        "missing",
    ),
    "custom of no items": (
        TITLE + "[[questionnaires.custom]]\nname = 'x'\nitems = []",
        "questionnaires.custom[1]",
        "no items",
    ),
    "item without text": (TITLE + ITEM.replace('text = "A?"', ""), "questionnaires.custom[1].items[1].text", "missing"),
    "item of a bad id": (TITLE + ITEM.replace('"a"', '"a b"'), "questionnaires.custom[1].items[1]", "item id 'a b'"),
    "item of one point": (TITLE + ITEM + "points = 1", "questionnaires.custom[1].items[1]", "between 2 and 21; got 1"),
    "item with both answers": (
        TITLE + ITEM + "points = 3\nkind = 'text'",
        "questionnaires.custom[1].items[1]",
        "for a scale; its kind is text",
    ),
    "item of no kind": (TITLE + ITEM + "kind = 'drawing'", "questionnaires.custom[1].items[1].kind", '"choices"'),
    "choice of one": (
        TITLE + ITEM + "kind = 'choice'\noptions.yes = 'Yes'",
        "questionnaires.custom[1].items[1]",
        "2 to 20 options; got 1",
    ),
    "option of a bad name": (
        TITLE + ITEM + "kind = 'choices'\noptions.1 = 'Yes'\noptions.no = 'No'",
        "questionnaires.custom[1].items[1]",
        "option '1' must be a letter",
    ),
    "options of a scale": (
        TITLE + ITEM + "options.a = 'A'\noptions.b = 'B'",
        "questionnaires.custom[1].items[1]",
        "options are for the kinds choice, choices and picture",
    ),
    "pictures of words": (
        TITLE + ITEM + "kind = 'picture'\noptions.a = 'A'\noptions.b = '../b.png'",
        "questionnaires.custom[1], item a, options.a",
        "there is no file A in the study's folder",
    ),
    "pictures outside of the folder": (
        TITLE + ITEM + "kind = 'picture'\noptions.b = '../b.png'\noptions.a = 'A'",
        "questionnaires.custom[1], item a, options.b",
        "out of the study's folder",
    ),
    "too many pictures": (
        TITLE + ITEM + "kind = 'picture'\n" + "".join(f"options.o{n} = '{n}.png'\n" for n in range(10)),
        "questionnaires.custom[1].items[1]",
        "2 to 9 options; got 10",
    ),
    "number without an end": (
        TITLE + ITEM + "kind = 'number'\nleast = 18",
        "questionnaires.custom[1].items[1]",
        "needs least and most",
    ),
    "number of no room": (
        TITLE + ITEM + "kind = 'number'\nleast = 2\nmost = 2",
        "questionnaires.custom[1].items[1]",
        "least must be below most",
    ),
    "number between decimals": (
        TITLE + ITEM + "kind = 'number'\nleast = 0.5\nmost = 2",
        "questionnaires.custom[1].items[1]",
        "no more decimals than answers",
    ),
    "page of no items": (
        TITLE + "[[questionnaires.custom]]\nname = 'q'\nper_page = 0\nitems = [{id = 'a', text = 'A?'}]",
        "questionnaires.custom[1]",
        "per_page must lie between 1 and 10; got 0",
    ),
    "short code": (TITLE + "[experimenter]\ncode = 'abc'", "experimenter.code", "4 to 32"),
    "code in Greek": (TITLE + "[experimenter]\ncode = 'αβγδ'", "experimenter.code", "a to z"),
    "several mistakes": (TITLE + "seed = -1\npilots = -1\n[channel]\nbits = 'x'", "pilots", "got -1 (and 2 more)"),
    "key twice": (TITLE + "seed = 1\nseed = 2", "line 3", "is here twice"),
    "section twice": (TITLE + "[keys]\n[keys]", "line 3", "the section 'keys' is here twice"),
    "text without quotation marks": ("title = Mine", "line 1", "text needs quotation marks"),
    "open quotation mark": (TITLE + 'language = "en\n', "line 2", "a quotation mark is missing"),
    "open text": (TITLE + '[screens]\nconsent = """abc\n', "at the end", "a quotation mark is missing"),
    "open list": (TITLE + "conditions = ['pico'\n", "at the end", "a closing bracket is missing"),
    "more than a recording keeps": (
        TITLE + f"[screens]\nconsent = '{'語' * 20_000}'\ninstructions = '{'語' * 20_000}'",
        "says more than the 100 kB that every recording can keep",
        "shorten",
    ),
    "language of a long name": (TITLE + f"language = '{'a' * 9999}.toml'", "language", "at most 200 characters"),
    "open section": (TITLE + "[keys\n", "line 2", "a closing bracket is missing"),
    "key without a value": (TITLE + "seed 3", "line 2", "a key needs a ="),
    "two keys on a line": (TITLE + "seed = 3 pilots = 1", "line 2", "one key to a line"),
    "no TOML at all": ("{}", "line 1", "no key begins like this"),
    "Latin 1": ("# \ntitle = 'Bögen'".encode("latin-1"), "line 2", "save the file as UTF-8"),
    "UTF-16": (TITLE.encode("utf-16"), "line 1", "save the file as UTF-8"),
    "bytes of an HDF5 file": (b"\x89HDF\r\n\x1a\n" * 20, "line 1", "UTF-8"),
    "large file": (TITLE + "#" * 1_000_001, "is larger than 1 MB", "far smaller"),
    "deep lists": (TITLE + "seed = " + "[" * 100_000, "brackets are nested too deep", ""),
    "deep sections": (TITLE + "seed = " + "{a=" * 100_000, "brackets are nested too deep", ""),
    "deep key": (TITLE + "a" + ".a" * 400_000 + " = 1", "line 2", "dots"),
    "deep key behind text": (TITLE + 'x = [{k = """a"""", a' + ".a" * 9999 + " = 1}]", "line 2", "dots"),
    "number of many digits": (
        TITLE + "seed = " + "9" * 5000,
        "holds a number with too many digits, or an impossible date",
        "",
    ),
}


@pytest.mark.parametrize(("content", "key", "part"), BAD.values(), ids=list(BAD))
def test_a_bad_study_is_refused_in_one_line_that_names_the_key(
    tmp_path: Path, content: str | bytes, key: str, part: str
) -> None:
    message = refusal(tmp_path, content)
    assert re.match(rf"{re.escape(key)}([:;]|$)", message), message
    assert part in message


def test_a_study_says_what_it_says(tmp_path: Path) -> None:
    path = write(tmp_path / "demo", FULL)
    mask = tmp_path / "demo" / "ours" / "first.safetensors"
    mask.parent.mkdir()
    mask.touch()
    tiny_for("car-racing-clutter", tmp_path / "demo" / "models" / "mine")
    study = load_study(tmp_path / "demo")
    assert (study.path, study.folder) == (path, tmp_path / "demo")
    assert study.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (study.recordings, study.masks) == (tmp_path / "demo" / "recordings", tmp_path / "demo" / "masks")
    file = study.file
    assert (file.title, file.participants, file.pilots, file.language, file.seed) == ("Bits und Bögen", 6, 2, "de", 7)
    conditions = ("raw", "perceptual", "random")
    assert file.protocol_config("evaluation") == ProtocolConfig(
        "evaluation", 0, 4, 5, "random", 3, 250, conditions, (42, 7, 42)
    )
    assert file.channel_config() == ChannelConfig(60, "step", "prior", "erasures", 0.25)
    assert file.make_task() == CarRacingClutter("forgiving", 60.0, clutter=0.5)
    assert study.model == tmp_path / "demo" / "models" / "mine"
    assert file.episodes.pace == 20.0 and isinstance(file.episodes.pace, float)
    assert file.keys.given == {"left": ("q",), "right": ("p", "right")}
    assert file.screens.consent.startswith("First line.\nSecond line: 1.2.3")
    assert file.screens.model_dump(exclude={"consent"}) == {
        "instructions": "Drive.",
        "key_test": False,
        "break_every": 0,
        "break_seconds": 30,
        "countdown": 0,
    }
    assert file.questionnaires.after_condition == ("driving", "trust")
    assert file.experimenter.model_dump() == {"code": "Leave123", "fullscreen": False}
    assert file.masks_needed == ("perceptual",)
    assert [study.mask_path(name) for name in ("raw", "pico", "perceptual")] == [None, None, mask]


def test_the_settings_kept_with_recordings_are_json_of_everything_but_the_code(tmp_path: Path) -> None:
    write(tmp_path, FULL.replace("ours/first.safetensors", "pilot"))
    tiny_for("car-racing-clutter", tmp_path / "models" / "mine")
    study = load_study(tmp_path)
    assert json.loads(json.dumps(study.settings)) == study.settings
    assert "Leave123" not in str(study.settings)
    code = {"experimenter": {"code": "Leave123", "fullscreen": False}}
    assert StudyFile.model_validate(study.settings | code) == study.file


def test_questionnaires_are_found_whether_custom_or_built_in(tmp_path: Path) -> None:
    write(tmp_path, FULL.replace("ours/first.safetensors", "pilot"))
    tiny_for("car-racing-clutter", tmp_path / "models" / "mine")
    study = load_study(tmp_path)
    trust, why = study.questionnaire("trust").items
    assert (trust.low, trust.high, trust.points, trust.kind) == ("not at all", "completely", 5, "scale")
    assert (why.id, why.kind) == ("why", "text")
    assert study.questionnaire("nasa-tlx").name == "nasa-tlx"


def test_masks_of_pilots_lie_in_the_masks_folder_named_by_condition(tmp_path: Path) -> None:
    write(tmp_path, TITLE)
    study = load_study(tmp_path)
    assert study.mask_path("pico") == tmp_path / "masks" / "pico.safetensors"
    assert study.mask_path("perceptual") == tmp_path / "masks" / "perceptual.safetensors"


def test_what_people_hear_and_see_decides_and_what_other_devices_are_told_does_not() -> None:
    before = settings_sha256({"title": "T"})  # as a recording of an earlier version says it
    silent = {"lsl": True, "frames": True, "serial": "COM3", "photodiode": 0, "sounds": False}
    assert settings_sha256({"title": "T", "markers": silent}) == before
    met = [settings_sha256({"title": "T", "markers": silent | each}) for each in ({"sounds": True}, {"photodiode": 60})]
    assert len({before, *met}) == 3


def test_where_a_mask_that_nobody_needs_comes_from_decides_nothing(tmp_path: Path) -> None:
    hashes = []
    for masks in ("", "perceptual = 'ours.safetensors'", "pico_rate = 'shipped'", "pico = 'shipped'"):
        write(tmp_path, TITLE + f"conditions = ['random', 'pico', 'full']\n[masks]\n{masks}")
        (tmp_path / "ours.safetensors").touch()
        hashes.append(load_study(tmp_path).settings_sha256)
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


def test_only_masks_of_what_is_shown_are_needed(tmp_path: Path) -> None:
    write(tmp_path, TITLE + "pilots = 0\nconditions = ['random', 'full']\n[episodes]\nexplore = 'perceptual'\n")
    assert load_study(tmp_path).file.masks_needed == ()


def test_a_second_round_explores_once_the_first_has_made_its_mask(tmp_path: Path) -> None:
    write(tmp_path, TITLE + "[episodes]\nexplore = 'pico'\n")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "pico.safetensors").touch()
    assert load_study(tmp_path).file.masks_needed == ("pico",)


def test_a_mask_may_be_a_link_within_the_folder_but_not_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "outside.safetensors").touch()
    study = tmp_path / "study"
    path = write(study, TITLE + "[masks]\npico = 'a.safetensors'\n")
    (study / "a.safetensors").symlink_to(tmp_path / "outside.safetensors")
    assert "masks.pico: a.safetensors is a link out of the study's folder" in refusal(study, path.read_bytes())
    (study / "real.safetensors").touch()
    (study / "a.safetensors").unlink()
    (study / "a.safetensors").symlink_to("real.safetensors")
    assert load_study(path).mask_path("pico") == study / "a.safetensors"
    (study / "real.safetensors").unlink()
    (study / "real.safetensors").symlink_to("a.safetensors")
    assert "masks.pico" in refusal(study, path.read_bytes())


def test_a_language_must_not_be_a_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "fr.toml").touch()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "fr.toml").symlink_to(tmp_path / "fr.toml")
    assert refusal(tmp_path / "study", TITLE + "language = 'fr.toml'\n").startswith("language: ")


def test_a_language_file_that_cannot_be_read_is_a_problem_of_the_study(tmp_path: Path) -> None:
    (tmp_path / "fr.toml").write_text(f"texts = {'9' * 5000}", encoding="utf-8")
    assert refusal(tmp_path, TITLE + "language = 'fr.toml'\n").startswith("language: ")


def test_the_mark_that_some_editors_put_in_front_changes_nothing_but_the_hash(tmp_path: Path) -> None:
    write(tmp_path / "a", TITLE)
    write(tmp_path / "b", b"\xef\xbb\xbf" + TITLE.encode().replace(b"\n", b"\r\n"))
    plain, marked = load_study(tmp_path / "a"), load_study(tmp_path / "b")
    assert plain.file == marked.file and plain.sha256 != marked.sha256


def test_the_error_survives_its_way_between_processes(tmp_path: Path) -> None:
    error = StudyFileError(tmp_path, "seed: is odd")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == f"{tmp_path}: seed: is odd"


def test_a_study_file_cannot_be_changed_once_read(tmp_path: Path) -> None:
    write(tmp_path, TITLE)
    file = load_study(tmp_path).file
    with pytest.raises(ValueError, match="frozen"):
        file.episodes.steps = 3  # type: ignore[misc]


def test_a_study_takes_from_its_task_what_it_does_not_say(tmp_path: Path) -> None:
    write(tmp_path, TITLE)
    study = load_study(tmp_path)
    assert study.file.make_task() == make_task()
    assert (study.model, study.file.episodes.pace, study.file.keys.given) == (None, None, {})
    assert study.file.protocol_config("pilot").steps == 100
    write(tmp_path / "lander", TITLE + "[task]\nname = 'lunar-lander'\nmodel = 'm'\n")
    tiny_for("lunar-lander", tmp_path / "lander" / "m")
    assert load_study(tmp_path / "lander").file.protocol_config("pilot").steps == 400


@pytest.mark.parametrize(
    ("task", "asked"), [("car-racing", ("driving",)), ("lunar-lander", ("nasa-tlx",)), ("vehicles", ())]
)
def test_after_each_condition_the_task_asks_unless_the_file_says_otherwise(
    task: str, asked: tuple[str, ...], tmp_path: Path
) -> None:
    write(tmp_path, TITLE + f"[task]\nname = '{task}'\n[questionnaires]\nend = ['driving']\n")
    assert load_study(tmp_path).file.questionnaires.after_condition == asked
    write(tmp_path, TITLE + f"[task]\nname = '{task}'\n[questionnaires]\nafter_condition = []\n")
    assert load_study(tmp_path).file.questionnaires.after_condition == ()


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"frame": (40, 40, 1)}, "is for frames of 40x40x1, and task car-racing has frames of 64x64x3"),
        ({"actions": 4}, "is for 4 actions, and task car-racing has 3 actions"),
        ({"actions": 2}, "is for 2 actions"),
    ],
)
def test_a_latent_model_of_other_sizes_is_refused(tmp_path: Path, other: dict[str, Any], told: str) -> None:
    tiny_for("car-racing", tmp_path / "m", **other)
    message = refusal(tmp_path, TITLE + "[task]\nmodel = 'm'\n")
    assert message.startswith("task.model: the latent model in ") and told in message


def test_a_damaged_latent_model_is_refused(tmp_path: Path) -> None:
    (tiny_for("car-racing", tmp_path / "m") / "model.safetensors").write_bytes(b"{" * 5000)
    assert refusal(tmp_path, TITLE + "[task]\nmodel = 'm'\n").startswith("task.model: ")


def test_a_latent_model_must_not_be_a_link_out_of_the_folder(tmp_path: Path) -> None:
    tiny_for("car-racing", tmp_path / "m")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "m").symlink_to(tmp_path / "m")
    assert "task.model: m is a link out of" in refusal(tmp_path / "study", TITLE + "[task]\nmodel = 'm'\n")


def test_slots_that_are_too_small_for_the_latent_model_are_refused(tmp_path: Path) -> None:
    tiny_for("car-racing", tmp_path / "m", latents=64, blocks=16)
    text = TITLE + "[task]\nmodel = 'm'\n[channel]\nbits = 4\n"
    assert refusal(tmp_path, text).startswith("channel.bits: ")


@pytest.mark.parametrize("condition", ["pico", "pico-rate"])
def test_a_mask_that_does_not_come_with_the_latent_model_is_not_shipped(tmp_path: Path, condition: str) -> None:
    (tiny_for("car-racing", tmp_path / "m") / f"{condition}.safetensors").unlink()
    key = condition.replace("-", "_")
    text = TITLE + f"conditions = ['random', '{condition}']\n[masks]\n{key} = 'shipped'\n"
    assert load_study(write(tmp_path / "with", text)).mask_path(condition) is None
    message = refusal(tmp_path, text + "[task]\nmodel = 'm'\n")
    assert message.startswith(f"masks.{key}: none comes with the latent model")


def test_a_task_of_a_package_that_is_not_here_is_refused(tmp_path: Path) -> None:
    text = TITLE + "[task]\nname = 'counting'\nmodel = 'm'\nsize = 7\n[keys]\ngo = ['g']\n"
    assert refusal(tmp_path / "study", text).startswith("task: there is no task 'counting'; choose from car-racing")
    tiny_for("car-racing", tmp_path / "study" / "m")
    with installing(tmp_path) as install:
        install("their_task", COUNTING, GROUP, "counting = their_task:Counting")
        file = load_study(tmp_path / "study").file
        assert file.protocol_config("evaluation").steps == 4
        assert file.task.settings == {"size": 7}
        assert refusal(tmp_path / "study", text.replace("7", "'many'")).startswith("task: task counting: size: input")


def test_a_task_of_a_broken_package_is_refused(tmp_path: Path) -> None:
    with installing(tmp_path) as install:
        install("their_task", "raise RuntimeError('half\\ninstalled')", GROUP, "counting = their_task:Counting")
        told = refusal(tmp_path / "study", TITLE + "[task]\nname = 'counting'\n")
    assert told.startswith("task: task counting of package their-task cannot be loaded (RuntimeError: half")


def test_the_study_here_is_found_before_those_in_folders(tmp_path: Path) -> None:
    below = write(tmp_path / "demo", TITLE)
    assert find_study(None, tmp_path) == below
    here = write(tmp_path, TITLE)
    assert find_study(None, tmp_path) == here
    assert find_study(tmp_path / "demo") == find_study(below) == below


def test_without_a_study_or_with_several_none_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match="no study here; make one with `racer study init NAME`"):
        find_study(None, tmp_path)
    write(tmp_path / "a", TITLE)
    write(tmp_path / "b", TITLE)
    with pytest.raises(StudyFileError, match="there are 2 studies here; name the one you mean: a, b"):
        find_study(None, tmp_path)


@pytest.mark.parametrize("argument", ["nowhere", "nowhere/study.toml", "empty", "pipe", "a\0b", "x" * 5000])
def test_a_study_that_is_not_there_is_named(tmp_path: Path, argument: str) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StudyFileError) as caught:
        load_study(tmp_path / argument)
    assert len(str(caught.value).splitlines()) == 1


VALUES = (
    "-1",
    "0",
    "1e400",
    "nan",
    "true",
    '""',
    '"pico"',
    '"../x.safetensors"',
    "[]",
    "[[]]",
    "{}",
    "1979-05-27",
    "0x" + "f" * 99,
)
LINES = preset_text("paper").replace('"LANGUAGE"', '"en"').splitlines()
KEYED = [number for number, line in enumerate(LINES) if re.match(r"[a-z]", line)]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a valid file after some edits: values exchanged, lines moved, lost, doubled or cut, bytes overwritten."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.sampled_from(KEYED))
        edit = draw(st.sampled_from(("value", "value", "move", "lose", "double", "cut", "noise")))
        if edit == "value":
            value = draw(st.sampled_from(VALUES) | st.integers().map(str) | st.floats().map(str))
            lines[at] = f"{lines[at].partition('=')[0]}= {value}"
        elif edit == "move":
            lines[at], lines[0] = lines[0], lines[at]
        elif edit == "lose":
            lines[at] = ""
        elif edit == "double":
            lines[at] += f"\n{lines[at]}"
        elif edit == "cut":
            lines[at] = lines[at][: draw(st.integers(0, 20))]
        else:
            lines[at] = draw(st.text(max_size=20)) + lines[at][3:]
    data = bytearray("\n".join(lines).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@settings(max_examples=300, deadline=None)
@given(content=mutated() | st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_becomes_of_a_file_it_loads_or_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp() / "fuzzed", content)
    try:
        study = load_study(path)
    except StudyFileError as error:
        assert str(error).isprintable()
    else:
        assert StudyFile.model_validate(study.file.model_dump()) == study.file


def test_planning_more_people_changes_nothing_for_those_who_have_driven(tmp_path: Path) -> None:
    def settings(text: str) -> tuple[str, str]:
        (tmp_path / "study.toml").write_text(text)
        study = load_study(tmp_path)
        return study.sha256, study.settings_sha256

    before = settings('title = "one"\nparticipants = 6')
    planned = settings('title = "two"\nparticipants = 12\n[experimenter]\nfullscreen = false')
    longer = settings('title = "one"\nparticipants = 6\n[episodes]\nsteps = 101')
    assert before[0] != planned[0]
    assert before[1] == planned[1] != longer[1]
    worded = settings('title = "one"\nlanguage = "de"\n[screens]\nconsent = "Yes?"\ninstructions = "Go"')
    again = settings('title = "one"\nlanguage = "en"\n[screens]\nconsent = "Do you agree?"')
    assert worded[1] == again[1] != before[1], "whether there is a consent decides, and not its words"

    def asked(text: str, low: str, points: int) -> str:
        item = f'{{id = "a", text = "{text}", low = "{low}", high = "b", points = {points}}}'
        return settings(f'title = "one"\n[[questionnaires.custom]]\nname = "q"\nitems = [{item}]')[1]

    assert asked("Why?", "a", 5) == asked("What?", "c", 5) != asked("Why?", "a", 7)

    def chosen(words: str, name: str = "no") -> str:
        item = f'{{id = "a", text = "A?", kind = "choice", options = {{yes = "Yes", {name} = "{words}"}}}}'
        return settings(f'title = "one"\n[[questionnaires.custom]]\nname = "q"\nitems = [{item}]')[1]

    assert chosen("No") == chosen("Never") != chosen("No", "never")


def test_a_question_is_known_by_its_hash_however_its_study_file_was_written() -> None:
    before = {"id": "why", "text": "Why?", "low": "", "high": "", "points": None, "free": True}
    new = CustomItem.model_validate({"id": "why", "text": "Why?", "kind": "text"})
    assert CustomItem.model_validate({"id": "why", "text": "Why?", "free": True}) == new

    def recorded(item: dict[str, Any]) -> str:
        return settings_sha256({"questionnaires": {"custom": [{"name": "q", "items": [item]}]}})

    assert recorded(before) == recorded(new.model_dump()) != recorded(before | {"free": False})
    # Of version 0.1.0, which amendments of that time name.
    assert deciding({"questionnaires": {"custom": [{"name": "q", "items": [new.model_dump()]}]}}) == {
        "questionnaires": {"custom": [{"name": "q", "items": [{"id": "why", "points": None, "free": True}]}]}
    }
