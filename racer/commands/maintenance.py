"""`racer session verify`, `repair`, `merge`, `withdraw`: looking after recordings."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from racer.commands.options import JsonOption, ModelOption
from racer.commands.output import print_json, progress_bar

if TYPE_CHECKING:
    from racer.recordings.deposit import LedgerFound
    from racer.recordings.verification import Verification

VERIFY_EPILOG = "Example: racer session verify recordings --expected 24"
REPAIR_EPILOG = "Example: racer session repair recordings/p01_pilot_*.h5.partial"
MERGE_EPILOG = "Example: racer session merge desk1/recordings desk2/recordings --into recordings"
WITHDRAW_EPILOG = "Example: racer session withdraw p07 --dry-run"


def verify(
    recording: Annotated[list[Path], typer.Argument(help="Recordings, folders of them, or studies.")],
    expected: Annotated[int | None, typer.Option(min=0, help="How many complete sittings there should be.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Number of processes. Default: one per processor.")] = None,
    no_replay: Annotated[
        bool, typer.Option("--no-replay", help="Skip replaying every episode, which takes most of the time.")
    ] = False,
    model: ModelOption = None,
    head: Annotated[
        list[str] | None, typer.Option(help="Deposited head of the ledger; repeat it for several folders.")
    ] = None,
    public_key: Annotated[
        str, typer.Option(help="The experimenter's public key: the ledger must be signed with its private half.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Verify recordings. The exit code is 0 if all is verified, 1 if a check failed, 3 if some could not be run."""
    from racer.recordings.deposit import Deposited
    from racer.recordings.places import find_files
    from racer.recordings.verification import verify_recordings

    deposited = Deposited(tuple(head or ()), public_key)
    paths = find_files(recording)
    with progress_bar("recordings", shown=not as_json) as advance:
        advance(0, len(paths))
        result = verify_recordings(
            paths,
            expected=expected,
            jobs=jobs,
            replay=not no_replay,
            model=model,
            deposited=deposited,
            running=_may_run,
            on_recording=lambda verified: advance(1, None),
        )
    if as_json:
        print_json(result.json())
    else:
        _print_verification(result)
    if code := {"verified": 0, "failed": 1, "not checked": 3}[result.verdict]:
        raise typer.Exit(code)


def repair(
    recording: Annotated[list[Path], typer.Argument(help="`.h5.partial` files that killed sessions left.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the repaired recordings. Default: beside each.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn what a killed session left into a finished recording; the original stays as it is."""
    import sessions
    from racer.errors import ConfigError, RacerError
    from sessions.maintenance.repair import repair, repaired_path

    repaired: dict[Path, Path] = {}
    failed: dict[Path, str] = {}
    for path in recording:
        try:
            repaired_path(path)
            with sessions.open(path) as session:
                session_id = session.info.session_id
            if _runs(path.parent, session_id):
                raise ConfigError(
                    f"{path} is being recorded right now; it was not changed: repair it once that has ended"
                )
            repaired[path] = repair(path, out)
        except (sessions.RecordingError, RacerError) as error:
            failed[path] = str(error)
    if as_json:
        print_json(
            {
                "repaired": [{"recording": str(path), "repaired": str(new)} for path, new in repaired.items()],
                "failed": [{"recording": str(path), "reason": reason} for path, reason in failed.items()],
            }
        )
    for path, new in repaired.items() if not as_json else ():
        with sessions.open(new) as session:
            status = "complete" if session.status == "complete" else "marked as ended early"
        _say(f"Repaired {path}: what it held is in {new}, {status}; the original was kept")
    for reason in failed.values():
        _say(f"racer: {reason}", stderr=True)
    if failed:
        raise typer.Exit(2)
    if not as_json:
        _say(f"Next: racer session verify {shlex.join(str(new) for new in repaired.values())}")


def merge(
    source: Annotated[list[Path], typer.Argument(help="Folders of recordings from several machines.")],
    into: Annotated[Path, typer.Option(help="Folder to merge them into.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Merge folders of recordings; nothing is overwritten or removed. The exit code is 1 if something was left out."""
    from racer.errors import ConfigError
    from sessions.maintenance.merge import merge

    for place in source:
        if not place.exists():
            raise ConfigError(f"there is no folder {place}; nothing was copied: check the name")
    if not dry_run:
        finish_begun(into)
    with progress_bar("recordings", shown=not as_json) as advance:
        result = merge(source, into, dry_run=dry_run, running=_may_run, on_recording=lambda recording: advance(1, None))
    left = [recording for recording in result.recordings if recording.left_behind]
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "recordings": [
                    {
                        "source": str(recording.source),
                        "fate": recording.fate,
                        "target": str(recording.target) if recording.target else None,
                        "detail": recording.detail,
                    }
                    for recording in result.recordings
                ],
                "shared_names": list(result.shared_names),
                "still_here": list(result.still_here),
            }
        )
    else:
        for recording in result.recordings:
            if recording.detail:
                _say(f"{recording.fate}: {recording.source}: {recording.detail}")
        for name in result.shared_names:
            _say(f"warning: {name} has different sittings in two folders: one person, or two with the same name?")
        for name in result.still_here:
            _say(f"warning: {name} has withdrawn elsewhere and is still in {into}: racer session withdraw {name}")
        copied = sum(recording.fate == "copied" for recording in result.recordings)
        here = sum(recording.fate in ("identical", "contained") for recording in result.recordings)
        _say(
            f"{'Would copy' if dry_run else 'Copied'} {_count(copied, 'recording')} into {into}; {here} were there "
            f"already, {len(left)} left behind. The sources were not changed."
        )
        _say(f"Next: racer session verify {shlex.quote(str(into))}")
    if left:
        raise typer.Exit(1)


def withdraw(
    participant: Annotated[str, typer.Argument(help="Whose recordings to remove.")],
    data: Annotated[Path, typer.Option(help="Folder of the recordings.")] = Path("recordings"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")] = False,
    traces: Annotated[
        bool,
        typer.Option(
            "--traces",
            help="Also remove the masks, drivers, reports and exports in the study's folder that hold their data.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove the recordings of somebody who withdraws; only the fact that somebody did is kept."""
    from datetime import UTC, datetime

    from racer.errors import ConfigError
    from racer.recordings.withdrawal import find_traces, refuse_running, remove_person, study_folder
    from sessions.maintenance.withdraw import interrupted, plan_withdrawal
    from sessions.maintenance.withdrawn import read_withdrawn

    if not dry_run:
        finish_begun(data, participant)
    begun = interrupted(data)
    begun = begun if begun and begun.participant == participant else None
    plan = plan_withdrawal(participant, data, begun.session_ids if begun else ())
    refuse_running(plan)
    found = find_traces(plan)
    going = [trace for trace in found if traces and trace.files]
    if not plan.files and begun is None and not going:
        if not read_withdrawn(data).has_name(participant):
            raise ConfigError(f"nothing in {data} is {participant}'s; nothing was removed: check the name with --data")
        more = ": add --traces to remove what was made of them" if any(trace.files for trace in found) else ""
        raise ConfigError(f"{participant} has been withdrawn from {data} already; nothing more was removed{more}")
    agreed = begun.agreed(study_folder(data)) if begun else []
    traced = [path for path in agreed if os.path.lexists(path)] + [path for trace in going for path in trace.files]
    files = [*plan.files, *dict.fromkeys(traced)]
    if not as_json:
        for path in files:
            _say(f"  {path}")
        for path in plan.unreadable:
            _say(f"cannot be read, and was kept: {path}; check whether it is {participant}'s")
    what = _count(len(files), "file")
    what += f" of {_count(len(plan.session_ids), 'session')}" if plan.session_ids else ""
    if not dry_run:
        if not yes:
            if as_json or not _asks():
                raise ConfigError("nothing was removed: add --yes to remove these files without being asked")
            typer.confirm(f"Remove {what} for good?", abort=True)
        remove_person(plan, going, datetime.now(UTC))
    staying = [trace for trace in found if trace not in going]
    if as_json:
        print_json(
            {
                "removed": not dry_run,
                "sessions": len(plan.session_ids),
                "files": [str(path) for path in files],
                "unreadable": [str(path) for path in plan.unreadable],
                "masks_to_retrain": [str(trace.path) for trace in found if trace.kind == "mask"],
                "traces": [{"path": str(trace.path), "kind": trace.kind} for trace in staying],
            }
        )
        return
    _say(f"{'Would remove' if dry_run else 'Removed'} {what}.")
    for trace in staying:
        _say(f"{_TRACES[trace.kind]}: {trace.path}")
    if any(trace.files for trace in staying):
        folder = shlex.quote(str(data))
        _say(f"Next: racer session withdraw {participant} --data {folder} --traces removes these, too")
    if any(trace.kind == "mask" for trace in going):
        _say("Train the masks again without them: racer study train, or racer train")
    if not dry_run:
        _say("Copies elsewhere, and videos under other names, still hold their data: delete those yourself.")


_TRACES = {
    "mask": "trained on this person's data",
    "driver": "a driver fitted to this person",
    "report": "a report with this person in it",
    "export": "an export with this person in it",
    "mention": "names this person or their sessions",
    "unknown": "an export by an earlier version that may hold their data; look, and delete it yourself",
}


def finish_begun(data: Path, but: str = "") -> None:
    """Finish a withdrawal that was cut short in a data folder, unless it is that of `but`, and say so."""
    from datetime import UTC, datetime

    from sessions.maintenance.withdraw import interrupted

    begun = interrupted(data)
    if begun is None or begun.participant == but:
        return
    from racer.recordings.withdrawal import finish_withdrawal

    done = finish_withdrawal(data, datetime.now(UTC))
    if done is not None:
        _say(f"racer: finished a withdrawal that was cut short in {data}", stderr=True)


def finish_begun_or_say(data: Path) -> None:
    """Finish a withdrawal as `finish_begun` does; where a damaged ledger forbids it, say so and leave it for later.

    Whoever withdrew is noted by then, so that somebody else can take part.
    """
    from sessions.ledger import LedgerError

    try:
        finish_begun(data)
    except LedgerError as error:
        _say(f"racer: a withdrawal from {data} waits to be finished: {error}", stderr=True)


def _print_verification(result: Verification) -> None:
    skipped: dict[str, Counter[str]] = {}
    for recording in result.recordings:
        for finding in recording.findings:
            if finding.outcome in ("warn", "fail"):
                mark = "FAIL" if finding.outcome == "fail" else "warn"
                _say(f"{mark}  {recording.path.name}: {finding.check}: {finding.detail}")
            elif finding.outcome == "skipped":
                skipped.setdefault(finding.detail, Counter())[finding.check] += 1
    for reason, checks in skipped.items():
        for count in sorted(set(checks.values()), reverse=True):
            names = ", ".join(check for check, found in checks.items() if found == count)
            _say(f"not checked  {names} of {_count(count, 'recording')}: {reason}")
    for ledger in result.ledgers:
        if ledger.outcome == "fail":
            _say(f"FAIL  {ledger.folder}: ledger: {ledger.detail}")
        elif ledger.outcome == "skipped":
            _say(f"not checked  ledger of {ledger.folder}: {ledger.detail}")
        elif ledger.deposited is None:
            _say(f"{_ledger(ledger)}, head {ledger.head}")
        else:
            _say(f"{_ledger(ledger)}; as deposited or signed up to entry {ledger.deposited}")
    failed = sum(recording.outcome == "fail" for recording in result.recordings)
    if result.expected is not None and result.sittings != result.expected:
        _say(f"FAIL  {_count(result.sittings, 'complete sitting')}; {result.expected} expected")
    verdicts = {"failed": "not as expected", "not checked": "no check failed, but some could not be run"}
    verdict = f"{failed} failed" if failed else verdicts.get(result.verdict, result.verdict)
    _say(f"{_count(len(result.recordings), 'recording')}, {_count(result.sittings, 'complete sitting')}: {verdict}")


def _ledger(found: LedgerFound) -> str:
    return f"ledger of {found.folder}: {found.recorded} noted, {found.withdrawn} withdrawn"


def _runs(folder: Path, session_id: str) -> bool:
    """Return whether a process records this session now.

    Raises:
        LeaseError: If that cannot be told.
    """
    from racer.sitting.leases import Leases

    return Leases(folder).is_live(session_id)


def _may_run(folder: Path, session_id: str) -> bool:
    """Return whether a process is known to record this session now; a folder that cannot be locked is an archive."""
    from racer.sitting.leases import LeaseError

    try:
        return _runs(folder, session_id)
    except LeaseError:
        return False


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _say(line: str, stderr: bool = False) -> None:
    """Print a line, whatever names and files put into it, as it is."""
    from rich.console import Console

    from racer.recordings.listing import escape

    Console(width=10_000, highlight=False, emoji=False, stderr=stderr).print(escape(line))


def _asks() -> bool:
    """Return whether somebody is there to answer."""
    import sys

    return sys.stdin.isatty()
