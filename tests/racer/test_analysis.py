"""A machine that only records needs no packages of statistics and figures; whoever analyses is told what to install."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

import racer
from racer.analysis import PACKAGES
from racer.cli import main
from racer.report.statistics import repeated_anova
from sessions.extras import MissingPackageError

ROOT = Path(racer.__file__).parents[1]


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match=r'pip install "racer\[analysis\]"'):
        repeated_anova(("a", "b"), np.array([[0.0, 1.0], [0.5, 0.25]]))


COMMANDS = (["demo", "--data", "new"], ["rates", "--out", "new"])


@pytest.mark.parametrize("command", COMMANDS, ids=["demo", "rates"])
def test_it_is_said_before_anything_is_driven(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, PACKAGES[-1], None)
    monkeypatch.setattr(sys, "argv", ["racer", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and 'pip install "racer[analysis]"' in line
    assert not list(tmp_path.iterdir())


def test_nothing_imports_them_but_through_the_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = {Requirement(each).name for each in project["optional-dependencies"]["analysis"]}
    assert extra == set(PACKAGES)
    assert not extra & {Requirement(each).name for each in project["dependencies"]}
    for package in ("compression", "disk", "racer", "sessions"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for_types = {id(each) for node in ast.walk(tree) if isinstance(node, ast.If) for each in ast.walk(node)}
            for node in ast.walk(tree):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if id(node) not in for_types:
                    assert not {name.partition(".")[0] for name in names} & extra, path


def test_the_lock_has_a_version_in_range_of_all_that_every_extra_asks_for() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = dict(line.split(" ")[0].split("==") for line in lines if re.match(r"[\w.-]+==", line))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for each in chain(project["dependencies"], *project["optional-dependencies"].values()):
        asked = Requirement(each)
        assert asked.name == "racer" or asked.specifier.contains(locked.get(asked.name, "0")), each
