from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from racer.drivers.families.pursuit import SimulatedParticipant
from racer.drivers.registry import DriverError, driver_seed, make_driver

FRAME = np.zeros((64, 64, 3), np.uint8)
WORKING = """
class Driver:
    def __init__(self, seed): self.log = [seed]
    def reset(self): self.log.append("reset")
    def act(self, frame):
        frame[:] = 255
        self.log.append((frame.shape, frame.dtype.name))
        return -1
made = []
def factory(seed):
    made.append(Driver(seed))
    return made[-1]
"""
ACTING = """
import numpy
class Driver:
    def reset(self): {reset}
    def act(self, frame): {act}
def factory(seed): return Driver()
"""

WriteModule = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModule]:
    """Write a module where the command would be run, and return its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def write(code: str) -> str:
        (tmp_path / "their_driver.py").write_text(code)
        importlib.invalidate_caches()
        return "their_driver"

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("their_"):
            del sys.modules[name]


def refusal(name: str) -> str:
    """Return the one line that making this driver, starting it or asking it for an action ends with."""
    with pytest.raises(DriverError) as error:
        driver = make_driver(name, 0)
        driver.reset()
        driver.act(FRAME)
    message = str(error.value)
    assert len(message.splitlines()) == 1, message
    assert repr(name) in message
    return message


def test_simulated_is_the_participant_of_the_seed_and_a_number_names_another() -> None:
    assert make_driver("simulated", 5).traits == SimulatedParticipant(5).traits  # type: ignore[attr-defined]
    assert make_driver("simulated:9", 5).traits == SimulatedParticipant(9).traits  # type: ignore[attr-defined]


def test_a_name_always_stands_for_the_same_seed_and_others_for_others() -> None:
    names = [f"p{number:02d}" for number in range(50)]
    assert len({driver_seed(name) for name in names}) == 50
    # Written down once: participants keep their seeds whatever the machine and the Python.
    assert driver_seed("p01") == 623413131
    assert min(map(driver_seed, names)) >= 0


def test_a_users_driver_is_found_where_the_command_is_run_and_steers(module: WriteModule) -> None:
    name = module(WORKING)
    driver = make_driver(f"{name}:factory", 77)
    driver.reset()
    assert driver.act(FRAME) == -1
    (made,) = sys.modules[name].made
    assert made.log == [77, "reset", ((64, 64, 3), "uint8")]
    assert not FRAME.any(), "what a driver does to its frame must not reach the recording"


@pytest.mark.parametrize("action", ["-1", "0", "1", "numpy.int8(1)", "numpy.int64(-1)"])
def test_any_whole_number_will_do_and_comes_back_as_int(module: WriteModule, action: str) -> None:
    driver = make_driver(module(ACTING.format(reset="pass", act=f"return {action}")) + ":factory", 0)
    result = driver.act(FRAME)
    assert type(result) is int
    assert result in (-1, 0, 1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("keyboards", "choose keyboard, simulated, or your own as package.module:factory"),
        ("their_driver:", "choose keyboard, simulated"),
        ("", "choose keyboard, simulated"),
        ("simulated:fast", "a number of 0 or more"),
        ("simulated:-1", "a number of 0 or more"),
        ("no_such_module:factory", "No module named 'no_such_module'"),
        ("no_such_module.part:factory", "No module named 'no_such_module'"),
        ("their_driver:missing", "has no attribute 'missing'"),
        ("their_driver:factory.part", "has no attribute 'factory.part'"),
        (":factory", "Empty module name"),
        (".their_driver:factory", "relative import"),
        ("their driver:factory", "No module named 'their driver'"),
    ],
)
def test_a_driver_that_does_not_exist_is_refused_in_one_line(module: WriteModule, name: str, reason: str) -> None:
    module(WORKING)
    assert reason in refusal(name)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("factory = (", "SyntaxError"),
        ("1 / 0", "importing their_driver failed: ZeroDivisionError"),
        ("import no_such_package", "No module named 'no_such_package'"),
        ("raise ImportError('no wheel\\nfor this machine')", "no wheel"),
        ("raise SystemExit(0)", "SystemExit"),
        ("factory = 3", "factory(seed) failed: TypeError"),
        ("def factory(): pass", "factory(seed) failed: TypeError"),
        ("def factory(seed): raise RuntimeError('no\\nmodel')", "factory(seed) failed: RuntimeError: no"),
        ("def factory(seed): raise SystemExit('usage: driver')", "SystemExit"),
        ("def factory(seed): return None", "must return an object with reset() and act(frame)"),
        ("class factory:\n def __init__(self, seed): self.act = self.reset = 1", "must return an object"),
        (ACTING.format(reset="raise ValueError", act="return 0"), "reset() failed: ValueError"),
        (ACTING.format(reset="pass", act="raise KeyError('road')"), "act(frame) failed: KeyError: 'road'"),
        (ACTING.format(reset="pass", act="raise RuntimeError('\\n  two\\nlines')"), "act(frame) failed: RuntimeError"),
        (ACTING.format(reset="pass", act="return 2"), "act(frame) must return -1, 0 or 1; it returned 2"),
        (ACTING.format(reset="pass", act="return None"), "it returned None"),
        (ACTING.format(reset="pass", act="return True"), "it returned True"),
        (ACTING.format(reset="pass", act="return 0.0"), "it returned 0.0"),
        (ACTING.format(reset="pass", act="return 'left'"), "it returned 'left'"),
        (ACTING.format(reset="pass", act="return numpy.eye(3)"), "act(frame) must return -1, 0 or 1"),
    ],
)
def test_whatever_a_users_driver_does_wrong_is_told_in_one_line(module: WriteModule, code: str, reason: str) -> None:
    assert reason in refusal(f"{module(code)}:factory")
