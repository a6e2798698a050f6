"""Verifying recordings: what can be told from a file alone, without the latent model or the task.

    for finding in verify(path):
        print(finding.check, finding.outcome, finding.detail)

A check says nothing about what it finds in order; what it says becomes one `Finding` per check. Each column of each
episode is read once and handed to all checks, so that no more than one episode is ever in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sessions.comparison import first_difference
from sessions.errors import RecordingError
from sessions.names import PARTIAL_SUFFIX, SUFFIX, recording_name
from sessions.reader import Episode, Session, trial_starts
from sessions.schema import FRAME
from sessions.seal import Chain

Outcome = Literal["ok", "skipped", "warn", "fail"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""From the best to the worst."""

_LONGEST_STEP_NS = 86_400 * 10**9
"""A step that seems to last longer than a day is a damaged time."""
_FIXED_MASK = ("full", "random", "perceptual", "pico")
"""Conditions that keep to one mask where the episode has one; other coders send of each block what they like."""
_FRAME_ROWS = 256
"""Frames in memory at once."""

Columns = Mapping[str, NDArray[Any]]
"""Columns of an episode by name, shape [n_steps, ...]; `frame` is not among them."""


@dataclass(frozen=True)
class Finding:
    """What one check found in one recording."""

    check: str
    outcome: Outcome
    detail: str = ""
    """What is wrong, or why the check was skipped; where it is in order, at most a remark."""


class Check:
    """One check of one recording. Subclasses say what they find; a check that says nothing finds all in order."""

    name: str

    def session(self, session: Session) -> Iterator[Finding]:
        """Look at the recording as a whole, before its episodes."""
        yield from ()

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Look at one episode; called in their order."""
        yield from ()

    def end(self, session: Session) -> Iterator[Finding]:
        """Look at the recording once more, after its episodes."""
        yield from ()

    def found(self, outcome: Outcome, detail: str) -> Finding:
        """Return a finding of this check."""
        return Finding(self.name, outcome, detail)

    def failed(self, episode: Episode, detail: str) -> Finding:
        """Return that something is wrong with an episode."""
        return self.found("fail", f"episode {episode.index}: {detail}")


def verify(path: Path, more: Iterable[Check] = ()) -> list[Finding]:
    """Check a recording, finished or not; it must not be written meanwhile.

    Args:
        path: `.h5` or `.h5.partial`.
        more: Checks besides those of this module.

    Returns:
        One finding per check. A file that cannot be opened has a single one, of the check `readable`.
    """
    checks = [*structure_checks(), *more]
    found: list[Finding] = []
    unread: list[Finding] = []
    try:
        with Session(path) as session:
            for check in checks:
                found += check.session(session)
            session.events()
            session.answers()
            for index in range(len(session.episodes)):
                try:
                    episode = session.episodes[index]
                    columns = _read(episode)
                except RecordingError as error:
                    unread.append(Finding("readable", "fail", str(error)))
                    continue
                for check in checks:
                    found += check.episode(episode, columns)
            for check in checks:
                found += check.end(session)
    except RecordingError as error:
        return [Finding("readable", "fail", str(error))]
    return [_summary("readable", unread)] + [
        _summary(check.name, [finding for finding in found if finding.check == check.name]) for check in checks
    ]


def structure_checks() -> list[Check]:
    """Return fresh checks of what a recording must be whatever software made it."""
    return [NameCheck(), StateCheck(), TimesCheck(), ValuesCheck(), BitsCheck(), MasksCheck(), SealCheck()]


class NameCheck(Check):
    """The file's name says who took part, when, and which session it is."""

    name = "name"

    def session(self, session: Session) -> Iterator[Finding]:
        """Compare it with the attributes."""
        info = session.info
        expected = recording_name(info.participant, info.protocol, info.created, info.session_id)
        if session.path.name.removesuffix(".partial") != expected:
            yield self.found("warn", f"the file was renamed; its session is {expected}")


class StateCheck(Check):
    """Session and episodes have ended, and a finished recording holds all that an unfinished twin beside it does."""

    name = "state"

    def session(self, session: Session) -> Iterator[Finding]:
        """Look at the session's status, its suffix and its twin."""
        self._status = session.status
        self._episodes = len(session.episodes)
        if session.path.name.endswith(PARTIAL_SUFFIX):
            what = "its session was killed" if session.status == "running" else "its last rename was cut short"
            yield self.found("warn", f"{what}; what it holds is safe: `racer session repair` finishes it")
        elif session.status == "running":
            yield self.found("fail", "the file has the name of a finished recording and the session never ended")
        twin = session.path.with_name(session.path.name.removesuffix(SUFFIX) + PARTIAL_SUFFIX)
        if session.path.name.endswith(SUFFIX) and twin.is_file() and not twin.samefile(session.path):
            yield from self._compare(session, twin)

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Compare the status of an episode with the session's."""
        if episode.status == "running" and (self._status != "running" or episode.index < self._episodes - 1):
            yield self.failed(episode, "it is marked as running, and the session went on or ended after it")
        if episode.status == "complete" and not episode.n_steps:
            yield self.failed(episode, "it is marked as complete and has no steps")

    def _compare(self, session: Session, twin: Path) -> Iterator[Finding]:
        try:
            with Session(twin) as partial:
                difference = first_difference(partial, session, grown=True)
        except RecordingError as error:
            yield self.found("warn", f"{twin.name} beside it cannot be compared: {error}")
            return
        if difference:
            yield self.found("fail", f"{twin.name} beside it holds what this file does not: {difference}")


class TimesCheck(Check):
    """Time passes: within episodes, from one to the next, and never a day at once."""

    name = "times"

    def __init__(self) -> None:
        self._last: int | None = None

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Compare each time with the one before."""
        times = columns["time_ns"]
        if not len(times):
            return
        # Differences of numbers far apart would wrap around; comparisons do not.
        backwards = np.flatnonzero(times[1:] <= times[:-1])
        if len(backwards):
            yield self.failed(episode, f"time_ns does not increase at step {backwards[0] + 1}")
        elif (jumps := np.flatnonzero(np.diff(times).astype(np.uint64) > _LONGEST_STEP_NS)).size:
            yield self.failed(episode, f"time_ns jumps by more than a day at step {jumps[0] + 1}")
        started, first = episode.info.started_ns, int(times[0])
        if not started <= first <= started + _LONGEST_STEP_NS:
            yield self.failed(episode, "time_ns at step 0 is not soon after the episode's start")
        if self._last is not None and not self._last < started:
            yield self.failed(episode, "it starts before the end of the one before (started_ns, time_ns)")
        self._last = int(times[-1])
        # As floats, which do not wrap around.
        waits = columns["response_ns"].astype(np.float64) - times.astype(np.float64)
        least = -_LONGEST_STEP_NS if episode.task.paced else 0
        if ((waits < least) | (waits > _LONGEST_STEP_NS)).any():
            yield self.failed(episode, "response_ns is not near time_ns")


class ValuesCheck(Check):
    """Numbers are finite and lie in their range."""

    name = "values"

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Look at every number of every row."""
        for name, values in columns.items():
            low, high = episode.columns[name].limits
            for detail, wrong in (
                ("is not finite", ~np.isfinite(values)),
                ("is out of its range", (values < low) | (values > high)),
            ):
                if wrong.any():
                    yield self.failed(episode, f"{name} {detail} at step {np.argwhere(wrong)[0][0]}")
                    break


class BitsCheck(Check):
    """No step was charged more bits than may cross, nor fewer than a packet's bytes can be; what is lost is empty."""

    name = "bits"

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Compare each step's bits with the most there can be, and those with its packets' bytes."""
        allowed = episode.info.bits_per_step
        for name, most in (("bits", allowed), ("uplink_bits", (len(episode.task.actions) - 1).bit_length())):
            if (over := np.flatnonzero(columns[name] > most)).size:
                yield self.failed(episode, f"{name} at step {over[0]} are {columns[name][over[0]]} of {most}")
        if episode.info.packet_bytes < (allowed + 7) // 8:
            yield self.failed(episode, f"{episode.info.packet_bytes} bytes cannot hold a packet of {allowed} bits")
        lost = ~columns["arrived"]
        if (full := np.flatnonzero(lost & columns["packet"].any(axis=1))).size:
            yield self.failed(episode, f"packet at step {full[0]} has not arrived and is not empty")
        if lost.any() and not episode.info.noisy:
            yield self.failed(episode, f"packet at step {np.flatnonzero(lost)[0]} was lost where nothing can be")


class MasksCheck(Check):
    """An episode with one mask has one, and an episode that sends everything says so."""

    name = "masks"

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Compare each mask with the first of its trial."""
        masks = columns["mask"]
        if episode.info.noisy:
            masks = masks[:0]  # of a packet that was lost nothing arrived, and flipped bits may name any mask
        fixed = episode.info.condition in _FIXED_MASK and episode.info.mask_interval == "episode"
        first = np.zeros(len(masks), np.intp)
        if not episode.task.paced and len(masks):
            starts = trial_starts(columns["stimulus"])
            first = np.repeat(starts, np.diff([*starts, len(masks)]))
        if fixed and (changes := (masks != masks[first]).any(axis=1)).any():
            yield self.failed(episode, f"mask changes at step {np.flatnonzero(changes)[0]} of an episode with one mask")
        if episode.info.condition in ("raw", "full") and not masks.all():
            yield self.failed(episode, f"mask leaves blocks out in condition {episode.info.condition}")
        if episode.info.condition == "raw" and columns["received"].tobytes() != columns["latent"].tobytes():
            yield self.failed(episode, "received differs from latent in condition raw")


class SealCheck(Check):
    """What the file holds is what was recorded when it was sealed."""

    name = "seal"

    def session(self, session: Session) -> Iterator[Finding]:
        """Begin the chain anew."""
        self._chain = Chain(session.info)
        self._rejected: list[int] = []
        yield from ()

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Add an episode."""
        digests = {name: hashlib.sha256(columns[name].tobytes()).hexdigest() for name in columns}
        if FRAME in episode.columns:
            digest = hashlib.sha256()
            for start in range(0, episode.n_steps, _FRAME_ROWS):
                digest.update(episode.rows(FRAME, start, start + _FRAME_ROWS).tobytes())
            digests[FRAME] = digest.hexdigest()
        self._chain.add_episode(episode.info, episode.status, episode.n_steps, digests)
        self._rejected += [episode.index] * episode.rejected
        yield from ()

    def end(self, session: Session) -> Iterator[Finding]:
        """Close the chain, and compare."""
        if not session.seal:
            yield self.found("skipped", "it was not sealed: its session was killed, or an earlier version recorded it")
            return
        digests = [hashlib.sha256(session.table_bytes(name)).hexdigest() for name in ("events", "answers")]
        if self._chain.close(session.status, digests[0], digests[1], self._rejected) != session.seal:
            yield self.found("fail", "something in it was changed after it had been sealed")


def _read(episode: Episode) -> Columns:
    """Read all columns of an episode; frames only to see that they can be read."""
    if FRAME in episode.columns:
        for start in range(0, episode.n_steps, _FRAME_ROWS):
            episode.rows(FRAME, start, start + _FRAME_ROWS)
    return {name: episode[name] for name in episode.columns if name != FRAME}


def _summary(check: str, findings: list[Finding]) -> Finding:
    """Return the worst finding of a check, and how many more there are like it."""
    worst: Outcome = max((finding.outcome for finding in findings), key=OUTCOMES.index, default="ok")
    details = [finding.detail for finding in findings if finding.outcome == worst and finding.detail]
    others = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return Finding(check, worst, details[0] + others if details else "")
