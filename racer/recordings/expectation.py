"""Checks of a recording against what it says of itself: its plan, its weights, its pace."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from racer.loop.conditions import MASKED_CONDITIONS, uses_slot
from racer.recordings.models import NotHereError, find_model
from racer.recordings.receiving import shipped_hashes
from racer.sitting.protocol import CATCH, ORIGINAL, REPEATS
from sessions import Episode, Session
from sessions.verify import Check, Columns, Finding

Counts = Counter[tuple[str, str]]
"""Episodes by phase and condition."""

_LATE_NS = 2_000_000
"""A step that lasts longer than its period by more than this is late, as for `racer.loop.pacing`."""
_LATE_ALLOWED = 0.05
"""Share of late steps that is no cause for a warning."""


class PlanCheck(Check):
    """The episodes are those that the session's configuration plans."""

    name = "plan"

    def session(self, session: Session) -> Iterator[Finding]:
        """Read the configuration."""
        self.planned = planned(session)
        self.accepted: Counts = Counter()
        self._channel = config_part(session, "channel")
        self._steps = config_part(session, "protocol").get("steps")
        if self.planned is None:
            yield self.found("skipped", "the configuration does not say what was planned")

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Count the episode and compare it with the configuration."""
        info = episode.info
        if episode.accepted:
            self.accepted[info.phase, info.condition] += 1
        if isinstance(self._steps, int) and episode.n_steps > self._steps:
            yield self.failed(episode, f"it has {episode.n_steps} steps of {self._steps} planned")
        for name, found in (("mask_interval", info.mask_interval), ("fill", info.fill), ("bits", info.bits_per_step)):
            if name == "bits" and not uses_slot(info.condition):
                continue
            if self._channel.get(name, found) != found:
                yield self.failed(episode, f"{name} is {found!r} and the configuration says {self._channel[name]!r}")

        noise = self._channel.get("noise", "none")
        if info.condition != "raw" and info.noisy != (noise != "none"):
            yield self.failed(episode, f"noisy is {info.noisy} and the configuration says noise {noise!r}")

    def end(self, session: Session) -> Iterator[Finding]:
        """Compare the counts; a session that continues another one holds the rest of them only."""
        if self.planned is None:
            return
        if surplus := self.accepted - self.planned:
            yield self.found("fail", f"{_told(surplus)} more than planned")
        if session.status == "complete" and not session.info.resumes and (lacking := self.planned - self.accepted):
            yield self.found("fail", f"the session is complete and lacks {_told(lacking)}")


class ModelCheck(Check):
    """A check that needs the latent model of a recording.

    Args:
        folder: Holds it; the task has it if None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder


class WeightsCheck(ModelCheck):
    """Latent model and fitted files are named, and those here where anything is to be recomputed."""

    name = "weights"

    def session(self, session: Session) -> Iterator[Finding]:
        """Compare the hashes."""
        info = session.info
        fitted = info.fitted_sha256.split()
        self._fitted = len(fitted)
        self._needing: set[str] = set()
        for hashed in (info.model_sha256, *fitted):
            if not re.fullmatch("[0-9a-f]{64}", hashed):
                yield self.found("fail", f"{hashed[:80]!r} is not the hash of any weights")
                return
        try:
            shipped = shipped_hashes(find_model(info, self.folder))
        except NotHereError as error:
            yield self.found("skipped", str(error))
            return
        if fitted:
            others = [hashed[:12] for hashed in fitted if hashed not in shipped]
            yield self.found("ok", f"masks besides the shipped one: {', '.join(others)}" if others else "shipped masks")

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Note the conditions that need a fitted file."""
        self._needing |= {episode.info.condition} & set(MASKED_CONDITIONS)
        yield from ()

    def end(self, session: Session) -> Iterator[Finding]:
        """Compare the number of fitted files with that of the conditions that need one."""
        if len(self._needing) > self._fitted:
            yield self.found("fail", f"it shows {', '.join(sorted(self._needing))} and names {self._fitted} masks")


class PaceCheck(Check):
    """Not too many steps came late."""

    name = "pace"

    def session(self, session: Session) -> Iterator[Finding]:
        """Find the pace asked for."""
        config = session.info.config
        pace = config.get("pace")
        self._period_ns = math.inf
        self._steps = self._late = 0
        timed = config.get("headless") is False and session.info.task.paced
        if not timed or not isinstance(pace, int | float) or not pace > 0:
            yield self.found("ok", "the session was not paced")
            return
        self._period_ns = 1e9 / pace

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Count the late steps; a pause counts as one."""
        durations = np.diff(columns["time_ns"])
        self._steps += len(durations)
        self._late += int((durations > self._period_ns + _LATE_NS).sum())
        yield from ()

    def end(self, session: Session) -> Iterator[Finding]:
        """Compare their share with what is allowed."""
        if self._late > _LATE_ALLOWED * self._steps:
            share = 100 * self._late / self._steps
            yield self.found("warn", f"{share:.0f} % of the steps lasted over 2 ms longer than they should (time_ns)")


def planned(session: Session) -> Counts | None:
    """Return the episodes that a session's configuration plans for the whole sitting; None where it does not say."""
    protocol = config_part(session, "protocol")
    conditions, explore = protocol.get("conditions"), protocol.get("explore")
    counts = {name: protocol.get(name) for name in ("practice", "calibration", "exploration", "evaluation")}
    known: dict[str, int] = {name: count for name, count in counts.items() if type(count) is int and count >= 0}
    if len(known) < len(counts) or not isinstance(explore, str):
        return None
    if not isinstance(conditions, list) or not all(isinstance(name, str) for name in conditions):
        return None
    plan: Counts = Counter({("practice", "full"): known["practice"]})
    if session.info.protocol == "pilot":
        plan[("calibration", "full")] = known["calibration"]
        plan[("exploration", explore)] = known["exploration"]
    else:
        plan.update({("evaluation", name): known["evaluation"] for name in conditions})
        for name in () if session.info.task.paced else (CATCH, REPEATS):
            count = protocol.get(name, 0)
            plan[(name, ORIGINAL)] = count if type(count) is int else 0
    return +plan


def config_part(session: Session, name: str) -> dict[str, Any]:
    """Return a part of a session's configuration; an empty one where there is none."""
    part = session.info.config.get(name)
    return part if isinstance(part, dict) else {}


def _told(counts: Counts) -> str:
    return ", ".join(f"{count} {phase} {condition}" for (phase, condition), count in sorted(counts.items()))
