from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from rates_builders import CODERS, TINY

from racer.engines import LocalEngine, RayEngine
from racer.errors import ConfigError, RacerError
from racer.file_bundle import MixedVersionsError
from racer.rates.driving import drive
from racer.rates.results import RESULTS
from racer.rates.sweep import Sweep, prepare_sweep, run_sweep
from racer.rates.write import write_rates
from racer.study.file import load_study
from racer.study.run import run_study

STUDY = """
title = "spread"
conditions = ["random", "pico"]
participants = 2
pilots = 1
[episodes]
practice = 0
calibration = 2
exploration = 2
evaluation = 1
steps = 4
"""
OWN = """
import os, subprocess, sys
from pathlib import Path
from racer.engines import RayEngine

engine = RayEngine(jobs=1)
token = f"RAY_AUTH_TOKEN={os.environ['RAY_AUTH_TOKEN']}".encode()
held = set()
for process in Path("/proc").glob("[0-9]*") if sys.platform == "linux" else ():
    try:
        if process.name == str(os.getpid()) or token in (process / "environ").read_bytes():
            held |= {os.readlink(each) for each in (process / "fd").iterdir()}
    except OSError:
        pass
for family in ("tcp", "tcp6") if sys.platform == "linux" else ():
    for line in Path("/proc/net", family).read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == "0A" and f"socket:[{inode}]" in held:
            print("listens-on", local.split(":")[0])
address = engine._ray.get_runtime_context().gcs_address
stranger = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
code = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
told = subprocess.run([sys.executable, "-c", code], env=stranger, capture_output=True, text=True)
print("refused" if told.returncode and "InvalidAuthToken" in told.stderr else told)
engine.close()
"""
"""Starts a Ray of its own, says where its parts listen, and has a process that does not know its token knock."""
LOOPBACK = {"0100007F", "0" * 16 + "FFFF0000" + "0100007F", "0" * 24 + "01000000"}
"""As /proc/net writes 127.0.0.1, ::ffff:127.0.0.1 and ::1."""


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    pytest.importorskip("ray", reason="Ray is not installed")
    engine = RayEngine(jobs=2)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    return prepare_sweep(replace(TINY, participants=1), CODERS)


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("rates*")}


def test_sweeps_and_studies_on_a_ray_cluster_give_the_same_bytes_as_in_this_process(
    engine: RayEngine, sweep: Sweep, tmp_path: Path
) -> None:
    assert engine.workers == 2
    here, there = tmp_path / "here", tmp_path / "there"
    write_rates(sweep, run_sweep(sweep, here, LocalEngine(1)), here)
    there.mkdir()
    begun = (here / RESULTS).read_bytes().splitlines(keepends=True)[:2]
    (there / RESULTS).write_bytes(b"".join(begun))
    driven = run_sweep(sweep, there, engine)
    assert driven.driven == len(sweep.grid.cells) - 1
    write_rates(sweep, driven, there)
    assert contents(there) == contents(here)
    studies = []
    for name, spread in (("mine", LocalEngine(1)), ("theirs", engine)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.toml").write_text(STUDY)
        studies.append(load_study(tmp_path / name))
        assert run_study(studies[-1], engine=spread, iterations=25).recorded == 3
    mine, theirs = (
        {path.name: path.read_bytes() for path in [*study.recordings.glob("*.h5"), *study.masks.iterdir()]}
        for study in studies
    )
    assert mine == theirs and {"pico.safetensors", "pico_curves.csv"} < set(mine)


def test_without_an_address_ray_listens_to_this_machine_alone_and_heeds_nobody_without_its_token() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    # As a shell for another cluster may have left it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["RAY_AUTH_MODE"] = "disabled"
    told = subprocess.run([sys.executable, "-c", OWN], env=environment, capture_output=True, text=True)
    *listening, knocked = told.stdout.splitlines()
    assert knocked == "refused", told.stderr
    if sys.platform == "linux":
        assert len(listening) > 3
        assert {line.split()[1] for line in listening} <= LOOPBACK


def kill_workers() -> int:
    """Kill the processes that drive cells at this moment, and return how many."""
    killed = 0
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and (process / "cmdline").read_bytes().startswith(b"ray::do_all"):
                os.kill(int(process.name), signal.SIGKILL)
                killed += 1
    return killed


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_cells_are_driven_again_when_the_process_that_drives_them_is_killed(engine: RayEngine) -> None:
    sweep = prepare_sweep(replace(TINY, participants=4), CODERS)
    killed, scores = 0, []
    for score in engine.spread(partial(drive, sweep.plan), sweep.grid.cells, 4, "people"):
        scores.append(score)
        killed = killed or kill_workers()
    assert killed, "nothing was under way after the first cells"
    assert sorted(scores, key=lambda score: score.cell.order) == sorted(
        drive(sweep.plan, sweep.grid.cells), key=lambda score: score.cell.order
    )


def test_what_goes_wrong_on_the_cluster_is_said_as_if_it_went_wrong_here(
    engine: RayEngine, sweep: Sweep, tmp_path: Path
) -> None:
    settings = tuple((name, "0.0.0" if name == "torch" else value) for name, value in sweep.plan.settings)
    with pytest.raises(MixedVersionsError, match="one of the processes has another torch"):
        run_sweep(replace(sweep, plan=replace(sweep.plan, settings=settings)), tmp_path, engine)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_a_cluster_that_is_not_there_is_said_at_once(address: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(RacerError, match=f"cannot reach a Ray cluster at {address}: .*; start one by") as refusal:
        RayEngine(address)
    assert len(str(refusal.value).splitlines()) == 1


def test_without_ray_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"needs Ray, which is not installed: pip install 'racer\[cluster\]'"):
        RayEngine()
