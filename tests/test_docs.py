"""The documentation is executed: commands run, options exist, study files load, links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pages import FENCE, ROOT, Block, blocks, install, make_commands, run

from compression.coders.packet import layout_for
from compression.model.sizes import Sizes
from racer.study.file import load_study

PAGES = sorted((ROOT / "docs").glob("*.md"))
PLAYED = ("tutorial.md", "how-to.md", "add-a-task.md")
"""Pages whose commands are run, one after the other in one folder."""
WITH_CATCH = "study file with catch.py"
"""Marks what needs the task that is added."""
FEW = {"practice": 1, "calibration": 2, "exploration": 2, "evaluation": 1, "steps": 20}
"""Numbers for the study file that make its rehearsal short."""
PARTICIPANTS = {"demo": 3, "catching": 6}
MOST_IMAGE_BYTES = 60_000
SIZES = Sizes(frame=(64, 64, 3), latents=32, blocks=8, actions=3, hidden=128, dense=256)
_INLINE = re.compile(r"`(racer [^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_STEPS = re.compile(r"(--(?:vae|world-model)-steps )\d+")
"""Of a training, which is shortened."""
_SCRIPT = re.compile(r"python (scripts/(?:\w+/)?\w+\.py)([^\n`]*)")


@cache
def options() -> dict[str, set[str]]:
    """Return the options of each command, as the reference lists them."""
    parts = re.split(r"^### (racer [\w ]+)$", (ROOT / "docs" / "reference.md").read_text(), flags=re.MULTILINE)
    return {
        name: set(re.findall(r"`(--[\w-]+)`", re.sub(r"^## .*", "", text, flags=re.DOTALL | re.MULTILINE)))
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def commands(page: Path) -> Iterator[str]:
    """Yield every command of Racer's that a page names, on a line of its own or within a sentence."""
    text = page.read_text()
    for block in blocks(page):
        if block.language == "sh":
            yield from (line for line in block.code.splitlines() if line.startswith("racer "))
    yield from _INLINE.findall(FENCE.sub("", text))


def problem(command: str) -> str | None:
    """Return what is wrong with a command, if anything: no such command, or no such option."""
    words = shlex.split(command, comments=True)
    known = next((" ".join(words[:count]) for count in (3, 2) if " ".join(words[:count]) in options()), None)
    groups = {" ".join(name.split()[:2]) for name in options()}
    if known is None:
        return None if " ".join(words[:2]) in groups or words[1].startswith("--") else "there is no such command"
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    unknown = given - options()[known] - {"--help"}
    return f"there is no option {', '.join(sorted(unknown))}" if unknown else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with commands to run."""
    folder = tmp_path_factory.mktemp("docs")
    make_commands(folder)
    return folder


def shorten(study: Path, participants: int) -> None:
    text = study.read_text()
    for key, value in (FEW | {"participants": participants}).items():
        text, count = re.subn(rf"^{key} = \d+", f"{key} = {value}", text, flags=re.MULTILINE)
        assert count == 1, f"{key} is not in {study}"
    study.write_text(text)


def play(block: Block, folder: Path) -> str:
    """Do what a block shows and return what it printed."""
    if block.marker.startswith("file: "):
        (folder / block.marker.removeprefix("file: ")).write_text(block.code)
        if block.language == "toml":
            install(tomllib.loads(block.code)["project"], folder)
    elif block.marker == "python":
        (folder / "example.py").write_text(block.code)
        return run("python example.py", folder)
    elif block.marker == WITH_CATCH:
        study = folder / "catching" / "study.toml"
        text = study.read_text()
        for line in block.code.splitlines():
            if line and not line.startswith("["):
                text, count = re.subn(rf"^{line.split()[0]} = .*$", line, text, flags=re.MULTILINE)
                assert count == 1, f"{line} is not in {study}"
        study.write_text(text)
    elif block.language == "sh" and not block.for_people:
        out = run(_STEPS.sub(r"\g<1>40", block.code), folder)
        for study in re.findall(r"^racer study init (demo|catching)\b", block.code, re.MULTILINE):
            shorten(folder / study / "study.toml", PARTICIPANTS[study])
        return out
    return ""


@pytest.mark.long
def test_the_tutorial_and_the_how_tos_run_from_beginning_to_end(folder: Path) -> None:
    printed = {block: play(block, folder) for page in PLAYED for block in blocks(ROOT / "docs" / page)}
    said = "".join(printed.values())
    assert "Recorded 4 simulated sittings" in said
    assert ": verified" in said
    assert (folder / "rehearsal" / "report.html").is_file()
    assert "Copied 3 recordings into together" in said
    assert (folder / "catching" / "report.html").is_file()
    assert (folder / "catch.mp4").stat().st_size
    silent = [block.code for block, out in printed.items() if block.marker == "python" and not out.strip()]
    assert silent == [], "an example that prints nothing shows nothing"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    for block in blocks(page):
        kind = block.marker.partition(":")[0].partition(" with ")[0]
        what = f"{page.name}: {block.marker!r} before\n{block.code}"
        if block.language == "sh":
            assert block.for_people or (not kind and page.name in PLAYED), what
        elif block.language == "python":
            assert kind in ("python", "file") and page.name in PLAYED, what
        elif block.language == "toml":
            assert kind in ("file", "study file"), what
        else:
            assert block.language == "text" or block.for_people, what


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_command_and_option_exists(page: Path) -> None:
    wrong = {command: found for command in commands(page) if (found := problem(command))}
    assert wrong == {}


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    assert problem("racer session start --study demo --resume") is None
    assert problem("racer session begin") is None, "what follows a group may be prose"
    assert problem("racer begin") is not None
    assert problem("racer session start --studdy demo") is not None


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_script_and_its_options_exist(page: Path) -> None:
    for script, words in _SCRIPT.findall(page.read_text()):
        source = (ROOT / script).read_text()
        for option in re.findall(r"--[\w-]+", words):
            assert f'"{option}"' in source, f"{script} has no {option}"


def test_every_part_of_a_study_file_that_is_shown_loads(tmp_path: Path) -> None:
    shown = [block for page in PAGES for block in blocks(page) if block.language == "toml"]
    shown = [block for block in shown if block.marker.startswith("study file") and block.marker != WITH_CATCH]
    assert shown
    shutil.copy(ROOT / "racer" / "window" / "languages" / "en.toml", tmp_path / "fr.toml")
    for block in shown:
        title = "" if block.code.startswith("title") else 'title = "x"\n'
        (tmp_path / "study.toml").write_text(title + block.code)
        load_study(tmp_path / "study.toml")


def test_the_tables_of_the_reference_are_those_of_the_code() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "documents" / "write_reference.py"), "--check"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_the_worked_packet_is_a_packet() -> None:
    page = (ROOT / "docs" / "reference.md").read_text()
    (packet,) = re.findall(r"big-endian +([0-9a-f]{22})$", page, re.MULTILINE)
    steps = re.findall(r"^x (\d+) \+ (\d+) +\(feature +(\d+) of those sent\) += (\d+)$", page, re.MULTILINE)
    value = 11
    for levels, symbol, feature, total in [tuple(map(int, step)) for step in steps[:2]]:
        assert symbol == feature
        value = value * levels + symbol
        assert value == total
    assert int(steps[-1][-1]) == int(packet, 16)
    assert layout_for(85, SIZES).unpack(bytes.fromhex(packet)) == (11, list(range(16)))


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_link_within_the_documentation_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {target}"


def test_the_tutorials_pictures_are_small_and_all_in_use() -> None:
    pictures = sorted((ROOT / "docs" / "images" / "tutorial").iterdir())
    text = "".join(page.read_text() for page in PAGES)
    assert [picture.name for picture in pictures if f"images/tutorial/{picture.name}" not in text] == []
    assert {picture.name: size for picture in pictures if (size := picture.stat().st_size) > MOST_IMAGE_BYTES} == {}


def test_every_test_that_is_named_exists() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    named = re.findall(r"`(?:tests/[\w/]+/)?(test_\w+\.py)(?:::(test_\w+)(\.\.\.)?)?`", text)
    assert len(named) > 30
    for file, name, cut in named:
        (path,) = (ROOT / "tests").rglob(file)
        defined = f"def {name}" if cut else f"def {name}("
        assert not name or f"\n{defined}" in path.read_text(), (file, name)


def anchors(page: Path) -> set[str]:
    """Return what headings can be linked by, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_task_that_is_added_has_fewer_than_120_lines_of_code() -> None:
    files = [block for block in blocks(ROOT / "docs" / "add-a-task.md") if block.marker.startswith("file: ")]
    assert len(files) == 2
    assert sum(bool(line.strip()) for block in files for line in block.code.splitlines()) < 120
