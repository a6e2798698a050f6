"""Verification of recordings: every check of every file, in parallel, and what only shows across files."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import sessions
from compression.model.latent_model import use_one_thread
from racer.recordings.deposit import Deposited, LedgerFound, check_ledgers
from racer.recordings.expectation import Counts, PaceCheck, PlanCheck, WeightsCheck
from racer.recordings.models import refuse_other_model
from racer.recordings.recomputation import PacketsCheck, ReceivedCheck, ReplayCheck
from racer.recordings.schedule import ScheduleCheck
from racer.recordings.study_file import StudyFileCheck, study_model
from racer.workers import in_parallel
from sessions.ledger import sha256_of
from sessions.names import PARTIAL_SUFFIX
from sessions.verify import OUTCOMES, Check, Columns, Finding, Outcome, verify

_FILES_PER_WORKER = 4
"""Fewer are checked sooner than another process has started."""


@dataclass(frozen=True)
class Verified:
    """What was found in one recording."""

    path: Path
    findings: tuple[Finding, ...]
    """One per check."""
    session_id: str = ""
    """Empty where the file cannot be read."""
    resumes: str = ""
    digest: str = ""
    """Digest of what was done, without who did it; empty where nothing was done."""
    accepted: Counts | None = None
    planned: Counts | None = None
    sha256: str = ""
    """SHA-256 of the file; empty where it cannot be read or is still being written."""

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of all findings."""
        return max((finding.outcome for finding in self.findings), key=OUTCOMES.index, default="ok")

    def adding(self, finding: Finding) -> Verified:
        """Return this with a finding more, in place of one of the same check."""
        others = tuple(other for other in self.findings if other.check != finding.check)
        return replace(self, findings=(*others, finding))


@dataclass(frozen=True)
class Verification:
    """What was found in all recordings."""

    recordings: tuple[Verified, ...]
    sittings: int
    """Complete sittings."""
    expected: int | None
    """Complete sittings there should be."""
    ledgers: tuple[LedgerFound, ...] = ()
    """Ledgers of the folders that the recordings lie in."""

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        as_expected = self.expected is None or self.sittings == self.expected
        outcomes = [each.outcome for each in self.recordings] + [each.outcome for each in self.ledgers]
        return as_expected and "fail" not in outcomes

    @property
    def verdict(self) -> Literal["verified", "not checked", "failed"]:
        """What all comes to: a check failed, or none did and some could not be made, or all were in order."""
        if not self.passed:
            return "failed"
        found = [finding.outcome for recording in self.recordings for finding in recording.findings]
        skipped = "skipped" in (*found, *(ledger.outcome for ledger in self.ledgers))
        return "not checked" if skipped else "verified"

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "passed": self.passed,
            "verdict": self.verdict,
            "complete_sittings": self.sittings,
            "expected_sittings": self.expected,
            "recordings": [
                {
                    "recording": str(recording.path),
                    "session_id": recording.session_id,
                    "outcome": recording.outcome,
                    "checks": [asdict(finding) for finding in recording.findings],
                }
                for recording in self.recordings
            ],
            "ledgers": [asdict(ledger) | {"folder": str(ledger.folder)} for ledger in self.ledgers],
        }


def verify_recordings(
    paths: Sequence[Path],
    *,
    expected: int | None = None,
    jobs: int | None = None,
    replay: bool = True,
    model: Path | None = None,
    deposited: Deposited = Deposited(),  # noqa: B008
    running: Callable[[Path, str], bool] = lambda folder, session_id: False,
    on_recording: Callable[[Verified], None] = lambda recording: None,
) -> Verification:
    """Check recordings, each by itself and against the others.

    Args:
        paths: Of recordings.
        expected: Complete sittings there should be.
        jobs: Processes to use at most; as many as there are processors if left out.
        replay: Whether to do every episode again, which takes most of the time.
        model: Folder of their latent model; that of the study, or else of the task, if None.
        deposited: What the ledgers of the folders are compared with.
        running: Whether a session is being recorded by a process now, given its folder and id; it is then left alone.
        on_recording: Told of each recording, in the order they are done with.

    Raises:
        RacerError: If a checking process dies.
        ConfigError: If the public key is none, or recordings have another latent model than the folder.
        WeightsError: If the folder holds no latent model.
    """
    refuse_other_model(model, paths, all_of_them=False)
    live = {path: recording for path in paths if (recording := _still_recorded(path, running))}
    for recording in live.values():
        on_recording(recording)
    rest = [path for path in paths if path not in live]
    workers = min(jobs or os.cpu_count() or 1, -(-len(rest) // _FILES_PER_WORKER))
    by_path = dict(live)
    check = partial(verify_recording, replay=replay, model=model)
    for recording in (
        map(check, rest) if workers < 2 else in_parallel(check, rest, workers, "a recording", did="checked")
    ):
        by_path[recording.path] = recording
        on_recording(recording)
    sittings, reasons = sessions.find_sittings(paths)
    across = _across([by_path[path] for path in paths], reasons)
    across = _whole_plans(across, sittings)
    complete = sum(sitting.status == "complete" for sitting in sittings)
    noted, ledgers = check_ledgers({each.path: each.sha256 for each in across}, deposited)
    across = [each.adding(noted[each.path]) if each.sha256 and each.path in noted else each for each in across]
    return Verification(tuple(across), complete, expected, ledgers)


def verify_recording(path: Path, replay: bool = True, model: Path | None = None) -> Verified:
    """Check one recording by itself; it must not be written meanwhile. See `verify_recordings`."""
    use_one_thread()
    model = model or study_model(path)
    plan, contents = PlanCheck(), _Contents()
    checks: list[Check] = [
        plan,
        StudyFileCheck(),
        ScheduleCheck(),
        WeightsCheck(model),
        PacketsCheck(model),
        ReceivedCheck(model),
        PaceCheck(),
    ]
    findings = verify(path, [*checks, ReplayCheck() if replay else _NotReplayed(), contents])
    try:
        sha256 = sha256_of(path)
    except OSError:
        sha256 = ""
    if contents.info is None:
        return Verified(path, tuple(findings), sha256=sha256)
    return Verified(
        path,
        tuple(findings),
        session_id=contents.info.session_id,
        resumes=contents.info.resumes,
        digest=contents.digest,
        accepted=plan.accepted,
        planned=plan.planned,
        sha256=sha256,
    )


class _NotReplayed(Check):
    """Stands for the replay where nobody wants it."""

    name = ReplayCheck.name

    def session(self, session: sessions.Session) -> Iterator[Finding]:
        yield self.found("skipped", "left out, as requested")


class _Contents(Check):
    """Finds nothing by itself: notes what tells one recording from another."""

    name = "unique"
    info: sessions.SessionInfo | None = None
    digest = ""

    def session(self, session: sessions.Session) -> Iterator[Finding]:
        self.info = session.info
        self._hash = hashlib.sha256()
        self._steps = 0
        yield from ()

    def episode(self, episode: sessions.Episode, columns: Columns) -> Iterator[Finding]:
        self._steps += episode.n_steps
        for name in ("time_ns", "action", "packet"):
            self._hash.update(columns[name].tobytes())
        yield from ()

    def end(self, session: sessions.Session) -> Iterator[Finding]:
        self.digest = self._hash.hexdigest() if self._steps else ""
        yield from ()


def _still_recorded(path: Path, running: Callable[[Path, str], bool]) -> Verified | None:
    if not path.name.endswith(PARTIAL_SUFFIX):
        return None
    try:
        with sessions.open(path) as session:
            info = session.info
    except sessions.RecordingError:
        return None
    if not running(path.parent, info.session_id):
        return None
    finding = Finding("state", "skipped", "it is being recorded right now: verify it when its session has ended")
    return Verified(path, (finding,), info.session_id, info.resumes)


def _across(recordings: list[Verified], reasons: dict[Path, str]) -> list[Verified]:
    """Return the recordings with what the others say of them: repeated, or the rest of one that is not here."""
    ids = Counter(recording.session_id for recording in recordings if recording.session_id)
    digests = Counter(recording.digest for recording in recordings if recording.digest)
    checked = []
    for recording in recordings:
        if not recording.session_id:
            checked.append(recording)
            continue
        if ids[recording.session_id] > 1:
            others = _others(recordings, recording, "session_id")
            recording = recording.adding(
                Finding("unique", "fail", f"{others} holds session {recording.session_id} too")
            )
        elif digests[recording.digest] > 1:
            others = _others(recordings, recording, "digest")
            recording = recording.adding(
                Finding("unique", "fail", f"{others} holds the same episodes as another session")
            )
        if recording.resumes and recording.resumes not in ids:
            detail = f"it continues session {recording.resumes}, which is not among the files given"
            recording = recording.adding(Finding("chain", "warn", detail))
        elif recording.resumes and recording.path in reasons and ids[recording.session_id] == 1:
            recording = recording.adding(Finding("chain", "fail", reasons[recording.path]))
        checked.append(recording)
    return checked


def _others(recordings: list[Verified], recording: Verified, what: str) -> str:
    value = getattr(recording, what)
    names = [str(other.path) for other in recordings if other is not recording and getattr(other, what) == value]
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"


def _whole_plans(recordings: list[Verified], sittings: Iterable[sessions.Sitting]) -> list[Verified]:
    """Return the recordings, those that end a resumed sitting compared with the plan as a whole."""
    by_path = {recording.path: recording for recording in recordings}
    for sitting in sittings:
        if len(sitting.paths) < 2 or sitting.status != "complete":
            continue
        members = [by_path[path] for path in sitting.paths]
        planned = members[0].planned
        accepted = sum((member.accepted or Counter() for member in members), Counter())
        if planned is not None and accepted != planned:
            detail = f"with those it continues, it has {accepted.total()} of the {planned.total()} episodes planned"
            by_path[sitting.paths[-1]] = members[-1].adding(Finding("plan", "fail", detail))
    return list(by_path.values())
