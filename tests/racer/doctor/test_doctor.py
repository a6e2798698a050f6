"""What `racer doctor` says of a machine, and that it says it of the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pygame
import pytest
import typer
from racing_builders import EPISODE, LEFT, METRICS, RIGHT, STEP, STRAIGHT, TASK, Drive, write_mask, write_session
from task_builders import ANSWERS, COUNTING, LANDER, installing, make_spec
from tiny_models import write_tiny_model
from typer.testing import CliRunner

import racer
from compression.model.latent_model import LatentModel, load_model
from compression.model.sizes import Sizes
from racer.commands.doctor import doctor
from racer.doctor.doctor import (
    DoctorConfig,
    Needs,
    check_drive,
    check_keys,
    check_mask,
    check_model,
    check_steps,
    examine,
    measure_latency,
    verdict,
)
from racer.doctor.latency import Press, check_latency, check_vsync, latencies_ms
from racer.doctor.machine import (
    CheckResult,
    bytes_per_step,
    check_clock,
    check_disk,
    check_folder,
    check_packages,
    check_python,
    check_timer,
    newest_recording,
    required,
)
from racer.doctor.rollover import KeyTrial, combinations
from racer.drivers.keyboard import default_bindings
from racer.errors import ConfigError
from racer.loop.conditions import ChannelConfig
from racer.loop.pacing import PaceSummary
from racer.tasks.registry import GROUP as TASKS
from racer.tasks.registry import make_task

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSTALLED = {"torch": "2.13.0+cpu", "numpy": "1.25.2"}
MACHINE_CHECKS = ["python", "packages", "pygame", "data folder", "clock", "timer"]


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(doctor)
    return app


def installed(name: str) -> str:
    if name not in INSTALLED:
        raise PackageNotFoundError(name)
    return INSTALLED[name]


def pace(rate: float = 10.0, steps: int = 100, overruns: int = 0, median: float = 100.0, p99: float = 101.0) -> Any:
    return PaceSummary(rate, steps, overruns, median, p99)


# The machine --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "status"), [("3.11.0", "ok"), ("3.13.9", "ok"), ("3.10.9", "fail"), ("3.14.0", "fail")]
)
def test_python_must_lie_in_the_range(version: str, status: str) -> None:
    assert check_python(">=3.11,<3.14", version).status == status


def test_what_is_required_is_what_the_project_says() -> None:
    python, packages = required()
    assert check_python(python, "3.11.1").status == "ok"
    assert any(line.startswith("torch>=") for line in packages)


@pytest.mark.parametrize(
    ("wanted", "status", "value"),
    [
        (["torch>=2.6,<2.14"], "ok", "all 1 as needed"),
        (["torch>=2.6", 'pytest>=8; extra == "test"'], "ok", "all 1 as needed"),
        (["numpy[extra]>=1.26", "torch"], "fail", "numpy 1.25.2 is not >=1.26"),
        (["filelock>=3.12"], "fail", "filelock is missing"),
    ],
)
def test_packages_missing_or_out_of_range_are_named(wanted: list[str], status: str, value: str) -> None:
    check = check_packages(wanted, installed)
    assert (check.status, check.value) == (status, value)


@pytest.mark.parametrize(
    ("now", "recorded", "status"),
    [
        (NOW, None, "ok"),
        (NOW, NOW - timedelta(days=1), "ok"),
        (NOW, NOW + timedelta(hours=1), "fail"),
        (datetime(1970, 1, 2, tzinfo=UTC), None, "fail"),
    ],
)
def test_the_clock_must_lie_after_what_was_recorded(now: datetime, recorded: datetime | None, status: str) -> None:
    assert check_clock(now, recorded).status == status


def test_the_newest_recording_is_found_by_its_name(tmp_path: Path) -> None:
    assert newest_recording(tmp_path) is None
    for when in ("20260131T140509Z", "20260201T000000Z", "20269901T000000Z"):
        (tmp_path / f"p01_pilot_{when}_0a1b2c.h5").touch()
    (tmp_path / "notes.h5").touch()
    assert newest_recording(tmp_path) == datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(("lasts_ms", "status"), [(1.1, "ok"), (15.6, "warn")])
def test_a_timer_that_oversleeps_is_told(lasts_ms: float, status: str) -> None:
    times = chain.from_iterable((0, round(lasts_ms * 1e6)) for _ in repeat(None))
    check = check_timer(lambda: next(times), lambda seconds: None)
    assert (check.status, f"{lasts_ms:.1f} ms" in check.value) == (status, True)


@pytest.mark.parametrize(("steps", "metrics"), [(20, 7), (100, 7), (300, 7), (20, 1), (300, 2)])
def test_the_bytes_of_a_step_are_those_of_a_recording(tmp_path: Path, steps: int, metrics: int) -> None:
    task = replace(TASK, metrics=TASK.metrics[:metrics])
    values = {metric.name: METRICS[metric.name] for metric in task.metrics}

    def size(episodes: int) -> int:
        info = replace(EPISODE, condition="full", packet_bytes=22)
        drive = Drive(info, [replace(STEP, packet=bytes(22), metrics=values)] * steps)
        return write_session(tmp_path, [drive] * episodes, session_id=f"{episodes:06x}", task=task).stat().st_size

    assert bytes_per_step(task, steps) == pytest.approx((size(25) - size(5)) / (20 * steps), rel=0.05)


@pytest.mark.parametrize(("free", "status"), [(0, "fail"), (10**7, "fail"), (10**8, "warn"), (10**11, "ok")])
def test_a_full_disk_is_told_before_a_session(free: int, status: str) -> None:
    assert check_disk(free, step_bytes=700.0, pace=10.0).status == status


def test_larger_frames_and_latents_leave_room_for_fewer_hours() -> None:
    wide = replace(TASK, latents=64, blocks=16)
    assert bytes_per_step(wide, 100) > bytes_per_step(TASK, 100) + 2 * 32 * 4


@pytest.mark.parametrize("name", [".", "new", "new/one"])
def test_looking_at_a_data_folder_leaves_nothing(tmp_path: Path, name: str) -> None:
    assert check_folder(tmp_path / name).status == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert check_folder(tmp_path / "file").status == "fail"


# Models and pace ----------------------------------------------------------------------------------------------------


def test_the_shipped_weights_are_those_on_their_card(model: LatentModel, tmp_path: Path) -> None:
    assert check_model(model).status == "ok"
    assert check_model(replace(model, sha256="0" * 64)).status == "fail"
    for card in (None, "no JSON", "[]", "{}"):
        if card is not None:
            (tmp_path / "card.json").write_text(card)
        assert check_model(replace(model, folder=tmp_path)).status == "fail"


def test_the_shipped_mask_serves_the_default_channel_only(model: LatentModel) -> None:
    for path in (None, model.fitted_path("pico")):
        assert check_mask("pico", path, ChannelConfig(), model).status == "ok"
        assert check_mask("pico", path, ChannelConfig(fill="prior"), model).status == "fail"
        assert check_mask("pico", path, ChannelConfig(mask_interval="step"), model).status == "fail"
    assert check_mask("perceptual", model.fitted_path("pico"), ChannelConfig(), model).status == "fail"
    assert check_mask("pico-rate", None, ChannelConfig(fill="prior"), model).status == "ok", "it has no mask to fill"


def test_masks_that_are_missing_damaged_or_of_other_weights_are_told(model: LatentModel, tmp_path: Path) -> None:
    path = tmp_path / "pico.safetensors"
    assert check_mask("pico", path, ChannelConfig(), model).status == "warn"
    assert check_mask("perceptual", None, ChannelConfig(), model).value == "none comes with the latent model"
    path.write_bytes(b"no mask")
    assert check_mask("pico", path, ChannelConfig(), model).status == "fail"
    other = write_mask(tmp_path / "other.safetensors", model, model_sha256="0" * 64)
    assert check_mask("pico", other, ChannelConfig(), model).status == "fail"


@pytest.mark.parametrize(
    ("summary", "status"),
    [
        (pace(median=10.0, p99=20.0), "ok"),
        (pace(median=10.0, p99=70.0), "warn"),
        (pace(median=101.0, p99=120.0), "fail"),
        (pace(rate=50.0, median=10.0, p99=13.0), "warn"),
    ],
)
def test_steps_must_leave_room_in_their_period(summary: PaceSummary, status: str) -> None:
    assert check_steps(summary).status == status


@pytest.mark.parametrize(
    ("summary", "status"),
    [
        (pace(), "ok"),
        (pace(overruns=2), "ok"),
        (pace(overruns=3), "warn"),
        (pace(overruns=26), "fail"),
        (pace(overruns=2, p99=151.0), "fail"),
        (pace(steps=0, median=0.0, p99=0.0), "warn"),
    ],
)
def test_late_steps_are_told(summary: PaceSummary, status: str) -> None:
    assert check_drive(summary).status == status


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [(["ok", "ok"], "ok"), (["ok", "warn"], "warn"), (["warn", "fail", "ok"], "fail"), ([], "ok")],
)
def test_the_verdict_is_the_worst_status(statuses: list[Any], worst: str) -> None:
    assert verdict([CheckResult("name", status, "value") for status in statuses]) == worst


# Keys ---------------------------------------------------------------------------------------------------------------


def key(kind: int, name: str) -> pygame.event.Event:
    return pygame.event.Event(kind, key=pygame.key.key_code(name))


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """pygame knows keys by name only with a display."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    yield
    pygame.display.quit()


@pytest.mark.usefixtures("keyboard")
def test_a_combination_is_delivered_once_all_its_keys_are_down_together() -> None:
    wanted = combinations({"left": ("left",), "right": ("right",)})
    assert wanted == [("left", "right"), ("left", "right", "space")]
    trial = KeyTrial(wanted)
    trial.handle(key(pygame.KEYDOWN, "left"))
    trial.handle(key(pygame.KEYUP, "left"))
    trial.handle(key(pygame.KEYDOWN, "right"))
    assert trial.delivered == []
    trial.handle(key(pygame.KEYDOWN, "left"))
    assert trial.delivered == wanted[:1]
    assert not trial.done
    trial.handles_interruption("focus")
    trial.handle(key(pygame.KEYDOWN, "space"))
    assert trial.delivered == wanted[:1]
    trial.handles_interruption("escape")
    assert trial.done


@pytest.mark.usefixtures("keyboard")
def test_closing_the_window_leaves_out_the_combinations_that_are_left() -> None:
    trial = KeyTrial(combinations({"left": ("left", "a"), "right": ("right", "d")}))
    trial.handles_interruption("close")
    assert trial.done
    assert trial.delivered == []


def test_the_keys_of_more_actions_are_tried_in_twos_and_all_together() -> None:
    two = combinations({"left": ("left", "a"), "right": ("right", "d")})
    assert two == [("left", "right"), ("left", "right", "space"), ("a", "d"), ("a", "d", "space")]
    three = combinations(default_bindings(make_task("lunar-lander").spec))
    assert three[:5] == [
        *[("left", "up"), ("left", "right"), ("up", "right")],
        *[("left", "up", "right"), ("left", "up", "right", "space")],
    ]
    assert len(three) == 10
    assert combinations(default_bindings(make_spec(LANDER)))[:3] == three[:3], "right has one key only"
    assert ("n", "y", "space") in combinations(default_bindings(make_spec(ANSWERS)))
    many = combinations({f"act-{key}": (key,) for key in "abcdef"})
    assert many == [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f")]
    assert combinations({}) == combinations({"act": ("space",)}) == []


def test_two_keys_that_never_arrive_together_fail_and_three_warn() -> None:
    wanted = combinations({"left": ("left",), "right": ("right",)})
    assert check_keys(wanted, wanted).status == "ok"
    assert check_keys(wanted, wanted[:1]).status == "warn"
    assert check_keys(wanted, wanted[:1]).value == "not seen together: left + right + space"
    assert check_keys(wanted, wanted[1:]).status == "fail"


# All of it ----------------------------------------------------------------------------------------------------------


def test_without_a_window_everything_else_is_looked_at(tmp_path: Path, command: typer.Typer) -> None:
    arguments = ["--headless", "--json", "--data", str(tmp_path / "recordings")]
    result = CliRunner().invoke(command, arguments)
    told = json.loads(result.stdout)
    assert [check["name"] for check in told["checks"]] == [
        *MACHINE_CHECKS,
        "drawing",
        "disk",
        "model",
        "pico mask",
        "step",
    ]
    assert all(check["status"] == "ok" for check in told["checks"] if check["name"] not in ("disk", "timer", "step"))
    assert result.exit_code == (told["verdict"] == "fail")
    assert list(tmp_path.iterdir()) == []


def test_a_study_that_cannot_be_used_fails_and_the_rest_is_looked_at_all_the_same(
    tmp_path: Path, command: typer.Typer
) -> None:
    (tmp_path / "study.toml").write_text("[title")
    result = CliRunner().invoke(command, ["--headless", "--study", str(tmp_path), "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "Not ready" in result.stdout
    assert f"study: {tmp_path / 'study.toml'}: " in result.stdout
    assert "pygame-ce" in result.stdout


def test_a_study_says_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(
        'title = "Which bits"\nconditions = ["random", "pico"]\n[episodes]\npace = 20.0\n[channel]\nfill = "prior"\n'
        '[masks]\npico = "shipped"\n'
    )
    checks = {check.name: check for check in examine(DoctorConfig(study=tmp_path, headless=True))}
    assert checks["study"].value.startswith("Which bits (")
    assert checks["data folder"].value.startswith(str(tmp_path / "recordings"))
    assert "at 20 steps a second" in checks["disk"].value
    assert checks["pico mask"].status == "fail"


def task_study(folder: Path, task: str, sizes: Sizes, more: str = "") -> Path:
    """Write a study of a task, and a latent model that it names."""
    write_tiny_model(folder / "m", sizes)
    text = f'title = "T"\nconditions = ["random", "full"]\n[task]\nname = "{task}"\nmodel = "m"\n{more}'
    (folder / "study.toml").write_text(text)
    return folder


LANDER_SIZES = Sizes(make_task("lunar-lander").spec.frame, latents=16, blocks=8, actions=4, hidden=16, dense=32)


def test_a_study_of_another_task_is_looked_at_with_its_own_model_and_pace(tmp_path: Path) -> None:
    study = task_study(tmp_path / "lander", "lunar-lander", LANDER_SIZES)
    (study / "m" / "card.json").write_text(json.dumps({"sha256": load_model(study / "m").sha256}))
    checks = {check.name: check for check in examine(DoctorConfig(study=study, headless=True))}
    assert (checks["study"].status, checks["model"].status) == ("ok", "ok")
    assert "at 20 steps a second" in checks["disk"].value
    assert "ms without a window" in checks["step"].value
    assert "pico mask" not in checks


def test_a_task_without_simulated_people_is_timed_all_the_same(tmp_path: Path) -> None:
    with installing(tmp_path) as install:
        install("their_task", COUNTING, TASKS, "counting = their_task:Counting")
        study = task_study(tmp_path / "counting", "counting", replace(LANDER_SIZES, frame=(64, 64, 3), actions=3))
        checks = {check.name: check for check in examine(DoctorConfig(study=study, headless=True))}
    assert (checks["study"].status, "ms without a window" in checks["step"].value) == ("ok", True)


def test_a_task_that_waits_for_answers_has_no_pace_to_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with installing(tmp_path) as install:
        waiting = COUNTING.replace("neutral=0,", "neutral=0,\n    paced=False,")
        install("their_task", waiting, TASKS, "counting = their_task:Counting")
        study = task_study(tmp_path / "counting", "counting", replace(LANDER_SIZES, frame=(64, 64, 3), actions=3))
        checks = [check.name for check in examine(DoctorConfig(study=study))]
    assert checks == ["study", "letters", *MACHINE_CHECKS, "disk", "model", "display"]


def test_a_task_that_fails_is_told_and_the_rest_is_looked_at_all_the_same(tmp_path: Path) -> None:
    with installing(tmp_path) as install:
        failing = COUNTING.replace("self.steps += 1", "raise RuntimeError('no\\nfuel')")
        install("their_task", failing, TASKS, "counting = their_task:Counting")
        study = task_study(tmp_path / "counting", "counting", replace(LANDER_SIZES, frame=(64, 64, 3), actions=3))
        *_, last = examine(DoctorConfig(study=study, headless=True))
    assert (last.name, last.status, last.value) == ("step", "fail", "counting cannot be driven")
    assert "step(0) failed: RuntimeError: no fuel" in last.advice


def test_no_display_fails_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    last = examine(DoctorConfig(data=tmp_path))[-1]
    assert (last.name, last.status) == ("display", "fail")
    assert "--headless" in last.advice


def test_a_display_that_nobody_sees_is_told_and_the_pace_is_measured_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    display, drive = examine(DoctorConfig(data=tmp_path, pace=50.0))[-2:]
    assert (display.name, display.status) == ("display", "warn")
    assert (drive.name, "150 steps at 50 Hz" in drive.value) == ("pace", True)


def test_a_key_is_timed_to_the_frame_after_its_action() -> None:
    ms = 1_000_000
    rows = [(100 * step * ms, action) for step, action in enumerate([STRAIGHT, LEFT, LEFT, STRAIGHT, STRAIGHT, RIGHT])]
    early, late = Press(LEFT, 130 * ms), Press(LEFT, 195 * ms)  # before the action is chosen, and after
    assert latencies_ms([early], rows) == [70.0]
    assert latencies_ms([late], [*rows[:1], (100 * ms, STRAIGHT), *rows[2:]]) == [105.0]
    assert latencies_ms([Press(RIGHT, 130 * ms)], rows) == []  # no frame came after it
    assert latencies_ms([early], []) == []


@pytest.mark.parametrize(
    ("found", "pressed", "status"),
    [([60.0, 70.0], 2, "ok"), ([60.0, 70.0], 3, "warn"), ([60.0, 190.0], 2, "warn"), ([60.0], 1, "warn")],
)
def test_keys_that_are_lost_or_late_are_told(found: list[float], pressed: int, status: str) -> None:
    assert check_latency(found, pressed, rate=10.0).status == status


@pytest.mark.parametrize(
    ("flip_ms", "refresh_hz", "said"),
    [(16.0, 60.0, "on: "), (0.3, 60.0, "up to 17 ms later"), (0.3, 0.0, "does not say")],
)
def test_whether_pictures_wait_for_the_screen_is_told(flip_ms: float, refresh_hz: float, said: str) -> None:
    assert said in check_vsync(flip_ms, refresh_hz).value


def test_keys_are_pressed_in_a_drive_and_every_one_has_its_effect(
    model: LatentModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    vsync, key = measure_latency(Needs(pace=50.0), model, keys=3)
    assert vsync.name == "vsync" and "3 of 3 keys" in key.value


@pytest.mark.parametrize(
    "settings",
    [{"headless": True, "keys": True}, {"headless": True, "latency": True}, {"pace": 0.5}, {"pace": float("nan")}],
)
def test_what_cannot_be_asked_for_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DoctorConfig(**settings)


@pytest.mark.xvfb
def test_in_a_real_window_the_pace_is_measured_and_the_keys_arrive(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    server = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1024x768x24", "-nolisten", "tcp", "-noreset"]
    with subprocess.Popen(server, pass_fds=[writing], stderr=subprocess.DEVNULL) as x:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            display = ":" + pipe.readline().strip()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SDL_", "WAYLAND"))}
        environment |= {"DISPLAY": display, "PYTHONPATH": str(Path(racer.__file__).parent.parent)}
        program = "import typer; from racer.commands.doctor import doctor; typer.run(doctor)"
        arguments = [sys.executable, "-c", program, "--keys", "--json", "--data", str(tmp_path)]
        process = subprocess.Popen(arguments, env=environment, stdout=-1, stderr=-1, text=True)
        try:
            deadline = time.monotonic() + 120
            while process.poll() is None:
                assert time.monotonic() < deadline, "the doctor got stuck"
                for way in ("keydown", "keyup"):
                    keys = chain.from_iterable((way, name) for name in ("Left", "Right", "space", "a", "d"))
                    subprocess.run(["xdotool", *keys], env=environment, check=True)
                try:
                    process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
            out, err = process.communicate()
        finally:
            process.kill()
            x.terminate()
    assert err == ""
    display_check, drive, keys_check = json.loads(out)["checks"][-3:]
    assert (display_check["status"], display_check["value"].split(" at ")[0]) == ("ok", "x11: 1024 x 768")
    assert drive["value"].startswith("30 steps at 10 Hz")
    assert (keys_check["status"], keys_check["value"]) == ("ok", "all 4 combinations arrive")
