"""The next sitting of a study: what its study file says, as a session's configuration."""

from __future__ import annotations

import sessions
from racer.agenda import Screens
from racer.drivers import KEYBOARD
from racer.protocol import ProtocolName
from racer.resume import unfinished
from racer.start import StartConfig, StudyMark
from racer.study.file import Study, StudyFileError
from racer.study.sections import PILOT


def next_protocol(study: Study) -> ProtocolName:
    """Return `pilot` while a mask waits for pilots who have not all driven, and `evaluation` from then on."""
    waiting = any(
        getattr(study.file.masks, condition) == PILOT and not _is_there(study, condition)
        for condition in study.file.masks_needed
    )
    return "pilot" if waiting and len(completed(study, "pilot")) < study.file.pilots else "evaluation"


def completed(study: Study, protocol: ProtocolName) -> list[sessions.Sitting]:
    """Return the completed sittings of a study, one of each participant, oldest first; trial runs do not count."""
    sittings, _ = sessions.find_sittings(sessions.find_recordings(study.recordings))
    done: dict[str, sessions.Sitting] = {}
    for sitting in sittings:
        info = sitting.info
        if info.protocol == protocol and sitting.status == "complete" and not info.pilot:
            done.setdefault(info.participant, sitting)
    return list(done.values())


def sitting_config(
    study: Study,
    protocol: ProtocolName,
    participant: str | None,
    *,
    driver: str = KEYBOARD,
    headless: bool = False,
    fullscreen: bool | None = None,
    pilot: bool = False,
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
        pilot: Whether it is a trial run, whose recording counts for nothing.
        resume: Whether to go on with an unfinished sitting.

    Raises:
        StudyFileError: If a mask that the sitting needs has not been trained.
        ResumeError: If the participant has completed this sitting or left it unfinished.
    """
    file = study.file
    shown = file.conditions if protocol == "evaluation" else (file.episodes.explore,)
    masks = []
    for condition in shown:
        path = study.mask_path(condition)
        if path is not None and not path.is_file():
            raise StudyFileError(
                study.path,
                f"masks.{condition}: {path} has not been trained; nothing was recorded: run `racer study train "
                f"{study.folder}` when the pilots have driven, or name another mask",
            )
        masks += [path] if path is not None else []
    if participant is not None and not resume and not pilot:
        _refuse_a_second(study, protocol, participant)
    attended = driver == KEYBOARD
    return StartConfig(
        participant=participant,
        protocol=file.protocol_config(protocol),
        track=file.track_config(),
        channel=file.channel_config(),
        driver=driver,
        masks=tuple(masks),
        data=study.recordings,
        seed=file.seed,
        pace=file.driving.pace,
        headless=headless,
        fullscreen=file.experimenter.fullscreen if fullscreen is None else fullscreen,
        pilot=pilot,
        resume=resume,
        screens=_screens(study),
        language=study.language,
        left_keys=file.keys.left,
        right_keys=file.keys.right,
        countdown=file.screens.countdown,
        locked=attended,
        code=file.experimenter.code,
        study=StudyMark(file.title, study.sha256, study.settings),
    )


def _screens(study: Study) -> Screens:
    asked = study.file.questionnaires

    def questionnaires(names: tuple[str, ...]):  # type: ignore[no-untyped-def]
        return tuple(study.questionnaire(name) for name in names)

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


def _refuse_a_second(study: Study, protocol: ProtocolName, participant: str) -> None:
    if any(sitting.info.participant == participant for sitting in completed(study, protocol)):
        raise StudyFileError(
            study.path,
            f"{participant} has completed the {protocol} sitting; nothing was changed: give another name, or leave "
            "the name out for the next one",
        )
    sittings, _ = sessions.find_sittings(sessions.find_recordings(study.recordings))
    if [sitting for sitting in unfinished(sittings, protocol, participant) if not sitting.info.pilot]:
        raise StudyFileError(
            study.path,
            f"{participant} has an unfinished {protocol} sitting; nothing was changed: go on with it by --resume, or "
            "give another name",
        )


def _is_there(study: Study, condition: str) -> bool:
    path = study.mask_path(condition)
    return path is None or path.is_file()
