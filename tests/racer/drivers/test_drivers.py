from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from racing_builders import CAR_RACING
from task_builders import COUNTING, Installer, installing

from racer.drivers.driver import DriverError
from racer.drivers.families import viewers
from racer.drivers.families.lander_pilot import LanderPilot
from racer.drivers.families.pursuit import Pursuit, PursuitTraits
from racer.drivers.registry import (
    BUILT_IN,
    GROUP,
    KEYBOARD,
    SIMULATED,
    driver_seed,
    family_names,
    find_family,
    make_driver,
)
from racer.tasks.registry import GROUP as TASK_GROUP
from racer.tasks.registry import make_task, needed_settings
from racer.tasks.task import Task

FRAME = np.zeros((64, 64, 3), np.uint8)
WORKING = """
class Driver:
    def __init__(self, seed): self.log = [seed]
    def reset(self): self.log.append("reset")
    def act(self, frame):
        frame[:] = 255
        self.log.append((frame.shape, frame.dtype.name))
        return 2
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

FAMILY = """
from racer.drivers.driver import DriverFamily
class Driver:
    def __init__(self, *given): self.given = given
    def reset(self): pass
    def act(self, frame): return {act}
def make(task, person, dice): {make}
THEIRS = DriverFamily("theirs", ("car-racing", "counting"), "as told", "nobody", make)
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


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Installer]:
    """Lay packages into a folder where this process finds them."""
    with installing(tmp_path) as lay:
        yield lay


def family_code(act: str = "1", make: str = "return Driver(task, person, dice)") -> str:
    return FAMILY.format(act=act, make=make)


def refusal(name: str, task: Task = CAR_RACING) -> str:
    """Return the one line that making this driver, starting it or asking it for an action ends with."""
    with pytest.raises(DriverError) as error:
        driver = make_driver(name, task, 0)
        driver.reset()
        driver.act(FRAME)
    message = str(error.value)
    assert len(message.splitlines()) == 1, message
    assert len(message) < 400
    return message


def pursuit(name: str, person: int, dice: int | None = None) -> Pursuit:
    driver = make_driver(name, CAR_RACING, person, dice)
    assert isinstance(driver, Pursuit)
    return driver


def test_simulated_is_the_family_that_the_task_names() -> None:
    assert pursuit(SIMULATED, 5).traits == pursuit("pursuit", 5).traits == PursuitTraits.of(5)
    lander = make_task("lunar-lander")
    assert isinstance(make_driver(SIMULATED, lander, 5), LanderPilot)
    assert isinstance(make_driver("lander-pilot", lander, 5), LanderPilot)


@pytest.mark.parametrize("family", [SIMULATED, "pursuit"])
def test_a_number_names_one_person_whoever_was_meant(family: str) -> None:
    assert pursuit(f"{family}:9", 5).traits == pursuit(f"{family}:9", 6, 7).traits == PursuitTraits.of(9)


def test_dice_decide_no_traits() -> None:
    assert pursuit("pursuit", 5, 6).traits == PursuitTraits.of(5)


@pytest.fixture
def quick_learners(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let viewers learn from few pictures: a second instead of a quarter of a minute."""
    monkeypatch.setattr(viewers, "_LEARNT", 200)
    viewers._learnt.cache_clear()
    yield
    viewers._learnt.cache_clear()


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.usefixtures("quick_learners")
def test_every_built_in_family_does_the_tasks_that_it_says(name: str) -> None:
    family = find_family(name)
    assert family.name == name and family.summary and family.source
    for task in (make_task(each) for each in family.tasks if not needed_settings(each)):
        assert find_family(task.spec.driver).tasks
        driver = make_driver(name, task, 3)
        driver.reset()
        trial = task.start(1)
        assert driver.act(trial.frame()) in range(len(task.spec.actions))
        trial.close()


def test_a_family_says_which_one_does_what_it_cannot() -> None:
    told = refusal("lander-pilot")
    assert "drivers of family lander-pilot cannot do car-racing; choose pursuit" in told
    assert "choose lander-pilot" in refusal("pursuit:3", make_task("lunar-lander"))


def test_a_task_without_simulated_people_asks_for_a_driver(install: Installer) -> None:
    install("their_task", COUNTING, TASK_GROUP, "counting = their_task:Counting")
    task = make_task("counting")
    assert "counting names no family of simulated people" in refusal(SIMULATED, task)
    assert "choose your own as package.module:factory" in refusal("pursuit", task)


def test_an_installed_family_is_a_driver_like_any_other(install: Installer) -> None:
    install("their_drivers", family_code(), GROUP, "theirs = their_drivers:THEIRS")
    assert family_names() == (*BUILT_IN, "theirs")
    driver = make_driver("theirs:4", CAR_RACING, 5)
    driver.reset()
    assert driver.act(FRAME) == 1
    assert driver._driver.given == (CAR_RACING, 4, 4)  # type: ignore[attr-defined]
    assert make_driver("theirs", CAR_RACING, 5, 6)._driver.given == (CAR_RACING, 5, 6)  # type: ignore[attr-defined]
    install("their_task", COUNTING, TASK_GROUP, "counting = their_task:Counting")
    assert "choose theirs" in refusal("pursuit", make_task("counting"))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise RuntimeError('half\\ninstalled')", "driver theirs of package their-drivers cannot be loaded (Runtime"),
        ("import no_such_package", "cannot be loaded (ModuleNotFoundError"),
        ("raise SystemExit(0)", "cannot be loaded (SystemExit: 0)"),
        ("", "cannot be loaded (AttributeError"),
        ("THEIRS = 'nobody'", "package their-drivers offers no DriverFamily of the name theirs"),
        (family_code().replace('"theirs"', '"others"'), "offers no DriverFamily of the name theirs"),
        (family_code(make="raise ValueError('no\\nengine')"), "cannot be made: ValueError: no engine"),
        (family_code(make="return None"), "driver 'theirs': reset() failed: AttributeError"),
        (family_code(act="3"), "an action, 0 (left), 1 (straight), 2 (right); it returned 3"),
        (family_code().replace('("car-racing", "counting")', '("counting",)'), "cannot do car-racing; choose pursuit"),
    ],
)
def test_what_an_installed_family_does_wrong_is_told_in_one_line(install: Installer, code: str, told: str) -> None:
    install("their_drivers", code, GROUP, "theirs = their_drivers:THEIRS")
    assert told in refusal("theirs")


def test_a_broken_package_is_listed_and_keeps_nobody_else_away(install: Installer) -> None:
    install("their_drivers", "raise RuntimeError", GROUP, "theirs = their_drivers:THEIRS")
    assert family_names() == (*BUILT_IN, "theirs")
    assert "choose pursuit or " in refusal("lander-pilot")


def test_an_installed_package_cannot_take_a_name_that_is_taken(install: Installer) -> None:
    taken = [f"{name} = their_drivers:THEIRS" for name in (KEYBOARD, SIMULATED, *BUILT_IN)]
    install("their_drivers", "raise RuntimeError", GROUP, *taken)
    assert family_names() == tuple(BUILT_IN)
    assert isinstance(make_driver("pursuit", CAR_RACING, 0), Pursuit)


def test_a_name_always_stands_for_the_same_seed_and_others_for_others() -> None:
    names = [f"p{number:02d}" for number in range(50)]
    assert len({driver_seed(name) for name in names}) == 50
    # Written down once: participants keep their seeds whatever the machine and the Python.
    assert driver_seed("p01") == 623413131
    assert min(map(driver_seed, names)) >= 0


def test_a_users_driver_is_found_where_the_command_is_run_and_steers(module: WriteModule) -> None:
    name = module(WORKING)
    driver = make_driver(f"{name}:factory", CAR_RACING, 5, 77)
    driver.reset()
    assert driver.act(FRAME) == 2
    (made,) = sys.modules[name].made
    assert made.log == [77, "reset", ((64, 64, 3), "uint8")]
    assert not FRAME.any(), "what a driver does to its frame must not reach the recording"


@pytest.mark.parametrize("action", ["0", "1", "2", "numpy.int8(1)", "numpy.uint64(2)"])
def test_any_whole_number_will_do_and_comes_back_as_int(module: WriteModule, action: str) -> None:
    driver = make_driver(module(ACTING.format(reset="pass", act=f"return {action}")) + ":factory", CAR_RACING, 0)
    result = driver.act(FRAME)
    assert type(result) is int
    assert result in (0, 1, 2)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("keyboards", f"choose keyboard, simulated, {', '.join(BUILT_IN)}, or your own as package.module:factory"),
        ("their_driver:", "choose keyboard, simulated"),
        ("", "choose keyboard, simulated"),
        ("simulated:fast", "a number of 0 or more"),
        ("simulated:-1", "a number of 0 or more"),
        ("pursuit:fast", "what follows `pursuit:` must be a seed, a number of 0 or more"),
        (f"pursuit:{'9' * 5000}", "a number of 0 or more"),
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
    told = refusal(name)
    assert reason in told and repr(name)[1:50] in told


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
        (
            ACTING.format(reset="pass", act="return -1"),
            "the index of an action, 0 (left), 1 (straight), 2 (right); it returned -1",
        ),
        (ACTING.format(reset="pass", act="return 3"), "it returned 3"),
        (ACTING.format(reset="pass", act="return None"), "it returned None"),
        (ACTING.format(reset="pass", act="return True"), "it returned True"),
        (ACTING.format(reset="pass", act="return 0.0"), "it returned 0.0"),
        (ACTING.format(reset="pass", act="return 'left'"), "it returned 'left'"),
        (ACTING.format(reset="pass", act="return numpy.eye(3)"), "act(frame) must return the index of an action"),
    ],
)
def test_whatever_a_users_driver_does_wrong_is_told_in_one_line(module: WriteModule, code: str, reason: str) -> None:
    told = refusal(f"{module(code)}:factory")
    assert reason in told and told.startswith("driver 'their_driver:factory'")


def test_the_folder_of_a_users_driver_comes_last(module: WriteModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    make_driver(f"{module(WORKING)}:factory", CAR_RACING, 0)
    assert os.getcwd() not in sys.path[:-1]
