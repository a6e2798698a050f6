"""Where a study stands: who has driven, which masks there are, which orders were given, and what comes next."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass

import sessions
from racer.errors import ConfigError
from racer.sitting.protocol import balanced_rows
from racer.sitting.resume import unfinished
from racer.study.amendments import Amendment, read_amendments
from racer.study.deciding import differing
from racer.study.file import Study
from racer.study.lettering import find_unshown
from racer.study.sitting import belongs, completed
from racer.study.train import masks_of_withdrawn, masks_to_train
from sessions.ledger import read_ledger


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is."""

    title: str
    pilots: tuple[str, ...]
    """Who has completed a pilot sitting."""
    pilots_planned: int
    participants: tuple[str, ...]
    """Who has completed an evaluation sitting."""
    participants_planned: int
    orders: tuple[int, ...]
    """How many participants have completed each order of conditions."""
    masks_missing: tuple[str, ...]
    """Conditions whose masks have not been trained yet."""
    masks_withdrawn: dict[str, tuple[str, ...]]
    """Conditions whose masks were trained on people who have withdrawn since, and their names."""
    unfinished: tuple[str, ...]
    """Who has begun and not completed a sitting: running now, or to be resumed."""
    unusable: dict[str, str]
    """Recordings that belong to no sitting, and why."""
    changed: dict[str, tuple[str, ...]]
    """Participants who were recorded with other settings than the study file has now, and in what it differs; they are
    analysed together, and nobody can join them before the change is amended or undone."""
    amendments: tuple[Amendment, ...]
    """Changes made while the study was under way."""
    ledger_head: str
    """The last head of the ledger of its recordings; empty where there is none, or it is damaged."""
    ledger_damage: str
    """What is wrong with that ledger; empty where nothing is."""
    unshown: tuple[str, ...]
    """Texts that people could not read on this machine, each with the characters that cannot be shown."""
    next: str
    """The next command."""


def study_status(study: Study) -> StudyStatus:
    """Return where a study stands.

    Raises:
        RecordingError: If its recordings cannot be listed.
    """
    head, damage = _ledger(study)
    pilots, evaluated = completed(study, "pilot"), completed(study, "evaluation")
    sittings, unusable = sessions.find_sittings(sessions.find_recordings(study.recordings))
    changed: dict[str, tuple[str, ...]] = {}
    for sitting in sittings:
        info = sitting.info
        if not info.trial_run and not belongs(study, info):
            changed[info.participant] = tuple(differing(info.config, study.settings))
    left = [sitting for sitting in unfinished(sittings, None, None) if not sitting.info.trial_run]
    given = Counter(sitting.info.config.get("order") for sitting in evaluated)
    missing, tainted = masks_to_train(study), masks_of_withdrawn(study)
    folder = shlex.quote(str(study.folder))
    start = f"racer session start --study {folder}"
    if tainted:
        name, data = next(iter(tainted.values()))[0], shlex.quote(str(study.recordings))
        following = f"racer session withdraw {name} --data {data} --traces"
    elif missing and len(pilots) < study.file.pilots:
        following = start
    elif missing:
        following = f"racer study train {folder}"
    elif len(evaluated) < study.file.participants:
        following = start
    else:
        following = f"racer study report {folder} --out {shlex.quote(str(study.folder / 'report.html'))}"
    unshown = _unshown(study)
    if unshown and following == start:
        following = f"racer doctor --study {folder}"
    return StudyStatus(
        title=study.file.title,
        pilots=tuple(sitting.info.participant for sitting in pilots),
        pilots_planned=study.file.pilots,
        participants=tuple(sitting.info.participant for sitting in evaluated),
        participants_planned=study.file.participants,
        orders=tuple(given[order] for order in range(len(balanced_rows(len(study.file.conditions))))),
        masks_missing=tuple(missing),
        masks_withdrawn=tainted,
        unfinished=tuple(sitting.info.participant for sitting in left),
        changed=changed,
        unusable={str(path): reason.removeprefix(f"{path} ") for path, reason in unusable.items()},
        amendments=read_amendments(study.folder),
        unshown=unshown,
        ledger_head=head,
        ledger_damage=damage,
        next=following,
    )


def _ledger(study: Study) -> tuple[str, str]:
    """Return the head of the ledger, and what is wrong with it: people can take part all the same."""
    try:
        ledger = read_ledger(study.recordings)
    except sessions.RecordingError as error:
        return "", str(error)
    return ledger.head if ledger else "", ""


def _unshown(study: Study) -> tuple[str, ...]:
    try:
        return tuple(map(str, find_unshown(study)))
    except ConfigError as error:
        return (str(error),)
