"""Whatever recordings and study files say, what a terminal shows is what was printed, where it was printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from racing_builders import scored
from report_builders import driven, evaluation

import racer
from racer.study.init import init_study

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
pyte = pytest.importorskip("pyte", reason="pyte is not installed")

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\x1b[1;1H\x1b[31mb\u202eevil\u2066\u200f\x9b2J\x85\r\x08\x0b\u2028[red]c"
COMMANDS = (
    ("session", "list", "study/recordings"),
    ("session", "show", "RECORDING"),
    ("session", "verify", "study/recordings"),
    ("study", "status", "study"),
    ("study", "status", "refused"),
    ("study", "report", "study/recordings"),
    ("session", "list", HOSTILE),
)
CODES = ["0", "0", "1", "0", "2", "0", "2"]
CHILD = """
import sys
from racer.cli import main

for number, arguments in enumerate(ARGUMENTS):
    print(f"before {number}", flush=True)
    sys.argv, out, err = ["racer", *arguments], sys.stdout, sys.stderr
    try:
        main()
    except SystemExit as ending:
        sys.stdout, sys.stderr = out, err
        print(f"after {number}: {ending.code}", flush=True)
"""
OURS = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[lh]|2K)")
"""What rich sends by itself: colours, and what a progress bar needs."""
ROWS, COLUMNS = 400, 1000
"""Of the terminal; commands are told of 150 columns, and longer lines than that are left to it."""


def hostile_study(folder: Path) -> Path:
    """Write a study whose every text is out to harm a terminal; return one of its recordings."""
    for name in ("study", "refused"):
        init_study(name, "default", folder, "en")
    file = folder / "refused" / "study.toml"
    title = "".join(f"\\u{ord(each):04x}" for each in HOSTILE)
    text, count = re.subn(r'(?m)^title = ".*"', lambda match: f'title = "{title}"', file.read_text(), count=1)
    assert count == 1
    file.write_text(text)
    answers = [(f"end/0/-/driving/{HOSTILE}", HOSTILE), ("note", HOSTILE), ("consent", HOSTILE)]
    drives = [driven("random", [1, 2]), driven("pico", [2, 2]), scored(HOSTILE, 0.5)]
    texts = {"study": HOSTILE, "driver": HOSTILE, "software": {HOSTILE: HOSTILE}}
    data = folder / "study" / "recordings"
    paths = [evaluation(data, f"p{n}", drives, n, answers=answers, **texts) for n in range(2)]
    (data / f"{HOSTILE.replace('/', '')}.h5").write_bytes(b"torn")
    return paths[0]


def shown(arguments: list[list[str]], folder: Path) -> bytes:
    """Return the bytes that commands send to a terminal, one after another in a process."""
    ours, theirs = pty.openpty()
    code = CHILD.replace("ARGUMENTS", repr(arguments))
    places = os.pathsep.join([str(Path(racer.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    settings = {"TERM": "xterm-256color", "COLUMNS": "150", "LINES": "50", "PYTHONPATH": places}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=os.environ | settings, stdin=theirs, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        found = b""
        try:
            while more := os.read(ours, 65536):
                found += more
        except OSError:  # so Linux says that nobody holds the other end any more
            pass
    os.close(ours)
    return found


def test_no_text_from_a_file_moves_the_cursor_names_the_window_or_turns_what_is_written(tmp_path: Path) -> None:
    recording = hostile_study(tmp_path)
    arguments = [[str(recording) if each == "RECORDING" else each for each in command] for command in COMMANDS]
    found = shown(arguments, tmp_path)
    screen = pyte.Screen(COLUMNS, ROWS)
    screen.set_title("mine")
    stream = pyte.ByteStream(screen)
    stream.feed(b"first row\r\n")
    stream.feed(found)
    text = OURS.sub("", found.decode())
    steering = {each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp")}
    assert steering <= {"\r", "\n"}
    rows = [row.rstrip() for row in screen.display]
    assert screen.title == "mine"
    assert rows[0] == "first row"
    assert "?[2K" not in text, "rich reaches the terminal around the guard"
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    assert len(lines) < ROWS
    assert rows[1 : len(lines)] == lines[:-1], "each line stands on a row of its own, and none was written over"
    assert (screen.cursor.x, screen.cursor.y) == (0, len(lines))
    ends = [line for line in lines if re.match(r"after \d: ", line)]
    assert [line.split()[-1] for line in ends] == CODES
    assert text.count("evil") > 10, "what is to be guarded is shown"
