"""Where a study stands: who has driven, which masks there are, which orders were given, and what comes next."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass

import sessions
from racer.drivers.registry import is_person
from racer.errors import ConfigError, RacerError
from racer.sitting.protocol import balanced_rows
from racer.sitting.resume import running_sessions, unfinished
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
    running: tuple[str, ...]
    """Whose sitting is recorded right now, at whatever desk."""
    unfinished: tuple[str, ...]
    """Who has begun a sitting, has not completed it, and is not at it now."""
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
    """The next command, and what it has to wait for."""
    otherwise: str
    """The next command where those who are unfinished do not come back; empty where `next` is not theirs."""


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
    now = running_now(study)
    left = [sitting for sitting in unfinished(sittings, None, None) if not sitting.info.trial_run]
    waiting = [sitting for sitting in left if sitting.infos[-1].session_id not in now]
    running = [sitting for sitting in left if sitting.infos[-1].session_id in now]
    given = Counter(sitting.info.config.get("order") for sitting in evaluated)
    missing, tainted = masks_to_train(study), masks_of_withdrawn(study)
    folder = shlex.quote(str(study.folder))
    start = f"racer session start --study {folder}"
    needed = missing and len(pilots) < study.file.pilots
    if tainted:
        name, data = next(iter(tainted.values()))[0], shlex.quote(str(study.recordings))
        following = f"racer session withdraw {name} --data {data} --traces"
    elif missing and not needed:
        following = f"racer study train {folder}"
    elif needed or len(evaluated) < study.file.participants:
        following = start
    else:
        following = f"racer study report {folder} --out {shlex.quote(str(study.folder / 'report.html'))}"
    unshown = _unshown(study)
    otherwise = ""
    if following == start:
        protocol = "pilot" if needed else "evaluation"
        back = [sitting for sitting in waiting if _can_go_on(study, sitting.info, protocol)]
        here = [sitting.info.participant for sitting in running if sitting.info.protocol == protocol]
        done, planned = (pilots, study.file.pilots) if needed else (evaluated, study.file.participants)
        if unshown:
            following = f"racer doctor --study {folder}"
        elif protocol == "evaluation" and not all(belongs(study, sitting.info) for sitting in evaluated):
            following = f"racer study amend {folder} --reason WHY"
        elif back:
            whose = f"{back[0].info.participant} " if len(back) == 1 else ""
            following, otherwise = f"racer session start {whose}--study {folder} --resume", start
        elif len(done) + len(here) >= planned:
            following = f"racer study status {folder}, when {_listed(here)} {'is' if len(here) == 1 else 'are'} done"
    return StudyStatus(
        title=study.file.title,
        pilots=tuple(sitting.info.participant for sitting in pilots),
        pilots_planned=study.file.pilots,
        participants=tuple(sitting.info.participant for sitting in evaluated),
        participants_planned=study.file.participants,
        orders=tuple(given[order] for order in range(len(balanced_rows(len(study.file.conditions))))),
        masks_missing=tuple(missing),
        masks_withdrawn=tainted,
        running=tuple(sitting.info.participant for sitting in running),
        unfinished=tuple(sitting.info.participant for sitting in waiting),
        changed=changed,
        unusable={str(path): reason.removeprefix(f"{path} ") for path, reason in unusable.items()},
        amendments=read_amendments(study.folder),
        unshown=unshown,
        ledger_head=head,
        ledger_damage=damage,
        next=following,
        otherwise=otherwise,
    )


def next_line(following: str, otherwise: str) -> str:
    """Return the line that says what comes next, of a `StudyStatus` or a look at a running study."""
    return f"Next: {following}" + f", or for somebody new {otherwise}" * bool(otherwise)


def running_now(study: Study) -> frozenset[str]:
    """Return the ids of the sessions that are recorded right now; none in an archive, or a folder without locks."""
    try:
        return running_sessions(study.recordings)
    except RacerError:
        return frozenset()


def _can_go_on(study: Study, info: sessions.SessionInfo, protocol: str) -> bool:
    """Return whether a person's unfinished sitting is one of those that come next."""
    return info.protocol == protocol and is_person(info.driver) and belongs(study, info)


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


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
