"""Leases: who is driving right now and in which order of conditions, agreed between all desks that share a folder.

    with Leases(Path("recordings")).lease(session_id, None, "evaluation", orders=6) as lease:
        print(lease.participant, lease.order)

`.leases/` in the data folder holds a note `<session id>.json` of each session that runs, and a lock file
`<session id>.lock` that its process has locked. The operating system gives that lock back when the process ends,
however it ends; then the lease is dead, and the next look removes it. All looks happen under one lock, `.leases/lock`.

What counts is what the recordings say, and for sessions that run, their locks. Nothing in `.leases/` has to survive.
Names that recordings stand under, or stood under before they were deleted, are remembered beside it, in `names.json`.
"""

from __future__ import annotations

import json
import platform
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from disk.locking import FileLock, HeldError
from disk.reading import NotPlainError, read_plain
from disk.writing import make_folder, write_whole
from racer.errors import ConfigError, RacerError
from racer.sitting.allocation import SESSION_ID, Lease, given_orders, lease_of, least_given, next_name
from racer.sitting.inventory import MOST_ORDER, InventoryEntry, take_inventory
from sessions.maintenance.withdrawn import highest_given, note_given, read_withdrawn

FOLDER = ".leases"
PATIENCE_S = 30.0
"""Seconds to wait for another process to finish its look; one takes milliseconds."""

_FILES = (".lock", ".json", ".json.new")
"""What a lease leaves in the folder, by suffix."""
_MOST_NOTE_BYTES = 4096


class LeaseError(RacerError):
    """The data folder cannot be leased: somebody drives under that name, or its locks do not work."""


class Leases:
    """The leases on one data folder.

    Args:
        folder: Where recordings are kept; made when first leased.
        host: Name of this machine, for whoever is refused elsewhere.
        now: The time, with its zone.
        patience_s: Seconds to wait for other processes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str = platform.node(),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._data = folder
        self._folder = folder / FOLDER
        self._host = host[:255]
        self._now = now
        self._patience_s = patience_s

    @contextmanager
    def lease(
        self,
        session_id: str,
        participant: str | None,
        protocol: str,
        orders: int,
        *,
        order: int | None = None,
        trial_run: bool = False,
        prefix: str = "p",
    ) -> Iterator[Lease]:
        """Hold a lease for as long as the session runs.

        Args:
            session_id: 6 hexadecimal digits, new.
            participant: Who drives; the next name that nobody has had, such as `p03`, if None.
            protocol: Whose recordings share the orders.
            orders: Number of orders to share out, 1 or more.
            order: A fixed one; the one that fewest others have completed or are driving if None.
            trial_run: A trial run, which takes no order from anybody.
            prefix: Of the next name.

        Raises:
            LeaseError: If the participant is being recorded right now or has withdrawn, or the folder cannot be locked.
            ConfigError: If `order` is out of range.
            ParticipantNameError: If a name cannot be part of a file name.
            RecordingError: If the folder cannot be listed, or what it remembers of names cannot be read or written.
        """
        if order is not None and not 0 <= order <= MOST_ORDER:
            raise ConfigError(f"order must lie between 0 and {MOST_ORDER}; got {order}")
        with self._locked():
            entries = take_inventory(self._data, self._folder / "recordings.json")
            live = self._live_leases(entries)
            withdrawn = read_withdrawn(self._data)
            note_given(self._data, (entry.participant for entry in entries))
            if participant is None:
                used = {entry.participant for entry in entries} | {lease.participant for lease in live}
                highest = highest_given(self._data).get(prefix, 0)
                participant = next_name(prefix, used, highest, withdrawn.has_name)
            self._refuse_twice(participant, live)
            if withdrawn.has_name(participant):
                raise LeaseError(
                    f"somebody called {participant} has withdrawn, and a name is never given to a second person; "
                    "nothing was changed: use another name"
                )
            if withdrawn.has_session(session_id):
                raise LeaseError(f"session {session_id} was withdrawn; nothing was changed: start again")
            if order is None:
                order = least_given(given_orders(participant, protocol, entries, live), orders)
            started = self._now().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            lease = Lease(session_id, participant, protocol, order, trial_run, self._host, started)
            lock = self._enter(lease)
        try:
            yield lease
        finally:
            self._leave(lease, lock)

    def live(self) -> list[Lease]:
        """Return the leases of all sessions that run, on whatever desk, oldest first.

        Raises:
            LeaseError: If the folder cannot be locked.
            RecordingError: If the folder cannot be listed.
        """
        if not self._folder.exists():
            return []
        with self._locked():
            return self._live_leases(take_inventory(self._data, self._folder / "recordings.json"))

    def is_live(self, session_id: str) -> bool:
        """Return whether the process that records a session still runs, on whatever desk.

        Raises:
            LeaseError: If the folder cannot be locked.
        """
        if not SESSION_ID.fullmatch(session_id) or not self._folder.exists():
            return False
        with self._locked():
            return session_id in self._live_ids()

    # Under the main lock --------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self._folder / "lock"
        try:
            self._make_folder()
            lock = self._lock(path).acquire(self._patience_s)
        except HeldError as error:
            raise LeaseError(
                f"another Racer command has kept {path} locked for {self._patience_s:g} seconds; nothing was recorded "
                "or changed: wait for it or end it, then start again"
            ) from error
        except OSError as error:
            raise self._no_locks(path, error) from error
        with lock:
            yield

    def _make_folder(self) -> None:
        if self._folder.is_symlink():
            raise LeaseError(f"{self._folder} is a link, which Racer does not follow; nothing was changed: remove it")
        if self._data.exists() and not self._data.is_dir():
            raise LeaseError(f"{self._data} is not a folder; nothing was recorded: choose another data folder")
        if not self._folder.exists():
            make_folder(self._data)
            make_folder(self._folder)
            # Whoever may record here may lease here, also under another account.
            with suppress(OSError):
                self._folder.chmod(stat.S_IMODE(self._data.stat().st_mode))

    def _lock(self, path: Path) -> FileLock:
        return FileLock(path, self._data.stat().st_mode & 0o666 | 0o600)

    def _no_locks(self, path: Path, error: OSError) -> LeaseError:
        reason = error.strerror or str(error)
        if isinstance(error, NotPlainError):
            return LeaseError(f"cannot lock {path}: {reason}; nothing was recorded: remove it when no session runs")
        return LeaseError(
            f"cannot lock {path}: {reason}; nothing was recorded: choose a data folder that you may write to, on a "
            "file system with locks"
        )

    def _live_ids(self) -> list[str]:
        """Return the sessions whose processes run, and remove what dead ones left behind."""
        ids = {path.name.partition(".")[0] for path in self._folder.iterdir() if path.name.endswith(_FILES)}
        return sorted(id_ for id_ in ids if SESSION_ID.fullmatch(id_) and not self._bury(id_))

    def _bury(self, session_id: str) -> bool:
        """Remove a dead session's files; return whether it was dead."""
        path = self._folder / f"{session_id}.lock"
        try:
            self._lock(path).acquire().release()
        except HeldError:
            return False
        except OSError as error:
            raise self._no_locks(path, error) from error
        self._remove(session_id)
        return True

    def _remove(self, session_id: str) -> None:
        for suffix in _FILES:
            with suppress(OSError):
                (self._folder / f"{session_id}{suffix}").unlink(missing_ok=True)

    def _live_leases(self, entries: Iterable[InventoryEntry]) -> list[Lease]:
        """Return the leases of the sessions that run; where a note is damaged, what the session's recording says."""
        recorded = {entry.session_id: entry for entry in entries}
        leases = (self._read(id_) or lease_of(recorded.get(id_)) for id_ in self._live_ids())
        return sorted((lease for lease in leases if lease), key=lambda lease: (lease.started_utc, lease.session_id))

    def _read(self, session_id: str) -> Lease | None:
        path = self._folder / f"{session_id}.json"
        try:
            lease = Lease(**json.loads(read_plain(path, _MOST_NOTE_BYTES)))
        except (OSError, TypeError, ValueError, RecursionError):
            return None
        return lease if lease.session_id == session_id else None

    def _refuse_twice(self, participant: str, live: Iterable[Lease]) -> None:
        for lease in live:
            if lease.participant == participant:
                raise LeaseError(
                    f"somebody is driving as {participant} right now, on {lease.host or 'an unknown machine'} since "
                    f"{lease.started_utc}; nothing was changed: use another name, or wait until that session has ended"
                )

    def _enter(self, lease: Lease) -> FileLock:
        """Lock the session's own file and write its note."""
        lock = self._lock(self._folder / f"{lease.session_id}.lock")
        note = self._folder / f"{lease.session_id}.json"
        try:
            lock.acquire()
            try:
                write_whole(note, json.dumps(asdict(lease)).encode())
            except BaseException:
                lock.release()
                self._remove(lease.session_id)
                raise
        except HeldError as error:
            reason = "is already running; nothing was changed: start again"
            raise LeaseError(f"session {lease.session_id} {reason}") from error
        except OSError as error:
            raise self._no_locks(note, error) from error
        return lock

    def _leave(self, lease: Lease, lock: FileLock) -> None:
        """Give the lease back. Where that fails the next look does it: the lock, at least, ends with the process."""
        try:
            with suppress(LeaseError), self._locked():
                lock.release()  # first, since Windows removes no file that is in use
                self._remove(lease.session_id)
        finally:
            lock.release()
