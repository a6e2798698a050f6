"""The coder that the documentation adds: it must be as short as promised, and work once it is installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import compression
from compression.coders import BUILT_IN
from compression.coders import coder as coding
from compression.errors import CoderError

ROOT = Path(compression.__file__).parents[1]
PAGE = ROOT / "docs" / "how-to.md"


def example() -> str:
    """Return the module that the page shows."""
    shown = re.search(r"<!-- file: carousel.py -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    return shown[1]


def install(folder: Path, entry_point: str = "carousel = carousel:CAROUSEL", code: str | None = None) -> None:
    """Lay a package into a folder as an installer would."""
    (folder / "carousel.py").write_text(example() if code is None else code)
    metadata = folder / "carousel_coder-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: carousel-coder\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[racer.coders]\n{entry_point}\n")


def racer(*arguments: str, packages: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "racer", *arguments],
        capture_output=True,
        text=True,
        cwd=packages,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{packages}"},
        check=False,
    )


PLAY = ("play", "--condition", "carousel", "--driver", "simulated", "--headless", "--episodes", "1", "--steps", "20")


def test_the_example_has_fewer_than_forty_lines_of_code() -> None:
    assert sum(bool(line.strip()) for line in example().splitlines()) < 40


def test_the_example_drives_once_it_is_installed(tmp_path: Path) -> None:
    install(tmp_path)
    played = racer(*PLAY, "--bits", "8", "--json", packages=tmp_path)
    assert played.returncode == 0, played.stderr
    (episode,) = json.loads(played.stdout)["episodes"]
    assert (episode["condition"], episode["steps"]) == ("carousel", 20)


def test_the_example_conceals_what_noise_takes_away_and_is_recorded_and_verified(tmp_path: Path) -> None:
    install(tmp_path)
    episodes = [word for phase in ("practice", "evaluation") for word in (f"--{phase}", "1")]
    noise = ("--noise", "erasures", "--noise-rate", "0.4", "--bits", "12")
    start = ("session", "start", "p01", "--protocol", "evaluation", "--conditions", "carousel", "--steps", "20")
    started = racer(*start, *episodes, *noise, "--driver", "simulated", "--headless", "--json", packages=tmp_path)
    assert started.returncode == 0, started.stderr
    verified = racer("session", "verify", json.loads(started.stdout)["recording"], "--json", packages=tmp_path)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    outcomes = {check["check"]: check for check in json.loads(verified.stdout)["recordings"][0]["checks"]}
    assert {outcomes[name]["outcome"] for name in ("packets", "received", "masks")} == {"ok"}, outcomes


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return `install` into a folder where this process finds packages."""
    monkeypatch.syspath_prepend(tmp_path)
    coding.forget_installed()
    yield partial(install, tmp_path)
    sys.modules.pop("carousel", None)
    coding.forget_installed()


@pytest.mark.parametrize(
    ("entry_point", "code", "told"),
    [
        ("carousel = carousel:CAROUSEL", "raise RuntimeError('half\\ninstalled')", "RuntimeError: half installed"),
        ("carousel = carousel:CAROUSEL", "CAROUSEL = 'no coder'", "offers no Coder of the name carousel"),
        ("carousel = carousel:MISSING", "", "cannot be loaded"),
        ("carousels = carousel:CAROUSEL", "", "did you mean 'carousels'?"),
    ],
)
def test_a_package_that_offers_no_such_coder_is_named_in_one_line(
    entry_point: str, code: str, told: str, installer: Callable[..., None]
) -> None:
    installer(entry_point, code)
    with pytest.raises(CoderError) as refusal:
        coding.find_coder("carousel")
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_broken_package_is_listed_and_keeps_no_other_coder_away(installer: Callable[..., None]) -> None:
    installer(code="raise RuntimeError")
    assert coding.coder_names() == (*BUILT_IN, "carousel")
    assert coding.find_coder("random").name == "random"


def test_an_installed_package_cannot_take_the_name_of_a_built_in_condition(installer: Callable[..., None]) -> None:
    installer("raw = carousel:CAROUSEL\nrandom = carousel:CAROUSEL", "raise RuntimeError")
    assert coding.coder_names() == tuple(BUILT_IN)
    assert coding.find_coder("random").summary == "random blocks"


def test_a_coder_that_a_program_registers_is_found_and_takes_no_name_that_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coding, "_REGISTERED", {})
    mine = replace(coding.find_coder("random"), name="mine")
    coding.register(mine)
    assert coding.find_coder("mine") is mine
    assert coding.coder_names()[-1] == "mine"
    for name in ("mine", "random", "raw"):
        with pytest.raises(CoderError, match=f"a condition '{name}' already"):
            coding.register(replace(mine, name=name))
