from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_builders import Outcome, Racer, Refuse, everything

from racer.cli import main


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Racer]:
    """Run a command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def run_command(arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["racer", *arguments.split()])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ending:
            main()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        return Outcome(ending.value.code, *capsys.readouterr())

    yield run_command


@pytest.fixture
def refuse(run: Racer, tmp_path: Path) -> Refuse:
    """Check that a command line is refused in one line, with exit code 2 and nothing written."""

    def check(arguments: str, told: str) -> None:
        before = everything(tmp_path)
        outcome = run(arguments)
        assert outcome.code == 2
        lines = outcome.err.splitlines()
        as_json = {"error": outcome.err.strip().removeprefix("racer: "), "exit_code": 2}
        assert outcome.out == (f"{json.dumps(as_json)}\n" if "--json" in arguments.split() else "")
        assert len(lines) == 1, outcome.err
        assert lines[0].startswith("racer: ")
        assert told in lines[0]
        assert everything(tmp_path) == before

    return check
