"""Tasks by name: settings as people give them, and whatever a package of somebody else's does wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_builders import COUNTING, Installer, installing

from racer.errors import ConfigError, RacerError
from racer.tasks.car_racing.task import CarRacing, CarRacingClutter
from racer.tasks.registry import (
    BUILT_IN,
    DEFAULT_TASK,
    GROUP,
    TaskError,
    describe_settings,
    make_task,
    needed_settings,
    parse_settings,
    task_names,
    task_settings,
    task_type,
)
from racer.tasks.task import Mapped

Install = Callable[[str], None]


@pytest.fixture
def installer(tmp_path: Path) -> Iterator[Installer]:
    with installing(tmp_path) as lay:
        yield lay


@pytest.fixture
def install(installer: Installer) -> Install:
    """Install a package whose module has this code as the task `counting`."""
    return lambda code: installer("their_task", code, GROUP, "counting = their_task:Counting")


def refusal(kind: type[RacerError], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and len(message) < 400, message
    return message


# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in BUILT_IN if not needed_settings(name)])
def test_every_built_in_task_is_what_it_says(name: str) -> None:
    task = make_task(name)
    spec = task.spec
    assert (spec.name, name in task_names()) == (name, True)
    trial = task.start(3)
    frame, outcome = trial.frame(), trial.step(spec.start_action)
    trial.close()
    assert (frame.shape, frame.dtype) == (spec.frame, np.uint8)
    assert set(outcome.metrics) == {metric.name for metric in spec.metrics}
    for metric in spec.metrics:
        assert metric.bounds[0] <= outcome.metrics[metric.name] <= metric.bounds[1]
    for point in spec.operating_points:
        assert make_task(name, point).spec.name == name


def test_the_default_is_car_racing_with_its_defaults() -> None:
    assert make_task() == make_task(DEFAULT_TASK, {}) == CarRacing()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lunar-landr", "there is no task 'lunar-landr'; did you mean 'lunar-lander'?"),
        ("", "choose from car-racing, car-racing-clutter, lunar-lander, digits, vehicles, faces"),
        ("chess\nboxing", "there is no task 'chess boxing'; choose from"),
        ("x" * 5000, "or install the package that has it"),
    ],
)
def test_a_task_that_there_is_none_of_is_refused_with_those_there_are(name: str, told: str) -> None:
    for ask in (make_task, task_type, describe_settings):
        assert told in refusal(TaskError, lambda ask=ask: ask(name))  # type: ignore[misc]


# Settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "made"),
    [
        ({"handling": "forgiving", "speed": "60", "skip_zoom": "false"}, CarRacing("forgiving", 60.0, False)),
        ({"speed": "12.5"}, CarRacing(speed=12.5)),
        ({"skip_zoom": "true"}, CarRacing()),
        ({"handling": "forgiving", "speed": 60, "skip_zoom": False}, CarRacing("forgiving", 60.0, False)),
        ({"speed": 60.0}, CarRacing(speed=60.0)),
    ],
)
def test_settings_are_read_from_text_and_from_the_types_of_a_file(settings: dict[str, Any], made: CarRacing) -> None:
    task = make_task("car-racing", settings)
    assert task == made
    assert make_task("car-racing", task_settings(task)) == made


def test_settings_that_are_inherited_count_as_well() -> None:
    assert make_task("car-racing-clutter", {"clutter": "0.5", "speed": "40"}) == CarRacingClutter(
        speed=40.0, clutter=0.5
    )


@pytest.mark.parametrize(
    ("settings", "kind", "told"),
    [
        ({"sped": 60}, TaskError, "task car-racing has no setting 'sped'; did you mean 'speed'?"),
        ({"clutter": 1}, TaskError, "has no setting 'clutter'; choose from handling, speed, skip_zoom"),
        ({"": 1}, TaskError, "has no setting ''"),
        ({"x\ny" * 300: 1}, TaskError, "has no setting 'x yx y"),
        ({"speed": "fast"}, ConfigError, "task car-racing: speed: input should be a valid number"),
        ({"speed": True}, ConfigError, "task car-racing: speed: "),
        ({"speed": [60]}, ConfigError, "task car-racing: speed: "),
        ({"speed": None}, ConfigError, "task car-racing: speed: "),
        ({"speed": "nan"}, ConfigError, "task car-racing: speed must be above 0 and at most 200"),
        ({"speed": 201}, ConfigError, "task car-racing: speed must be above 0 and at most 200"),
        ({"speed": "9" * 5000}, ConfigError, "speed"),
        ({"handling": "easy"}, ConfigError, "task car-racing: handling: input should be 'stock' or 'forgiving'"),
        ({"handling": 3}, ConfigError, "task car-racing: handling: "),
        ({"skip_zoom": "perhaps"}, ConfigError, "task car-racing: skip_zoom: "),
        ({"skip_zoom": 1}, ConfigError, "task car-racing: skip_zoom: "),
        ({"skip_zoom": "a\nb" * 1000}, ConfigError, "got 'a b"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_in_one_line(
    settings: dict[str, Any], kind: type[RacerError], told: str
) -> None:
    assert told in refusal(kind, lambda: make_task("car-racing", settings))


def test_a_setting_that_came_later_is_recorded_only_where_it_changes_something() -> None:
    assert task_settings(make_task("vehicles")) == {"question": "worth", "seconds": 0.0}
    paged = task_settings(make_task("vehicles", {"page": 3}))
    assert paged["page"] == 3 and make_task("vehicles", paged) == make_task("vehicles", {"page": 3})


@pytest.mark.parametrize("name", [name for name in BUILT_IN if not needed_settings(name)])
def test_the_settings_of_a_built_in_task_all_have_a_default_and_say_what_they_mean(name: str) -> None:
    described = describe_settings(name)
    defaults = {each.name: each.default for each in described}
    # Recorded are those that it had from the first, and the others where they are not their default.
    assert task_settings(make_task(name)).items() <= defaults.items()
    assert set(defaults) - set(task_settings(make_task(name))) <= {"page"}
    for each in described:
        assert not each.required and each.kind and each.meaning and "\n" not in each.meaning


def test_a_setting_says_its_type_and_what_it_means() -> None:
    handling, speed, skip_zoom, clutter = describe_settings("car-racing-clutter")
    assert (handling.name, handling.kind, handling.default) == ("handling", "stock or forgiving", "stock")
    assert (speed.kind, skip_zoom.kind, clutter.kind) == ("float", "bool", "float")
    assert speed.meaning.startswith("Speed held by the automatic throttle, track units")
    assert clutter.meaning == "How much of them there is, from 0 (the frames of `car-racing`) to 1."


def test_settings_are_named_on_the_command_line_as_name_and_value() -> None:
    given = ["speed=60", " skip-zoom = false ", "text=a=b", "empty="]
    assert parse_settings(given) == {"speed": "60", "skip_zoom": "false", "text": "a=b", "empty": ""}
    assert parse_settings([]) == {}


@pytest.mark.parametrize("given", [["speed"], ["=60"], ["--=1", "=" * 500], [""], ["speed=1", "speed=2"]])
def test_what_names_no_setting_is_refused_in_one_line(given: list[str]) -> None:
    assert "--set" in refusal(ConfigError, lambda: parse_settings(given))


# Packages of somebody else ------------------------------------------------------------------------------------------


def test_an_installed_task_is_a_task_like_any_other(install: Install) -> None:
    install(COUNTING)
    assert task_names() == (*BUILT_IN, "counting")
    size, pace, loud, share = describe_settings("counting")
    assert (size.kind, size.default, size.meaning) == ("int", 3, "Of what is counted, in pixels.")
    assert (pace.kind, loud.kind, share.meaning) == ("slow or fast", "bool", "")
    task = make_task("counting", {"size": "7", "pace": "fast"})
    assert task_settings(task) == {"size": 7, "pace": "fast", "loud": False, "share": 0.5}
    trial = task.start(5)
    assert (trial.frame() == 0).all()
    outcomes = [trial.step(action) for action in (0, 1, 2, 1)]
    assert [outcome.metrics["reward"] for outcome in outcomes] == [0.0, 1.0, 2.0, 1.0]
    assert [outcome.over for outcome in outcomes] == [False, False, False, True]
    trial.close()


MAPPED = """
    def place(self):
        return (1, np.float32(2.5))

    def outlines(self):
        return [np.zeros((3, 2))]
"""


def mapped(old: str = "", new: str = "") -> str:
    own = MAPPED.replace(old, new) if old else MAPPED
    return changed("    def close(self)", own.lstrip("\n") + "\n    def close(self)")


def test_an_installed_task_can_be_looked_at_from_above_where_it_says_how(install: Install) -> None:
    install(mapped())
    trial = make_task("counting").start(5)
    assert isinstance(trial, Mapped) and trial.place() == (1.0, 2.5)
    assert [line.tolist() for line in trial.outlines()] == [[[0, 0]] * 3]


def test_an_installed_task_that_does_not_say_how_cannot_be_looked_at_from_above(install: Install) -> None:
    install(COUNTING)
    assert not isinstance(make_task("counting").start(5), Mapped)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("(1, np.float32(2.5))", "3", "place() must return two finite numbers; it returned 3"),
        ("(1, np.float32(2.5))", "(1.0, 2.0, 3.0)", "place() must return two finite numbers"),
        ("(1, np.float32(2.5))", "(1.0, float('nan'))", "two finite numbers; it returned (1.0, nan)"),
        ("(1, np.float32(2.5))", "(1.0, '2')", "place() must return two finite numbers"),
        ("(1, np.float32(2.5))", "1 / 0", "place() failed: ZeroDivisionError"),
        ("[np.zeros((3, 2))]", "np.zeros((3, 2))", "outlines() must return a list of lines; it returned ndarray"),
        ("[np.zeros((3, 2))]", "[np.zeros((3, 2), int)]", "lines float64[N, 2]; it holds int64[3, 2]"),
        ("[np.zeros((3, 2))]", "[np.zeros((3, 3))]", "lines float64[N, 2]; it holds float64[3, 3]"),
        ("[np.zeros((3, 2))]", "[np.zeros(())]", "lines float64[N, 2]; it holds float64[]"),
        ("[np.zeros((3, 2))]", "[[0.0, 0.0]]", "lines float64[N, 2]; it holds list"),
        ("[np.zeros((3, 2))]", "[np.full((3, 2), np.inf)]", "outlines() must hold finite numbers alone"),
        ("[np.zeros((3, 2))]", "1 / 0", "outlines() failed: ZeroDivisionError"),
    ],
)
def test_what_a_package_shows_from_above_is_checked(install: Install, old: str, new: str, told: str) -> None:
    install(mapped(old, new))
    trial = make_task("counting").start(5)
    assert isinstance(trial, Mapped)
    assert told in refusal(TaskError, trial.place if "place()" in told or "two" in told else trial.outlines)


def test_a_package_cannot_take_the_name_of_a_built_in_task(installer: Installer) -> None:
    installer("their_task", "raise RuntimeError", GROUP, *(f"{name} = their_task:Counting" for name in BUILT_IN))
    assert task_names() == tuple(BUILT_IN)
    assert make_task() == CarRacing()


def test_a_broken_package_is_listed_and_keeps_no_other_task_away(install: Install) -> None:
    install("raise RuntimeError")
    assert task_names() == (*BUILT_IN, "counting")
    assert make_task("lunar-lander").spec.name == "lunar-lander"


def changed(old: str, new: str) -> str:
    assert old in COUNTING
    return COUNTING.replace(old, new)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise RuntimeError('half\\ninstalled')", "task counting of package their-task cannot be loaded (RuntimeE"),
        ("import no_such_package", "cannot be loaded (ModuleNotFoundError: No module named 'no_such_package')"),
        ("Counting = (", "cannot be loaded (SyntaxError"),
        ("raise SystemExit(0)", "cannot be loaded (SystemExit"),
        ("", "cannot be loaded (AttributeError"),
        ("Counting = 3", "package their-task offers no task of the name counting"),
        ("def Counting(): raise ValueError('no\\ndice')", "task counting cannot be made: ValueError: no dice"),
        ("def Counting(): return 3", "task counting cannot be made: AttributeError"),
        (changed("return SPEC", "return 3"), "its spec is not a TaskSpec of that name"),
        (changed('name="counting"', 'name="others"'), "its spec is not a TaskSpec of that name"),
        (changed("return SPEC", "raise KeyError('spec')"), "cannot be made: KeyError"),
        (changed("neutral=0", "neutral=9"), "cannot be loaded (ConfigError: task counting: neutral must be the index"),
        (
            changed("return Trial(seed)", "raise OSError('no\\nfile')"),
            "task counting: start(5) failed: OSError: no file",
        ),
        (changed("return Trial(seed)", "return None"), "failed: AttributeError: 'NoneType'"),
        (
            changed("(64, 64, 3), self.steps", "(64, 64), self.steps"),
            "must return uint8[64, 64, 3]; it returned uint8[64",
        ),
        (changed("self.steps, np.uint8", "self.steps, float"), "it returned float64[64, 64, 3]"),
        (changed("return np.full((64, 64, 3), self.steps, np.uint8)", "return 3"), "it returned int"),
        (changed("return np.full((64, 64, 3), self.steps, np.uint8)", "1 / 0"), "frame() failed: ZeroDivisionError"),
        (changed(', "reward": float(action)', ""), "must return an Outcome with the metrics count, reward"),
        (changed(', "reward": float(action)', ', "reward": 0.0, "more": 1.0'), "an Outcome with the metrics count"),
        (changed('return Outcome({"count"', 'return ({"count"'), "an Outcome with the metrics"),
        (changed("float(action)", "float('nan')"), "metric reward must lie in [-inf, inf] and be finite; got nan"),
        (changed("float(action)", "float('inf')"), "be finite; got inf"),
        (changed("float(action)", "'much'"), "metric reward must"),
        (changed("float(action)", "None"), "metric reward must"),
        (changed("float(action)", "np.ones(3)"), "metric reward must"),
        (changed("min(self.steps / 4, 1.0)", "1.25"), "metric count must lie in [0, 1] and be finite; got 1.25"),
        (
            changed("        self.steps += 1\n", "        raise RuntimeError('stuck')\n"),
            "step(1) failed: RuntimeError: stuck",
        ),
        (changed("        pass\n", "        raise RuntimeError('locked')\n"), "close() failed: RuntimeError: locked"),
        (changed("size: int = 3", "size: int"), "task counting needs its setting size: add --set size=VALUE"),
        (changed("size: int = 3", "size: 'nothing' = 3"), "task counting cannot be made: NameError"),
        (changed("size: int = 3", "size: np.ndarray = None"), "task counting: size: "),
    ],
)
def test_whatever_a_package_does_wrong_is_told_in_one_line(install: Install, code: str, told: str) -> None:
    install(code)

    def play() -> None:
        trial = make_task("counting", {"size": 1} if "size: np" in code else {}).start(5)
        try:
            for action in (1, 2):
                trial.frame()
                trial.step(action)
        finally:
            trial.close()

    message = refusal(RacerError, play)
    assert told in message
    assert re.match("task counting|package their-task", message)


def test_a_task_that_is_no_dataclass_has_no_settings(install: Install) -> None:
    install(COUNTING.replace("@dataclass(frozen=True)\nclass Counting:", "class Counting:"))
    assert describe_settings("counting") == ()
    assert task_settings(make_task("counting")) == {}
    told = refusal(TaskError, lambda: make_task("counting", {"size": 3}))
    assert told == "task counting has no setting 'size'; it has none"
