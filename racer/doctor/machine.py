"""What a session needs of the machine itself: packages, clocks, and room for recordings. See `racer doctor`."""

from __future__ import annotations

import re
import secrets
import shutil
import statistics
import sys
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from math import ceil, prod
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import sessions
from disk.reading import read_plain
from disk.writing import make_folder, scratch_folder
from racer.errors import RacerError
from racer.sitting.leases import Leases
from sessions import TaskRecord
from sessions.schema import episode_columns

CheckStatus = Literal["ok", "warn", "fail"]

_LONGEST_PACKET = 22
"""Bytes of a packet of condition `full`, which are the longest that most studies send."""
_EPISODE_BYTES, _COLUMN_BYTES = 6_000, 2_500
"""Measured: what HDF5 adds to an episode and to each of its columns, to find their chunks again."""
_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""A clock that lies before this was never set."""
_SLEEPS = 20
_LATE_SLEEP_MS = 3.0
"""A pause of 1 ms may last this long: keys are looked at that often while time runs."""
_FEW_HOURS, _MANY_HOURS = 2.0, 20.0
_RECORDING_TIME = re.compile(r"_(\d{8}T\d{6}Z)_[0-9a-f]{6}\.h5(?:\.partial)?$", re.ASCII)


@dataclass(frozen=True)
class CheckResult:
    """One thing looked at."""

    name: str
    status: CheckStatus
    """`warn`: sessions run, but look at it. `fail`: do not let a participant sit down."""
    value: str
    """What was found, one line."""
    advice: str = ""
    """What to do about it; empty where nothing needs doing."""


def required() -> tuple[str, list[str]]:
    """Return what this Racer needs: the range of Python versions, and one line per package as in pyproject.toml."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        table = tomllib.loads(read_plain(project, 2**20).decode())["project"]
        return table["requires-python"], table["dependencies"]
    found = metadata.metadata("racer")
    return found["Requires-Python"] or "", metadata.requires("racer") or []


def check_python(wanted: str, version: str) -> CheckResult:
    """Compare Python's version with a range such as `>=3.11,<3.14`."""
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return CheckResult("python", "ok", version)
    return CheckResult("python", "fail", f"{version}, needs {wanted}", "install Racer with a Python of that range")


def check_packages(wanted: Iterable[str], installed: Callable[[str], str]) -> CheckResult:
    """Compare the packages installed with those needed.

    Args:
        wanted: Requirements such as `torch>=2.6,<2.14`; those of extras do not count.
        installed: Returns a package's version, or raises PackageNotFoundError.
    """
    problems, count = [], 0
    for line in wanted:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = installed(requirement.name)
        except metadata.PackageNotFoundError:
            problems.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement.name} {version} is not {requirement.specifier}")
    if problems:
        return CheckResult("packages", "fail", "; ".join(problems), "install Racer again, in an environment of its own")
    return CheckResult("packages", "ok", f"all {count} as needed")


def check_pygame() -> CheckResult:
    """Check that `pygame` is pygame-ce."""
    import pygame

    from racer.window.opening import require_pygame_ce

    try:
        require_pygame_ce()
    except RacerError as error:
        return CheckResult("pygame", "fail", "plain pygame", str(error))
    return CheckResult(
        "pygame", "ok", f"pygame-ce {pygame.version.ver}, SDL {'.'.join(map(str, pygame.get_sdl_version()))}"
    )


def check_clock(now: datetime, recorded: datetime | None) -> CheckResult:
    """Check that the time of day can name a recording.

    Args:
        now: The time, with its zone.
        recorded: When the newest recording was begun; None without one.
    """
    value = f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    advice = "set the machine's clock: recordings are named and sorted by it"
    if now < _EARLIEST:
        return CheckResult("clock", "fail", f"{value}, which is long past", advice)
    if recorded is not None and now < recorded:
        return CheckResult(
            "clock", "fail", f"{value}, before the newest recording ({recorded:%Y-%m-%d %H:%M:%S})", advice
        )
    return CheckResult("clock", "ok", value)


def newest_recording(folder: Path) -> datetime | None:
    """Return when the newest recording in a folder was begun, by the names; None without one.

    Raises:
        RecordingError: If the folder cannot be listed.
    """
    matches = (_RECORDING_TIME.search(path.name) for path in sessions.find_recordings(folder))
    times = []
    for match in matches:
        if match:
            try:
                times.append(datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))
            except ValueError:
                continue  # a 13th month
    return max(times, default=None)


def check_timer(
    clock: Callable[[], int] = time.monotonic_ns, sleep: Callable[[float], None] = time.sleep
) -> CheckResult:
    """Measure how long a pause of 1 ms lasts: how precisely keys and frames can be timed."""
    lasted = []
    for _ in range(_SLEEPS):
        begun = clock()
        sleep(0.001)
        lasted.append((clock() - begun) / 1e6)
    median = statistics.median(lasted)
    value = f"a pause of 1 ms lasts {median:.1f} ms"
    if median > _LATE_SLEEP_MS:
        return CheckResult("timer", "warn", value, "close other programs and switch off power saving")
    return CheckResult("timer", "ok", value)


def bytes_per_step(task: TaskRecord, steps: int) -> float:
    """Return the bytes that a step takes in a recording of a task, in episodes of so many steps.

    HDF5 writes whole chunks, so that a short episode takes as much as one that fills them.
    """
    columns = episode_columns(task, _LONGEST_PACKET, linked=False, frames=False).values()
    stored = sum(
        ceil(steps / column.chunk[0]) * prod(column.chunk) * column.dtype.itemsize + _COLUMN_BYTES
        for column in columns
        if all(column.shape)
    )
    return (stored + _EPISODE_BYTES) / steps


def check_disk(free_bytes: int, step_bytes: float, pace: float) -> CheckResult:
    """Say for how many hours there is room, where a step takes so many bytes."""
    hours = free_bytes / (step_bytes * pace * 3600)
    value = f"{free_bytes / 1e9:.1f} GB free, {min(hours, 9999):.0f} hours at {pace:g} steps a second"
    if hours < _FEW_HOURS:
        return CheckResult("disk", "fail", value, "make room, or record to another disk with --data")
    if hours < _MANY_HOURS:
        return CheckResult("disk", "warn", value, "make room before many sessions")
    return CheckResult("disk", "ok", value)


def check_folder(folder: Path) -> CheckResult:
    """Check that a data folder can be written to, and that a lock held there is seen by others. Leaves nothing."""
    place = existing(folder)
    try:
        with scratch_folder(place) as scratch:
            data = scratch / "data"  # of its own: the scratch folder is locked by whoever made it
            make_folder(data)
            leases, session_id = Leases(data), secrets.token_hex(3)
            with leases.lease(session_id, None, "evaluation", orders=1):
                held = leases.is_live(session_id)
            works = held and not leases.is_live(session_id)
    except OSError as error:
        reason = error.strerror or str(error)
        advice = "choose a data folder that you may write to, with --data"
        return CheckResult("data folder", "fail", f"{folder} cannot be written to: {reason}", advice)
    except RacerError as error:
        return CheckResult("data folder", "fail", f"{folder} has no locks that work", str(error))
    if not works:
        advice = "choose a data folder on a file system with locks: two desks would get one order of conditions"
        return CheckResult("data folder", "fail", f"{folder} has no locks that work", advice)
    made = "" if place == folder else ", will be made"
    return CheckResult("data folder", "ok", f"{folder}{made}; can be written to, locks work")


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)


def check_machine(data: Path) -> list[CheckResult]:
    """Look at everything but the task, its model and the window; `data` is the folder for recordings, made or not."""
    python, packages = required()
    checks = [
        check_python(python, ".".join(map(str, sys.version_info[:3]))),
        check_packages(packages, metadata.version),
        check_pygame(),
        check_folder(data),
    ]
    try:
        recorded = newest_recording(data)
    except sessions.RecordingError:
        recorded = None  # what is wrong with the folder was said above
    return [*checks, check_clock(datetime.now(UTC), recorded), check_timer()]


def free_bytes(data: Path) -> int:
    """Return the room on the disk of a folder, made or not."""
    return shutil.disk_usage(existing(data)).free
