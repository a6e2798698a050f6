"""The next sitting of a study: what its study file says, as a session's configuration."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import get_args

import sessions
from racer.drivers.registry import KEYBOARD, is_person
from racer.sitting.agenda import Screens
from racer.sitting.protocol import ProtocolName
from racer.sitting.questionnaires import Item, Questionnaire
from racer.sitting.resume import running_sessions, to_resume, unfinished
from racer.sitting.start import StartConfig, StudyMark
from racer.study.amendments import advice, read_amendments, versions
from racer.study.deciding import differing, recorded_sha256
from racer.study.file import Study, StudyFileError
from racer.study.lettering import ADVICE, find_unshown
from racer.study.sections import PILOT, MasksSection
from racer.tasks.image_files import read_picture

_PICTURE = 256
"""Side of a picture that a question shows, pixels."""


def next_protocol(study: Study) -> ProtocolName:
    """Return `pilot` while a mask waits for pilots who have not all driven, and `evaluation` from then on."""
    waiting = any(
        study.file.masks.source(condition) == PILOT and not _is_there(study, condition)
        for condition in study.file.masks_needed
    )
    return "pilot" if waiting and len(completed(study, "pilot")) < study.file.pilots else "evaluation"


def protocol_to_resume(study: Study, participant: str | None, trial_run: bool) -> ProtocolName:
    """Return the protocol of the unfinished sitting that is meant; the next one where there is none."""
    sitting = to_resume(_sittings(study), None, participant, trial_run, running_sessions(study.recordings))
    for protocol in get_args(ProtocolName):
        if sitting is not None and sitting.info.protocol == protocol:
            found: ProtocolName = protocol
            return found
    return next_protocol(study)


def completed(study: Study, protocol: ProtocolName) -> list[sessions.Sitting]:
    """Return the completed sittings of a study, one of each participant, oldest first; trial runs do not count."""
    return _completed(_sittings(study), protocol)


def refuse_again(study: Study, protocol: ProtocolName, participants: Collection[str]) -> None:
    """Refuse to begin a sitting of anybody who has completed it or left it unfinished.

    Raises:
        StudyFileError: If one of them has.
    """
    sittings = _sittings(study)
    for sitting in _completed(sittings, protocol):
        if (name := sitting.info.participant) in participants:
            raise StudyFileError(
                study.path,
                f"{name} has completed the {protocol} sitting; nothing was changed: give another name, or leave "
                "the name out for the next one",
            )
    for sitting in unfinished(sittings, protocol, None):
        if not sitting.info.trial_run and (name := sitting.info.participant) in participants:
            raise StudyFileError(
                study.path,
                f"{name} has an unfinished {protocol} sitting; nothing was changed: continue it with --resume, or "
                "give another name",
            )


def refuse_a_mixture(study: Study, driver: str) -> None:
    """Refuse to evaluate anybody who could not be compared with those who were evaluated before.

    Raises:
        StudyFileError: If a recording was made with another study file, or by people where this driver is a program, or
            the other way about. The report would leave one or the other out.
    """
    for sitting in completed(study, "evaluation"):
        info = sitting.info
        if not belongs(study, info):
            changes = True
            changed = ", ".join(differing(info.config, study.settings)[:3])
            problem = f"was evaluated with this file as it was before {changed or 'it'} was changed"
        elif is_person(info.driver) != is_person(driver):
            changes = False
            problem = "is simulated" if is_person(driver) else "is a person"
        else:
            continue
        raise StudyFileError(
            study.path,
            f"{info.participant} {problem}, and cannot be compared with whoever comes now; nothing was recorded: "
            + (advice(study) if changes else "make a study of its own with `racer study init`"),
        )


def belongs(study: Study, info: sessions.SessionInfo) -> bool:
    """Return whether a session was recorded with a study's deciding settings, or those before an amendment.

    Raises:
        ConfigError: If the file of amendments is damaged.
    """
    recorded, known = recorded_sha256(info.config), versions(read_amendments(study.folder))
    present = study.settings_sha256
    return recorded == present or (known[-1:] == (present,) and recorded in known)


def refuse_unreadable(study: Study) -> None:
    """Refuse to show people what they could not read: nobody is to agree to that.

    Raises:
        StudyFileError: If a text has characters that cannot be shown here.
        ConfigError: If the font that the study names is not installed here.
    """
    if unshown := find_unshown(study):
        worst = unshown[0]
        advice = "write it in another language" if worst.right_to_left else ADVICE
        raise StudyFileError(study.path, f"{worst}; nothing was recorded: {advice}")


def remarks(study: Study, protocol: ProtocolName, driver: str) -> list[str]:
    """Return what an experimenter may want to know before a new sitting begins, one line each."""
    sittings, now = _sittings(study), running_sessions(study.recordings)
    pilots, done = _completed(sittings, "pilot"), _completed(sittings, protocol)
    running = sum(
        sitting.infos[-1].session_id in now and not sitting.info.trial_run
        for sitting in unfinished(sittings, protocol, None)
    )
    planned = study.file.pilots if protocol == "pilot" else study.file.participants
    found = []
    if len(done) + running >= planned:
        run = f", and {running} {'is' if running == 1 else 'are'} running" if running else ""
        found.append(
            f"{len(done)} of {planned} planned {protocol} sittings are complete{run}; this one is beyond the plan"
        )
    if protocol == "evaluation" and is_person(driver) and any(not is_person(each.info.driver) for each in pilots):
        found.append("the pilots of this study were simulated, and a person comes now")
    return found


def sitting_config(
    study: Study,
    protocol: ProtocolName,
    participant: str | None,
    *,
    driver: str = KEYBOARD,
    headless: bool = False,
    fullscreen: bool | None = None,
    trial_run: bool = False,
    resume: bool = False,
) -> StartConfig:
    """Return the configuration of one sitting of a study.

    Args:
        study: The study.
        protocol: `pilot` or `evaluation`.
        participant: Whose sitting it is; None for the next name.
        driver: Who steers.
        headless: Whether to do without a window.
        fullscreen: None for what the study file says.
        trial_run: Whether its recording counts for nothing.
        resume: Whether to go on with an unfinished sitting.

    Raises:
        StudyFileError: If a mask that the sitting needs has not been trained, the participant has completed this
            sitting or left it unfinished, or could not be compared with those evaluated before, or if a person would
            meet text that cannot be shown.
        ConfigError: If the font that the study names is not installed here.
    """
    file = study.file
    shown = file.conditions if protocol == "evaluation" else (file.episodes.explore,)
    masks = []
    for condition in shown:
        path = study.mask_path(condition)
        if path is not None and not path.is_file():
            raise StudyFileError(
                study.path,
                f"masks.{MasksSection.key(condition)}: {path} has not been trained; nothing was recorded: run "
                f"`racer study train {shlex.quote(str(study.folder))}` once the pilots have driven, or name another "
                f"mask",
            )
        masks += [path] if path is not None else []
    if not resume and not trial_run:
        if participant is not None:
            refuse_again(study, protocol, [participant])
        if protocol == "evaluation":
            refuse_a_mixture(study, driver)
    attended = driver == KEYBOARD
    if attended:
        refuse_unreadable(study)
    return StartConfig(
        participant=participant,
        protocol=file.protocol_config(protocol),
        task=file.make_task(),
        model=study.model,
        channel=file.channel_config(),
        driver=driver,
        masks=tuple(masks),
        data=study.recordings,
        seed=file.seed,
        pace=file.episodes.pace,
        headless=headless,
        fullscreen=file.experimenter.fullscreen if fullscreen is None else fullscreen,
        trial_run=trial_run,
        resume=resume,
        screens=screens_of(study),
        language=study.language,
        keys=file.keys.given,
        countdown=file.screens.countdown,
        locked=attended,
        code=file.experimenter.code,
        font=file.font,
        markers=file.markers.config(),
        study=StudyMark(file.title, study.sha256, study.settings_sha256, study.settings),
    )


def screens_of(study: Study) -> Screens:
    """Return what a study's participants meet besides the rounds."""
    asked = study.file.questionnaires

    def questionnaires(names: tuple[str, ...]) -> tuple[Questionnaire, ...]:
        return tuple(with_pictures(study, study.questionnaire(name)) for name in names)

    screens = study.file.screens
    return Screens(
        consent=screens.consent,
        instructions=screens.instructions,
        key_test=screens.key_test,
        break_every=screens.break_every,
        break_seconds=screens.break_seconds,
        start=questionnaires(asked.start),
        after_condition=questionnaires(asked.after_condition),
        end=questionnaires(asked.end),
    )


def with_pictures(study: Study, questionnaire: Questionnaire) -> Questionnaire:
    """Return a questionnaire with the pictures that its items choose among.

    Raises:
        ConfigError: If one of them cannot be read.
    """

    def shown(item: Item) -> Item:
        if item.kind != "picture":
            return item
        read = partial(read_picture, size=_PICTURE, grey=False, whole_shape=True)
        return replace(item, pictures={name: read(study.folder / file) for name, file in item.options.items()})

    return replace(questionnaire, items=tuple(map(shown, questionnaire.items)))


def _sittings(study: Study) -> list[sessions.Sitting]:
    return sessions.find_sittings(sessions.find_recordings(study.recordings))[0]


def _completed(sittings: list[sessions.Sitting], protocol: ProtocolName) -> list[sessions.Sitting]:
    done: dict[str, sessions.Sitting] = {}
    for sitting in sittings:
        info = sitting.info
        if info.protocol == protocol and sitting.status == "complete" and not info.trial_run:
            done.setdefault(info.participant, sitting)
    return list(done.values())


def _is_there(study: Study, condition: str) -> bool:
    path = study.mask_path(condition)
    return path is None or path.is_file()
