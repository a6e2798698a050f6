"""Checks of a recording against what it says of itself: its plan, its weights, its pace."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from compression.coders import BUILT_IN
from compression.coders.coder import find_coder
from compression.model.latent_model import load_codec
from racer.loop.conditions import MASKED_CONDITIONS, uses_slot
from sessions import Episode, Session
from sessions.verify import Check, Columns, Finding

Counts = Counter[tuple[str, str]]
"""Episodes by phase and condition."""

_LATE_NS = 2_000_000
"""A step that lasts longer than its period by more than this is late, as for `racer.loop.pacing`."""
_LATE_ALLOWED = 0.05
"""Share of late steps that is no cause for a warning."""


class Plan(Check):
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

    def end(self, session: Session) -> Iterator[Finding]:
        """Compare the counts; a session that continues another one holds the rest of them only."""
        if self.planned is None:
            return
        if surplus := self.accepted - self.planned:
            yield self.found("fail", f"{_told(surplus)} more than planned")
        if session.status == "complete" and not session.info.resumes and (lacking := self.planned - self.accepted):
            yield self.found("fail", f"the session is complete and lacks {_told(lacking)}")


class Weights(Check):
    """Codec and masks are named, and those installed where anything is to be recomputed."""

    name = "weights"

    def session(self, session: Session) -> Iterator[Finding]:
        """Compare the hashes."""
        info = session.info
        self._masks = len(info.mask_sha256.split())
        self._masked: set[str] = set()
        for hashed in (info.codec_sha256, *info.mask_sha256.split()):
            if not re.fullmatch("[0-9a-f]{64}", hashed):
                yield self.found("fail", f"{hashed[:80]!r} is no hash of weights")
                return
        if reason := foreign_weights(session):
            yield self.found("skipped", reason)
        elif info.mask_sha256:
            others = [mask[:12] for mask in info.mask_sha256.split() if mask not in _shipped()]
            yield self.found("ok", f"masks besides the shipped one: {', '.join(others)}" if others else "shipped masks")

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Note the conditions that need a mask."""
        self._masked |= {episode.info.condition} & set(MASKED_CONDITIONS)
        yield from ()

    def end(self, session: Session) -> Iterator[Finding]:
        """Compare the number of masks with that of the conditions that need one."""
        if len(self._masked) > self._masks:
            yield self.found("fail", f"it shows {', '.join(sorted(self._masked))} and names {self._masks} masks")


class Pace(Check):
    """Not too many steps came late."""

    name = "pace"

    def session(self, session: Session) -> Iterator[Finding]:
        """Find the pace asked for."""
        config = session.info.config
        pace = config.get("pace")
        self._period_ns = math.inf
        self._steps = self._late = 0
        if config.get("headless") is not False or not isinstance(pace, int | float) or not pace > 0:
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
    return +plan


def config_part(session: Session, name: str) -> dict[str, Any]:
    """Return a part of a session's configuration; an empty one where there is none."""
    part = session.info.config.get(name)
    return part if isinstance(part, dict) else {}


def foreign_weights(session: Session) -> str:
    """Return why the codec installed cannot recompute a recording; nothing where it can."""
    recorded, here = session.info.codec_sha256, load_codec().sha256
    return "" if recorded == here else f"recorded with other weights (codec {recorded[:12]}, installed {here[:12]})"


def _told(counts: Counts) -> str:
    return ", ".join(f"{count} {phase} {condition}" for (phase, condition), count in sorted(counts.items()))


@lru_cache(maxsize=1)
def _shipped() -> frozenset[str]:
    """Return the hashes of the fitted files that come with Racer's coders."""
    paths = {find_coder(name).shipped for name in BUILT_IN} - {None}
    return frozenset(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path)
