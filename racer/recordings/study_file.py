"""A check of a recording against the study file beside it: what was run is what the study says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import sessions
from compression.errors import CompressionError
from compression.model.latent_model import load_model
from racer.errors import RacerError
from racer.recordings.expectation import config_part
from racer.sitting.protocol import ProtocolName
from racer.study.deciding import recorded_sha256
from racer.study.file import RECORDINGS, STUDY_FILE, Study, load_study
from racer.tasks.registry import task_settings
from sessions import Session
from sessions.verify import Check, Finding


class StudyFileCheck(Check):
    """Plan, task, channel, seed and pace are those of the study that the recording lies in."""

    name = "study"

    def session(self, session: Session) -> Iterator[Finding]:
        """Compare the configuration with what follows from the study file."""
        config = session.info.config
        try:
            study = _study_of(session.path)
        except (RacerError, OSError) as error:
            yield self.found("skipped", f"the study file cannot be used: {error}")
            return
        if study is None:
            return
        told = recorded_sha256(config)
        if not told:
            yield self.found("skipped", "it was recorded without the study in whose folder it lies")
        elif told != study.settings_sha256:
            yield self.found("skipped", f"the settings of {study.path.name} are not those that it was recorded with")
        elif session.info.protocol in get_args(ProtocolName):
            wanted = _wanted(study, session.info.protocol)  # type: ignore[arg-type]
            # Settings that an earlier version did not have are not compared.
            had = {name: config.get(name) for name in wanted if config.get(name) is not None}
            had["protocol"] = config_part(session, "protocol")
            if differing := sorted(_differing(had, wanted)):
                yield self.found("fail", f"{', '.join(differing)}: other than the study file that it names says")


def study_model(recording: Path) -> Path | None:
    """Return the folder of a recording's latent model where its study names it; None where it names another or none."""
    try:
        study = _study_of(recording)
        if study is None or study.model is None:
            return None
        with sessions.open(recording) as session:
            same = load_model(study.model).sha256 == session.info.model_sha256
    except (RacerError, CompressionError, sessions.RecordingError, OSError):
        return None
    return study.model if same else None


def _study_of(recording: Path) -> Study | None:
    """Return the study in whose folder a recording lies; None where it lies in none."""
    folder = recording.absolute().parent
    path = folder.parent / STUDY_FILE
    if folder.name != RECORDINGS or not path.is_file():
        return None
    return _load(path, path.stat().st_mtime_ns)


def _wanted(study: Study, protocol: ProtocolName) -> dict[str, Any]:
    file, task = study.file, study.file.make_task()
    wanted = {
        "protocol": asdict(file.protocol_config(protocol)),
        "task": {"name": task.spec.name, "settings": task_settings(task)},
        "channel": file.channel_config().recorded,
        "seed": file.seed,
        "pace": task.spec.pace if file.episodes.pace is None else file.episodes.pace,
        "countdown": file.screens.countdown,
    }
    found: dict[str, Any] = json.loads(json.dumps(wanted))
    return found


def _differing(had: Mapping[str, Any], wanted: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in had.items():
        if isinstance(value, dict) and isinstance(wanted.get(name), dict):
            yield from _differing(value, wanted[name], f"{before}{name}.")
        elif name in wanted and value != wanted[name]:
            yield f"{before}{name}"


@lru_cache(maxsize=8)
def _load(path: Path, changed_ns: int) -> Study:
    """Read a study file once, for as long as nobody changes it."""
    return load_study(path)
