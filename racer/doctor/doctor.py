"""The check before a participant sits down: does this machine record, keep the pace, and have what the study needs?"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compression.coders.coder import find_coder
from compression.errors import CompressionError
from compression.fitting.mask_file import DEFAULT_MASK, LearnedMask
from compression.model.latent_model import WEIGHTS, Codec, load_codec, use_one_thread
from racer.doctor.machine import Check, CheckStatus, check_machine
from racer.drivers.keyboard import LEFT_KEYS, RIGHT_KEYS
from racer.drivers.registry import SIMULATED, make_driver
from racer.errors import ConfigError, NoDisplayError, RacerError
from racer.loop.conditions import MASKED_CONDITIONS, ChannelConfig, load_masks, read_fitted
from racer.loop.display import Display, EndSession, NoDisplay
from racer.loop.episode import EpisodeRun, Setup, Unrecorded
from racer.loop.pacing import Pacer, PaceSummary, check_pace
from racer.sitting.protocol import EVALUATED, EpisodePlan
from racer.tasks.car_racing.track import TrackConfig

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
    """Steps per second; the study's, or else 10, where none is given."""
    headless: bool = False
    """Whether to leave out the window."""
    keys: bool = False
    """Whether to ask for keys to be held at once."""

    def __post_init__(self) -> None:
        if self.pace is not None:
            check_pace(self.pace)
        if self.headless and self.keys:
            raise ConfigError("keys are tried in a window: leave out --headless or --keys")


@dataclass(frozen=True)
class Needs:
    """What the sessions to come need, as a study says or by default."""

    data: Path = Path("recordings")
    pace: float = 10.0
    track: TrackConfig = field(default_factory=TrackConfig)
    channel: ChannelConfig = field(default_factory=ChannelConfig)
    masks: dict[str, Path] = field(default_factory=lambda: {"pico": DEFAULT_MASK})
    """Mask file of each condition that needs one."""
    left: tuple[str, ...] = LEFT_KEYS
    right: tuple[str, ...] = RIGHT_KEYS


def examine(config: DoctorConfig) -> list[Check]:
    """Look at everything and return what was found, in the order looked at."""
    use_one_thread()
    needs, checks = _read_study(config)
    checks += check_machine(needs.data, needs.pace)
    try:
        codec = load_codec()
    except CompressionError as error:
        return [*checks, Check("codec", "fail", "cannot be loaded", str(error))]
    checks += [check_codec(codec)]
    checks += [check_mask(condition, path, needs.channel, codec) for condition, path in needs.masks.items()]
    checks += [check_steps(_drive(needs, codec, NoDisplay(), _UNPACED_STEPS))]
    if not config.headless:
        checks += _check_window(needs, codec, config.keys)
    return checks


def verdict(checks: list[Check]) -> CheckStatus:
    """Return the worst status."""
    found = {check.status for check in checks}
    return "fail" if "fail" in found else "warn" if "warn" in found else "ok"


def check_codec(codec: Codec) -> Check:
    """Compare the shipped weights with the hash on their data card."""
    try:
        card = json.loads(WEIGHTS.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        card = {}
    if not isinstance(card, dict) or card.get("sha256") != codec.sha256:
        advice = "install Racer again: recordings of different weights cannot be compared"
        return Check("codec", "fail", f"{codec.sha256[:12]} is not what was shipped", advice)
    return Check("codec", "ok", codec.sha256[:12])


def check_mask(condition: str, path: Path, channel: ChannelConfig, codec: Codec) -> Check:
    """Check that a mask file serves a condition under a channel's settings."""
    name = f"{condition} mask"
    if not path.exists():
        return Check(name, "warn", f"{path} is not there yet", "record the pilots and train it before evaluating")
    try:
        mask = read_fitted(path, codec)
    except CompressionError as error:
        return Check(name, "fail", f"{path} cannot be used", str(error))
    if mask.record.objective != condition:
        advice = f"make one with `racer train --objective {condition}`"
        return Check(name, "fail", f"{path} was trained for {mask.record.objective}", advice)
    if not isinstance(mask, LearnedMask):
        return Check(name, "ok", mask.sha256[:12])
    record = mask.record
    if (record.interval, record.fill) != (channel.mask_interval, channel.fill):
        value = f"trained per {record.interval} with {record.fill} fill, used per {channel.mask_interval} with "
        return Check(name, "fail", value + f"{channel.fill} fill", "train it again, or change the channel's settings")
    return Check(name, "ok", f"{mask.sha256[:12]}, per {record.interval} with {record.fill} fill")


def check_steps(pace: PaceSummary) -> Check:
    """Judge what steps cost without a window and without waiting."""
    value = f"{pace.median_ms:.1f} ms without a window, 99 % within {pace.p99_ms:.1f} ms"
    period_ms = 1000 / pace.rate
    if pace.median_ms > period_ms:
        return Check("step", "fail", f"{value}; a step has {period_ms:.0f} ms", _SLOW)
    if pace.p99_ms > _ROOM * period_ms:
        return Check("step", "warn", f"{value}; a step has {period_ms:.0f} ms", _SLOW)
    return Check("step", "ok", value)


def check_drive(pace: PaceSummary) -> Check:
    """Judge how well a drive in the window kept its pace."""
    if not pace.steps:
        return Check("pace", "warn", "the drive was ended before it could be timed", "run this again and let it drive")
    late = pace.overruns / pace.steps
    if late > _MANY_LATE or pace.p99_ms > _FAR_TOO_LATE * 1000 / pace.rate:
        return Check("pace", "fail", str(pace), _SLOW)
    return Check("pace", "ok", str(pace)) if late <= _FEW_LATE else Check("pace", "warn", str(pace), _SLOW)


def check_keys(wanted: list[tuple[str, ...]], delivered: list[tuple[str, ...]]) -> Check:
    """Judge which combinations of keys the keyboard delivered; only those of two are steered with."""
    missing = [keys for keys in wanted if keys not in delivered]
    if not missing:
        return Check("keys", "ok", f"all {len(wanted)} combinations arrive")
    value = "not seen together: " + ", ".join(" + ".join(keys) for keys in missing)
    advice = "use another keyboard, or steer with other keys"
    return Check("keys", "fail" if any(len(keys) == 2 for keys in missing) else "warn", value, advice)


def _read_study(config: DoctorConfig) -> tuple[Needs, list[Check]]:
    """Return what sessions need, and what was found out about the study file."""
    needs: dict[str, Any] = {}
    checks = []
    if config.study is not None:
        from racer.study.file import find_study, load_study

        try:
            study = load_study(find_study(config.study))
        except RacerError as error:
            checks = [Check("study", "fail", f"{config.study} cannot be used", str(error))]
        else:
            checks = [Check("study", "ok", f"{study.file.title} ({study.sha256[:12]})")]
            needs = _needs_of(study)
    if config.data is not None:
        needs["data"] = config.data
    if config.pace is not None:
        needs["pace"] = config.pace
    return Needs(**needs), checks


def _needs_of(study: Study) -> dict[str, Any]:
    shown = [name for name in (*study.file.conditions, study.file.episodes.explore) if name in MASKED_CONDITIONS]
    return {
        "data": study.recordings,
        "pace": study.file.driving.pace,
        "track": study.file.track_config(),
        "channel": study.file.channel_config(),
        "masks": {name: study.mask_path(name) or find_coder(name).shipped for name in sorted(set(shown))},
        "left": study.file.keys.left,
        "right": study.file.keys.right,
    }


def _drive(needs: Needs, codec: Codec, display: Display, steps: int) -> PaceSummary:
    """Let a simulated participant drive, on a track of its own with the shipped mask, and return the pace kept."""
    pacer = Pacer(needs.pace, time.monotonic_ns)
    masks = load_masks(EVALUATED, (), codec)
    channel = ChannelConfig(bits=needs.channel.bits)
    setup = Setup(track=needs.track, channel=channel, codec=codec, masks=masks, seed=0)
    episodes = EpisodeRun(setup, make_driver(SIMULATED, 0), display, Unrecorded(), pacer)
    with suppress(EndSession):  # the number of steps timed says so
        episodes.run(EpisodePlan(0, "drive", "pico", track_seed=0, steps=steps), "Racer drives: please wait")
    return pacer.summary()


def _check_window(needs: Needs, codec: Codec, with_keys: bool) -> list[Check]:
    from racer.doctor.rollover import combinations, try_keys
    from racer.window.window import Window

    try:
        window = Window("Racer doctor", countdown_from=0)
    except NoDisplayError as error:
        return [Check("display", "fail", "no window can be opened", f"{error}; here, --headless leaves it out")]
    try:
        checks = [_check_display(), check_drive(_drive(needs, codec, window, round(_DRIVE_S * needs.pace) + 1))]
    finally:
        window.close()
    if with_keys:
        wanted = combinations(needs.left, needs.right)
        checks.append(check_keys(wanted, try_keys(wanted)))
    return checks


def _check_display() -> Check:
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
        return Check("display", "warn", value, "nobody sees this display: unset SDL_VIDEODRIVER")
    return Check("display", "ok", value)
