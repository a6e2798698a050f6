from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from person_builders import TRAITS
from typer.testing import CliRunner

import sessions
from racer.cli import make_app
from racer.drivers.checks import statistics_of
from racer.drivers.clone import Clone
from racer.drivers.clone_fitting import fit_clone
from racer.drivers.driver import DriverError
from racer.drivers.families.pursuit import Pursuit, PursuitTraits
from racer.drivers.likelihood import DEAD_ZONE, Drive, decisions, log_likelihood, look
from racer.drivers.person import CloneFile, PersonFile, read_fitted
from racer.drivers.registry import make_driver, was_fitted_on, who_drives
from racer.rates.provenance import driver_sha256
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.tasks.car_racing.task import CarRacing


def driven(traits: PursuitTraits, steps: int = 120, seed: int = 5) -> Drive:
    driver, trial = Pursuit(traits, 0), CarRacing().start(seed)
    frames, actions, off_road = [], [], []
    for _ in range(steps):
        frames.append(trial.frame())
        actions.append(driver.act(frames[-1]))
        off_road.append(bool(trial.step(actions[-1]).metrics["off_road"]))
    trial.close()
    return Drive("raw", seed, np.array(frames), np.array(actions, np.uint8), np.array(off_road))


@pytest.mark.parametrize("delay", [0, 2])
def test_the_likelihood_knows_what_the_family_does(delay: int) -> None:
    exact = PursuitTraits(12.0, 1.2, 0.6, 0.9, DEAD_ZONE, 0.0, delay, 0.0)
    seen = look(driven(exact), CarRacing())
    assert set(seen.actions) == {0, 1, 2}, "the track has bends both ways"
    values = np.array([1.2, 0.6, 0.9, 1e-6, 1e-4])
    # Without noise every key follows, a lapse aside; of another reaction time or row many do not.
    assert log_likelihood(values, *decisions([seen], delay, 12, 6)) > -0.1
    assert log_likelihood(values, *decisions([seen], delay + 1, 12, 6)) < -20
    assert log_likelihood(values, *decisions([seen], delay, 16, 6)) < -20
    for other in range(4):
        assert len(decisions([seen], other, 12, 6)[0]) == len(seen.actions) - 6, "all are judged by the same keys"


def test_another_pace_does_not_change_the_person() -> None:
    slow, fast = TRAITS.at(10.0), TRAITS.at(25.0)
    assert (slow.delay, fast.delay) == (2, 5)
    assert slow.lapses * 10 == pytest.approx(fast.lapses * 25) == pytest.approx(0.2)
    assert (slow.gain, slow.look_ahead) == (fast.gain, fast.look_ahead)


def test_what_is_counted_is_what_was_done() -> None:
    frames = np.zeros((40, 64, 64, 3), np.uint8)
    frames[..., 1] = 200  # grass all over
    actions = np.array([0, 1, 2, 1] * 10, np.uint8)
    off = np.zeros(40, bool)
    off[10:15] = off[30:33] = True
    reversals, beside, correlation, recovery = statistics_of([Drive("raw", 0, frames, actions, off)], CarRacing(), 10.0)
    assert reversals == pytest.approx(19 / 4) and np.isnan(beside)
    assert correlation == pytest.approx(np.corrcoef(actions[:-3], actions[3:])[0, 1])
    assert recovery == pytest.approx((0.5 + 0.3) / 2)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a driver that the command fitted to a simulated session."""
    folder = tmp_path_factory.mktemp("fitted")
    recorded = start_session(
        StartConfig(
            participant="ann",
            protocol=ProtocolConfig("evaluation", conditions=("raw",), practice=0, evaluation=3, steps=30),
            driver="simulated",
            headless=True,
            data=folder,
        )
    ).path
    out = folder / "ann.json"
    result = CliRunner().invoke(make_app(), ["driver", "fit", str(recorded), "--out", str(out), "--replicates", "10"])
    assert result.exit_code == 0, result.output
    assert "fitted to a program, which says nothing about people" in result.output
    return out


def test_a_program_is_never_called_like_a_person(fitted: Path) -> None:
    person = read_fitted(fitted)
    assert isinstance(person, PersonFile)
    assert not person.of_a_person and not person.human_like
    assert person.checks[0].name == "reversals of the wheel" and len(person.checks) == 4
    assert person.held_out.steps == 30 - 6 and person.episodes == 2
    assert set(person.held_out.families) >= {"pursuit", "two-point"}
    with sessions.open(sessions.find_recordings(fitted.parent)[0]) as session:
        assert person.sessions == (session.info.session_id,), "whoever withdraws takes it along"
    assert "ann" not in fitted.read_text(encoding="utf-8"), "it names nobody"


def test_the_file_is_a_driver_wherever_there_are_drivers(fitted: Path) -> None:
    task, name = CarRacing(), str(fitted)
    frame = task.start(3).frame()
    one, other = (make_driver(name, task, person, 7) for person in (1, 2))
    assert [one.act(frame) for _ in range(20)] == [other.act(frame) for _ in range(20)], "whoever is named"
    # Another person, and yet one who sees and decides as the family does: no evidence for what was fitted on it.
    assert who_drives(name, "car-racing") == "pursuit"
    assert was_fitted_on(name, ("pursuit",)) and not was_fitted_on(name, ("two-point",))
    before = driver_sha256(name, task)
    fitted.with_name("copy.json").write_bytes(fitted.read_bytes() + b"\n")
    assert driver_sha256(str(fitted.with_name("copy.json")), task) != before


def test_a_file_that_is_no_driver_is_refused_in_a_line(tmp_path: Path, fitted: Path) -> None:
    path = tmp_path / "no.json"
    with pytest.raises(DriverError, match="there is no file"):
        make_driver(str(path), CarRacing(), 0)
    content = json.loads(fitted.read_text(encoding="utf-8"))
    content["traits"]["gain"] = -1.0
    hostile = json.loads(fitted.read_text(encoding="utf-8")) | {"tasks": ["car-racing\nracer: all is well"]}
    for damage in (
        json.dumps(hostile).encode(),
        b"",
        b"{}",
        b"\xff",
        b"[" * 50_000,
        b"x" * 200_000,
        json.dumps(content).encode(),
    ):
        path.write_bytes(damage)
        with pytest.raises(DriverError, match="was not made by `racer driver fit`") as refusal:
            make_driver(str(path), CarRacing(), 0)
        assert len(str(refusal.value).splitlines()) == 1
    from racer.tasks.lunar_lander.task import LunarLander

    with pytest.raises(DriverError, match="cannot do lunar-lander"):
        make_driver(str(fitted), LunarLander(), 0)


# Clones ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clone(fitted: Path) -> Path:
    """Return a clone that the command fitted to the same session."""
    out = fitted.with_name("ann.clone.json")
    recorded = sessions.find_recordings(fitted.parent)[0]
    result = CliRunner().invoke(make_app(), ["driver", "fit", str(recorded), "--out", str(out), "--replicates", "10"])
    assert result.exit_code == 0, result.output
    assert "fitted to a program, which says nothing about people" in result.output
    return out


def test_a_clone_is_a_driver_and_counts_as_whose_eyes_it_has(clone: Path) -> None:
    file, task, name = read_fitted(clone), CarRacing(), str(clone)
    assert len(file.checks) == 4 and not file.human_like and file.episodes == 2 and len(file.sessions) == 1
    frames = np.random.default_rng(0).integers(256, size=(30, 64, 64, 3), dtype=np.uint8)
    one, same = ([driver.act(frame) for frame in frames] for driver in (make_driver(name, task, 1, 7) for _ in "ab"))
    assert one == same and {*one} <= {0, 1, 2}
    assert who_drives(name, "car-racing") == "pixel-policy"
    assert was_fitted_on(name, ("pixel-policy",)) and not was_fitted_on(name, ("pursuit",))


def test_a_clone_is_refused_at_another_pace_and_with_other_eyes(clone: Path) -> None:
    file = read_fitted(clone)
    assert isinstance(file, CloneFile)
    with pytest.raises(DriverError, match="acts 10 times a second, as the person it was cloned from did, not 25 times"):
        Clone(file, 25.0, 0, "ann.clone.json")
    with pytest.raises(DriverError, match="eyes of another version"):
        Clone(file.model_copy(update={"eyes_sha256": "0" * 64}), 10.0, 0, "ann.clone.json")
    with pytest.raises(DriverError, match="is damaged: fit it again"):
        Clone(file.model_copy(update={"spread": file.spread[1:]}), 10.0, 0, "ann.clone.json")
    other = clone.with_name("ann2.json")
    other.write_bytes(clone.read_bytes())
    with pytest.raises(DriverError, match="only a clone"):
        make_driver(str(other), CarRacing(), 0)
    damaged = clone.with_name("damaged.clone.json")
    damaged.write_bytes(clone.read_bytes()[:-9])
    with pytest.raises(DriverError, match="was not made by `racer driver fit`"):
        make_driver(str(damaged), CarRacing(), 0)


def test_a_clone_learns_whom_it_sees_and_what_came_before() -> None:
    rng = np.random.default_rng(0)

    def drive(number: int) -> Drive:
        middles = np.clip(32 + np.cumsum(rng.normal(0, 3, 80)), 20, 44).round()
        frames = np.tile(np.array([102, 204, 102], np.uint8), (80, 64, 64, 1))
        for frame, middle in zip(frames, middles.astype(int).tolist(), strict=True):
            frame[:, middle - 7 : middle + 7] = 102
        late = np.roll(middles, 2)  # who reacts two steps late
        keys = np.where(late < 29, 0, np.where(late > 35, 2, 1))
        return Drive("random", number, frames, keys.astype(np.uint8), np.zeros(80, bool))

    drives = [drive(number) for number in range(6)]
    file = fit_clone(drives, CarRacing(), 10.0, True, None)  # type: ignore[arg-type]
    held = file.held_out
    keys = {tuple(map(Clone(file, 10.0, dice, "").act, drives[0].frames)) for dice in range(4)}
    assert len(keys) > 1, "the dice decide its chances"
    assert held.log_likelihood > 0.5 * held.frequencies_log_likelihood
    assert held.log_likelihood > max(held.families.values())


def test_the_command_keeps_what_is_there(tmp_path: Path, fitted: Path) -> None:
    before = fitted.read_bytes()
    result = CliRunner().invoke(make_app(), ["driver", "fit", "x.h5", "--out", str(fitted)])
    assert "exists and was left as it is" in str(result.exception) and fitted.read_bytes() == before
    result = CliRunner().invoke(make_app(), ["driver", "fit", "x.h5", "--out", str(tmp_path / "ann")])
    assert "must end in .json" in str(result.exception)
