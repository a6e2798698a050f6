"""The whole job in a few minutes: a pilot, training on it, two other participants, the report."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from compression.fitting.config import PicoConfig
from compression.fitting.pico import TrainingSummary
from racer.analysis import require_analysis
from racer.drivers.registry import KEYBOARD, SIMULATED
from racer.report.study import StudyReport
from racer.report.write import write_report
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.run import SittingResult
from racer.sitting.start import StartConfig, start_session
from racer.training.train import refuse_existing, train


@dataclass(frozen=True)
class DemoConfig:
    """How the demonstration runs."""

    data: Path
    """Folder for its recordings and its mask."""
    driver: str
    """Who drives the pilot; the two who evaluate are simulated."""
    pace: float | None = None
    """Steps per second; as many as the task says if None."""


@dataclass(frozen=True)
class DemoResult:
    """Result of the demonstration."""

    pilot: SittingResult
    summary: TrainingSummary
    mask: Path
    report: StudyReport
    page: Path
    """The report as an HTML page."""


def default_folder() -> Path:
    """Return a new folder's name: `recordings/demo-<UTC time>`."""
    return Path("recordings") / f"demo-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def default_driver() -> str:
    """Return `keyboard` where a window can be expected to open, `simulated` elsewhere."""
    has_display = sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return KEYBOARD if has_display else SIMULATED


def run_demo(config: DemoConfig, tell: Callable[[str], None]) -> DemoResult | None:
    """Run all of it; None where the pilot was ended early.

    Args:
        config: How.
        tell: Told in one line what comes next.

    Raises:
        MissingPackageError: If what draws the report is not installed; nothing was recorded.
        RacerError, CompressionError, RecordingError: If a step cannot be done.
    """
    require_analysis()
    headless = config.driver != KEYBOARD
    mask = config.data / "demo_mask.safetensors"
    refuse_existing(mask)
    tell("1 of 4  The pilot drives: 1 practice, 3 full, 6 random-mask episodes of 100 steps.")
    pilot = start_session(
        StartConfig(
            participant="demo_pilot",
            protocol=ProtocolConfig("pilot", practice=1, calibration=3, exploration=6),
            driver=config.driver,
            headless=headless,
            data=config.data,
            pace=config.pace,
        )
    )
    if not pilot.complete or pilot.path is None:
        return None
    tell("2 of 4  A mask is fitted to what the pilot did.")
    summary = train("pico", [pilot.path], mask, PicoConfig())
    assert isinstance(summary, TrainingSummary)
    for number, name in enumerate(("demo_person1", "demo_person2"), start=3):
        tell(f"{number} of 4  {name}, simulated, drives under random, pico and full.")
        start_session(
            StartConfig(
                participant=name,
                protocol=ProtocolConfig("evaluation", practice=0, evaluation=2),
                driver=SIMULATED,
                headless=True,
                data=config.data,
                masks=(mask,),
            )
        )
    tell("Last  The report is drawn.")
    written = write_report(config.data, config.data / "report.html")
    return DemoResult(pilot, summary, mask, written.report, written.page)
