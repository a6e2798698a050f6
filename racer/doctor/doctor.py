"""The check before a participant sits down: does this machine record, keep the pace, and have what the study needs?"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compression.errors import CompressionError
from compression.model.latent_model import LatentModel, use_one_thread
from disk.reading import read_plain
from racer.doctor.machine import CheckResult, CheckStatus, bytes_per_step, check_disk, check_machine, free_bytes
from racer.drivers.driver import Driver
from racer.drivers.keyboard import HeldKeys, KeyboardDriver
from racer.drivers.registry import SIMULATED, make_driver
from racer.errors import ConfigError, NoDisplayError, RacerError
from racer.loop.attended import EpisodeRun, Setup, Unrecorded
from racer.loop.conditions import MASKED_CONDITIONS, ChannelConfig, load_fitted_models, read_fitted
from racer.loop.display import Display, EndSession, NoDisplay
from racer.loop.pacing import Pacer, PaceSummary, check_pace
from racer.sitting.protocol import EpisodePlan
from racer.tasks.latent_model import load_task_model
from racer.tasks.record import record_of
from racer.tasks.registry import make_task
from racer.tasks.task import Task

if TYPE_CHECKING:
    from racer.study.file import Study

_DRIVE_S = 3.0
"""Seconds of driving in the window."""
_UNPACED_STEPS = 60
_ROOM = 0.6
"""Share of a step that its computation may take: the rest is for the window and for whatever else the machine does."""
_FEW_LATE, _MANY_LATE = 0.02, 0.25
"""Shares of late steps: up to the first all is well, above the second a recording is not worth having."""
_FAR_TOO_LATE = 1.5
"""Periods after which a step is felt as a jerk."""
_SLOW = "close other programs, plug in the power supply, or choose a lower pace"


@dataclass(frozen=True)
class DoctorConfig:
    """What to look at."""

    data: Path | None = None
    """Folder for recordings; the study's, or else `recordings`, where none is given."""
    study: Path | None = None
    """A study file or its folder."""
    pace: float | None = None
    """Steps per second; the study's, or else the task's, where none is given."""
    headless: bool = False
    """Whether to leave out the window."""
    keys: bool = False
    """Whether to ask for keys to be held at once."""
    latency: bool = False
    """Whether to measure how long a key takes until the frame that shows its effect."""

    def __post_init__(self) -> None:
        if self.pace is not None:
            check_pace(self.pace)
        for name in ("keys", "latency"):
            if self.headless and getattr(self, name):
                raise ConfigError(f"keys are tried in a window: leave out --headless or --{name}")


@dataclass(frozen=True)
class Needs:
    """What the sessions to come need, as a study says or by default."""

    data: Path = Path("recordings")
    task: Task = field(default_factory=make_task)
    model: Path | None = None
    """Folder of the latent model; None for the one that comes with the task."""
    pace: float | None = None
    """Steps per second; as many as the task says if None."""
    channel: ChannelConfig = field(default_factory=ChannelConfig)
    masks: dict[str, Path | None] = field(default_factory=lambda: {"pico": None})
    """Mask file of each condition that needs one; None for the one that comes with the latent model."""
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def steps_per_second(self) -> float:
        """The pace to keep."""
        return self.task.spec.pace if self.pace is None else self.pace


def examine(config: DoctorConfig) -> list[CheckResult]:
    """Look at everything and return what was found, in the order looked at."""
    use_one_thread()
    needs, checks = _read_study(config)
    checks += check_machine(needs.data)
    spec = needs.task.spec
    if spec.drawing:
        checks.append(CheckResult("drawing", "ok", spec.drawing()))
    try:
        model = load_task_model(spec, needs.model)
    except (CompressionError, RacerError) as error:
        return [*checks, CheckResult("model", "fail", "cannot be loaded", str(error))]
    step_bytes = bytes_per_step(record_of(needs.task, model), spec.steps)
    checks += [check_disk(free_bytes(needs.data), step_bytes, needs.steps_per_second), check_model(model)]
    checks += [check_mask(condition, path, needs.channel, model) for condition, path in needs.masks.items()]
    try:
        unseen = _drive(needs, model, NoDisplay(), _UNPACED_STEPS)
    except (CompressionError, RacerError) as error:
        return [*checks, CheckResult("step", "fail", f"{spec.name} cannot be driven", str(error))]
    checks += [check_steps(unseen)] if spec.paced else []
    if not config.headless:
        checks += _check_window(needs, model, config.keys, config.latency)
    return checks


def verdict(checks: list[CheckResult]) -> CheckStatus:
    """Return the worst status."""
    found = {check.status for check in checks}
    return "fail" if "fail" in found else "warn" if "warn" in found else "ok"


def check_model(model: LatentModel) -> CheckResult:
    """Compare a latent model with the hash on its data card."""
    assert model.folder is not None
    try:
        card = json.loads(read_plain(model.folder / "card.json", 2**20))
    except (OSError, ValueError):
        card = {}
    if not isinstance(card, dict) or card.get("sha256") != model.sha256:
        advice = "install Racer again, or train the model again: recordings of different weights cannot be compared"
        return CheckResult("model", "fail", f"{model.sha256[:12]} is not what the card in {model.folder} says", advice)
    return CheckResult("model", "ok", model.sha256[:12])


def check_mask(condition: str, path: Path | None, channel: ChannelConfig, model: LatentModel) -> CheckResult:
    """Check that a mask file, or the one that comes with a model, serves a condition under a channel's settings."""
    name = f"{condition} mask"
    if path is None and (path := model.fitted_path(condition)) is None:
        return CheckResult(
            name, "warn", "none comes with the latent model", "record pilots and train it before evaluating"
        )
    if not path.exists():
        return CheckResult(name, "warn", f"{path} is not there yet", "record the pilots and train it before evaluating")
    try:
        mask = read_fitted(path, model)
    except CompressionError as error:
        return CheckResult(name, "fail", f"{path} cannot be used", str(error))
    record = mask.record
    if record.objective != condition:
        advice = f"make one with `racer train --objective {condition}`"
        return CheckResult(name, "fail", f"{path} was trained for {record.objective}", advice)
    if not record.interval:
        return CheckResult(name, "ok", mask.sha256[:12])
    if (record.interval, record.fill) != (channel.mask_interval, channel.fill):
        value = f"trained per {record.interval} with {record.fill} fill, used per {channel.mask_interval} with "
        return CheckResult(
            name, "fail", value + f"{channel.fill} fill", "train it again, or change the channel's settings"
        )
    return CheckResult(name, "ok", f"{mask.sha256[:12]}, per {record.interval} with {record.fill} fill")


def check_steps(pace: PaceSummary) -> CheckResult:
    """Judge what steps cost without a window and without waiting."""
    value = f"{pace.median_ms:.1f} ms without a window, 99 % within {pace.p99_ms:.1f} ms"
    period_ms = 1000 / pace.rate
    if pace.median_ms > period_ms:
        return CheckResult("step", "fail", f"{value}; a step has {period_ms:.0f} ms", _SLOW)
    if pace.p99_ms > _ROOM * period_ms:
        return CheckResult("step", "warn", f"{value}; a step has {period_ms:.0f} ms", _SLOW)
    return CheckResult("step", "ok", value)


def check_drive(pace: PaceSummary) -> CheckResult:
    """Judge how well a drive in the window kept its pace."""
    if not pace.steps:
        return CheckResult(
            "pace", "warn", "the drive was ended before it could be timed", "run this again and let it drive"
        )
    late = pace.overruns / pace.steps
    if late > _MANY_LATE or pace.p99_ms > _FAR_TOO_LATE * 1000 / pace.rate:
        return CheckResult("pace", "fail", str(pace), _SLOW)
    return CheckResult("pace", "ok", str(pace)) if late <= _FEW_LATE else CheckResult("pace", "warn", str(pace), _SLOW)


def check_keys(wanted: list[tuple[str, ...]], delivered: list[tuple[str, ...]]) -> CheckResult:
    """Judge which combinations of keys the keyboard delivered; hands that move on hold two at a time."""
    missing = [keys for keys in wanted if keys not in delivered]
    if not missing:
        return CheckResult("keys", "ok", f"all {len(wanted)} combinations arrive")
    value = "not seen together: " + ", ".join(" + ".join(keys) for keys in missing)
    advice = "use another keyboard, or other keys"
    return CheckResult("keys", "fail" if any(len(keys) == 2 for keys in missing) else "warn", value, advice)


def check_letters(study: Study) -> CheckResult:
    """Check that everything that people read in a study can be shown here."""
    from racer.study.lettering import ADVICE, find_unshown

    try:
        unshown = find_unshown(study)
    except ConfigError as error:
        return CheckResult("letters", "fail", "the study's font is missing", str(error))
    if not unshown:
        return CheckResult("letters", "ok", "every text can be shown")
    return CheckResult("letters", "fail", "; ".join(map(str, unshown)), ADVICE)


def _read_study(config: DoctorConfig) -> tuple[Needs, list[CheckResult]]:
    """Return what sessions need, and what was found out about the study file."""
    needs: dict[str, Any] = {}
    checks = []
    if config.study is not None:
        from racer.study.file import find_study, load_study

        try:
            study = load_study(find_study(config.study))
        except RacerError as error:
            checks = [CheckResult("study", "fail", f"{config.study} cannot be used", str(error))]
        else:
            checks = [CheckResult("study", "ok", f"{study.file.title} ({study.sha256[:12]})"), check_letters(study)]
            needs = _needs_of(study)
    if config.data is not None:
        needs["data"] = config.data
    if config.pace is not None:
        needs["pace"] = config.pace
    return Needs(**needs), checks


def _needs_of(study: Study) -> dict[str, Any]:
    shown = [name for name in study.file.shown if name in MASKED_CONDITIONS]
    return {
        "data": study.recordings,
        "task": study.file.make_task(),
        "model": study.model,
        "pace": study.file.episodes.pace,
        "channel": study.file.channel_config(),
        "masks": {name: study.mask_path(name) for name in sorted(set(shown))},
        "keys": study.file.keys.given,
    }


def _drive(
    needs: Needs,
    model: LatentModel,
    display: Display,
    steps: int,
    driver: Driver | None = None,
    recorder: Unrecorded | None = None,
) -> PaceSummary:
    """Let a driver, or else a simulated participant, do the task from a seed of its own, and return the pace kept.

    Where the task has no simulated people nothing is done; that takes as long to show.
    """
    pacer = Pacer(needs.steps_per_second, time.monotonic_ns)
    condition = "pico" if model.fitted_path("pico") else "random"
    fitted = load_fitted_models([condition], (), model)
    channel = ChannelConfig(bits=needs.channel.bits)
    spec = needs.task.spec
    setup = Setup(needs.task, channel, model, fitted, seed=0, text=spec.text("en"))
    if driver is None:
        driver = make_driver(SIMULATED, needs.task, 0) if spec.driver else _Resting(spec.start_action)
    episodes = EpisodeRun(setup, driver, display, recorder or Unrecorded(), pacer)
    with suppress(EndSession):  # the number of steps timed says so
        episodes.run(EpisodePlan(0, "round", condition, seed=0, steps=steps), "Racer drives: please wait")
    return pacer.summary()


class _Resting:
    """A driver that always takes the same action."""

    def __init__(self, action: int) -> None:
        self._action = action

    def reset(self) -> None:
        pass

    def act(self, frame: NDArray[np.uint8]) -> int:
        return self._action


def _check_window(needs: Needs, model: LatentModel, with_keys: bool, with_latency: bool) -> list[CheckResult]:
    from racer.doctor.rollover import combinations, try_keys
    from racer.window.window import Window

    spec = needs.task.spec
    held = HeldKeys(spec, needs.keys)
    try:
        window = Window(held, spec.text("en"), title="Racer doctor", countdown_from=0)
    except NoDisplayError as error:
        return [CheckResult("display", "fail", "no window can be opened", f"{error}; here, --headless leaves it out")]
    try:
        steps = round(_DRIVE_S * needs.steps_per_second) + 1
        drive = _drive(needs, model, window, steps)
        checks = [_check_display(), *([check_drive(drive)] if spec.paced else [])]
    finally:
        window.close()
    if with_latency:
        checks += measure_latency(needs, model)
    if with_keys:
        wanted = combinations(held.bindings)
        checks.append(check_keys(wanted, try_keys(wanted, spec)))
    return checks


def measure_latency(needs: Needs, model: LatentModel, keys: int = 20) -> list[CheckResult]:
    """Press so many keys in a drive, and measure how long they take; also what a flip takes."""
    import pygame

    from racer.doctor.latency import PressingWindow, ShownRows, check_latency, check_vsync, drive_of, latencies_ms

    spec, rate = needs.task.spec, needs.steps_per_second
    held = HeldKeys(spec, needs.keys)
    window = PressingWindow(held, round(1e9 / rate), np.random.default_rng(0))
    try:
        checks = [check_vsync(window.flip_ms(), max(pygame.display.get_desktop_refresh_rates(), default=0))]
        if not spec.paced:
            waits = f"not measured: {spec.name} waits for its answers, and records when a key went down"
            return [*checks, CheckResult("key to frame", "ok", waits)]
        rows = ShownRows()
        _drive(needs, model, window, drive_of(keys), KeyboardDriver(held), rows)
        return [*checks, check_latency(latencies_ms(window.presses, rows.rows), len(window.presses), rate)]
    finally:
        window.close()


def _check_display() -> CheckResult:
    """Describe the display that a window is open on."""
    import pygame

    driver = pygame.display.get_driver()
    screens = [
        f"{width} x {height}" + (f" at {rate} Hz" if rate else "")
        for (width, height), rate in zip(
            pygame.display.get_desktop_sizes(), pygame.display.get_desktop_refresh_rates(), strict=False
        )
    ]
    value = f"{driver}: {', '.join(screens)}"
    if driver in ("dummy", "offscreen"):
        return CheckResult("display", "warn", value, "nobody sees this display: unset SDL_VIDEODRIVER")
    return CheckResult("display", "ok", value)
