"""Recordings compared with the ledger of their folder, and the ledger with a head that was deposited or signed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from racer.errors import ConfigError
from racer.recordings.signing import SignatureError, read_signature
from sessions.errors import RecordingError
from sessions.ledger import LEDGER_NAME, Ledger, read_ledger
from sessions.names import PARTIAL_SUFFIX, find_recordings
from sessions.verify import Finding, Outcome

CHECK = "ledger"


@dataclass(frozen=True)
class Deposited:
    """What the ledgers are compared with. Malformed heads raise ConfigError."""

    heads: tuple[str, ...] = ()
    """64 hexadecimal digits each; the ledger of every folder must have had one of them."""
    public_key: str = ""
    """64 hexadecimal digits: every ledger must be signed with its private key."""

    def __post_init__(self) -> None:
        for head in self.heads:
            if not re.fullmatch("[0-9a-f]{64}", head):
                raise ConfigError(
                    f"a head has 64 hexadecimal digits, as `racer study seal` prints it; got {head[:80]!r}"
                )


@dataclass(frozen=True)
class LedgerFound:
    """What was found of one folder's ledger."""

    folder: Path
    outcome: Outcome
    detail: str
    recorded: int = 0
    withdrawn: int = 0
    head: str = ""
    deposited: int | None = None
    """Entries that the deposited or signed head stands for; None where none was given."""


def check_ledgers(
    hashes: Mapping[Path, str], deposited: Deposited
) -> tuple[dict[Path, Finding], tuple[LedgerFound, ...]]:
    """Compare recordings with the ledgers of their folders.

    Args:
        hashes: SHA-256 of each recording that was checked.
        deposited: What the ledgers are compared with.

    Returns:
        A finding for each recording, and what was found of each folder's ledger.

    Raises:
        ConfigError: If the public key is none.
        MissingPackageError: If there is one and `cryptography` is not installed.
    """
    findings: dict[Path, Finding] = {}
    found: list[LedgerFound] = []
    by_folder: dict[Path, list[Path]] = {}
    for path in hashes:
        by_folder.setdefault(path.parent, []).append(path)
    for folder, paths in by_folder.items():
        try:
            ledger = read_ledger(folder)
        except RecordingError as error:
            found.append(LedgerFound(folder, "fail", str(error)))
            continue
        if ledger is None:
            asked = deposited.heads or deposited.public_key
            missing = f"there is no {LEDGER_NAME} that says what was recorded"
            found.append(LedgerFound(folder, "fail" if asked else "skipped", missing))
            continue
        here, whole = {hashes[path] for path in paths}, _is_whole(folder, paths)
        one = _of_ledger(folder, ledger, deposited, here, whole)
        found.append(one)
        # A recording too many, and none that is missing: nothing that was noted can have become it.
        extra = whole and ledger.held.keys() <= here
        findings |= {path: _of_recording(path, hashes[path], ledger, one.deposited, extra) for path in paths}
    return findings, tuple(found)


def _of_recording(path: Path, sha256: str, ledger: Ledger, deposited: int | None, extra: bool) -> Finding:
    if sha256 in ledger.hashes("withdrawn"):
        return Finding(CHECK, "fail", "its participant has withdrawn")
    number = ledger.held.get(sha256)
    if number is None and path.name.endswith(PARTIAL_SUFFIX):
        return Finding(CHECK, "skipped", "it is not finished, and only finished recordings are noted")
    if number is None and extra:
        return Finding(
            CHECK,
            "skipped",
            "it is not noted: the ledger could not be written, or it was put there by hand; "
            "`racer study seal` notes it",
        )
    if number is None:
        return Finding(
            CHECK,
            "fail",
            f"{LEDGER_NAME} does not have it as it is: it was changed, or put there by hand; if that was you, "
            "`racer study seal` notes it",
        )
    if deposited is not None and number > deposited:
        return Finding(CHECK, "skipped", "it was noted after the head was deposited or signed")
    return Finding(CHECK, "ok")


def _of_ledger(folder: Path, ledger: Ledger, deposited: Deposited, here: set[str], whole: bool) -> LedgerFound:
    """Return what is wrong with a ledger; if the folder's are all given, what it has must be there or withdrawn."""
    reasons: list[str] = []
    places: list[int] = []
    if deposited.heads:
        places += [ledger.heads.index(head) for head in deposited.heads if head in ledger.heads]
        if not places:
            reasons.append("it never had the head that was deposited: entries were removed or changed since")
    if deposited.public_key:
        try:
            signed = read_signature(folder, deposited.public_key)
        except SignatureError as error:
            reasons.append(str(error))
        else:
            places.append(signed.entries)
            if ledger.heads[min(signed.entries, len(ledger.entries))] != signed.head:
                reasons.append("what was signed is another ledger: entries were removed or changed since")
    missing = [number for sha256, number in ledger.held.items() if sha256 not in here]
    if whole and missing:
        numbers = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        reasons.append(
            f"recordings that it lists, and that nobody withdrew, are missing or were changed: entries {numbers}"
        )
    late = [number for number in ledger.hashes("withdrawn").values() if places and number > max(places)]
    told = f"{len(late)} withdrawn since it was deposited or signed: whether they asked for it is not known here"
    return LedgerFound(
        folder,
        "fail" if reasons else "skipped" if late else "ok",
        "; ".join(reasons) or (told if late else ""),
        recorded=len(ledger.hashes("recorded")),
        withdrawn=len(ledger.hashes("withdrawn")),
        head=ledger.head,
        deposited=max(places, default=None),
    )


def _is_whole(folder: Path, paths: Sequence[Path]) -> bool:
    """Return whether all recordings of a folder were given."""
    return set(find_recordings(folder)) <= set(paths)
