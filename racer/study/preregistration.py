"""Preregistration: what a study promises before anybody is evaluated, in a file to deposit, and what became of it.

The file says the primary outcome, whom the analysis leaves out and when to stop, and names by their hashes the study
file, the latent model, what was fitted and the code. A report compares it with what was recorded, item by item.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import sessions
from disk.reading import open_plain, read_plain
from disk.writing import write_whole
from racer.drivers.registry import is_person
from racer.errors import RacerError
from racer.study.deciding import paths
from racer.study.file import Study
from racer.study.outcome import Claim, Outcome
from racer.study.sections import PILOT

PREREGISTRATION = "preregistration.json"
"""Name of the file, beside the study file."""
_MOST_BYTES = 1_000_000
_MOST_SOURCE = 2**26
_PACKAGES = ("racer", "compression", "sessions", "disk")
_SOURCES = ("py", "j2", "js", "html", "c")
"""Suffixes of source files."""
LEFT_OUT = (
    "trial runs",
    "sittings that were not completed, and people who declined",
    "a participant's second sitting",
    "sittings with other settings, another latent model or other fitted files than the first",
    "recordings that cannot be read",
    "episodes that were cut short or that the experimenter rejected",
)
"""Whom and what every report leaves out."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=500)]


class PreregistrationError(RacerError):
    """A preregistration cannot be written or used. The message is one line."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class PromisedOutcome(_Strict):
    """The primary outcome, defaults resolved."""

    metric: Text
    minuend: Text
    subtrahend: Text
    claim: Claim
    margin: Annotated[float, Field(gt=0, lt=1)]


class Preregistration(_Strict):
    """What a study promises."""

    racer_preregistration: Literal[1] = 1
    written_utc: Text
    title: Text
    primary: PromisedOutcome
    exclusions: Annotated[tuple[Text, ...], Field(strict=False, max_length=50)]
    """Whom and what the analysis leaves out: the study's own rules first, then those of every report."""
    stopping: Text
    participants: Annotated[int, Field(ge=1, le=1000)]
    evaluated_before: Annotated[int, Field(ge=0)]
    """How many had taken part in an evaluation before it was written; nobody, where it is worth its name."""
    study_sha256: Sha256
    """SHA-256 of the study file."""
    model_sha256: Sha256
    fitted: dict[Text, Sha256 | None]
    """SHA-256 of what was fitted, by condition; None where it is still to be trained on the study's pilots."""
    code_sha256: Sha256
    """SHA-256 of Racer's code, the analysis included."""
    software: dict[Text, Text]
    """Versions of Racer, Python and packages."""
    settings: dict[str, Any]
    """All that the study file says, defaults included."""

    @property
    def outcome(self) -> Outcome:
        """The primary outcome."""
        return Outcome(**self.primary.model_dump())


@dataclass(frozen=True)
class Change:
    """Something promised that was not kept."""

    item: str
    """Such as `latent model` or `channel.bits`."""
    promised: str
    found: str


@dataclass(frozen=True)
class Promise:
    """A preregistration beside what was recorded."""

    written_utc: str
    sha256: str
    """SHA-256 of the file: compare it with the deposited copy's."""
    evaluated_before: int
    """How many had been evaluated before it was written, by its own word."""
    exclusions: tuple[str, ...]
    stopping: str
    changes: tuple[Change, ...]
    """Each thing promised that was changed."""
    later: tuple[str, ...]
    """Masks that were still to be trained: which they would be was not promised."""


def preregister(study: Study, now: datetime, out: Path | None = None, *, late: bool = False) -> tuple[Path, str]:
    """Write a study's preregistration and return its file and the SHA-256 of its bytes.

    Args:
        study: The study.
        now: With a time zone.
        out: The file; `preregistration.json` beside the study file if None. Nothing is overwritten.
        late: Whether to write it although people have been evaluated; it then says how many.

    Raises:
        PreregistrationError: If people took part in an evaluation, there is no outcome to promise, or the file cannot
            be written; nothing was changed.
        RacerError, CompressionError: If the latent model or a mask cannot be used.
    """
    path = study.folder / PREREGISTRATION if out is None else out
    took_part = _evaluated(study)
    if took_part and not late:
        names = ", ".join(took_part[:3]) + (", ..." if len(took_part) > 3 else "")
        raise PreregistrationError(
            f"{study.path}: {len(took_part)} took part in the evaluation already ({names}), so nothing can be promised "
            "beforehand; nothing was written: make a new study, or add --late for a file that says so"
        )
    content = _promised(study, now, len(took_part))
    data = (json.dumps(content.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode()
    if len(data) > _MOST_BYTES:
        raise PreregistrationError(f"{study.path} says more than a preregistration can hold; shorten its texts")
    try:
        write_whole(path, data, overwrite=False)
    except FileExistsError as error:
        raise PreregistrationError(
            f"{path} exists and was left as it is: a promise is not replaced; give another name with --out"
        ) from error
    except OSError as error:
        raise PreregistrationError(f"cannot write {path}: {error.strerror or error}; nothing was changed") from error
    return path, hashlib.sha256(data).hexdigest()


def read_preregistration(path: Path) -> tuple[Preregistration, str] | None:
    """Return a preregistration and the SHA-256 of its bytes; None where there is no such file.

    Raises:
        PreregistrationError: If the file is none, or damaged.
    """
    try:
        with open_plain(path) as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError("too large")
        return Preregistration.model_validate_json(data), hashlib.sha256(data).hexdigest()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError) as error:
        raise PreregistrationError(
            f"{path} is not a preregistration, or is damaged; it was left as it is: put the deposited copy in its "
            "place, or move it away"
        ) from error


def compare(
    promised: Preregistration,
    sha256: str,
    infos: Iterable[sessions.SessionInfo],
    participants: int,
    settings: Mapping[str, Any] | None = None,
) -> Promise:
    """Return what became of a preregistration.

    Args:
        promised: What was promised.
        sha256: Of the file.
        infos: Of the recordings that are analysed.
        participants: How many people those are of.
        settings: What the study file says now; None where it cannot be read.
    """
    infos = list(infos)
    found: dict[str, Change] = {}

    def differs(item: str, before: object, after: object) -> None:
        if before != after:
            found.setdefault(item, Change(item, _brief(before), _brief(after)))

    known = {sha for sha in promised.fitted.values() if sha is not None}
    later = tuple(condition for condition, sha in promised.fitted.items() if sha is None)
    for info in infos:
        differs("latent model", promised.model_sha256, info.model_sha256)
        fitted = set(info.fitted_sha256.split())
        if missing := known - fitted:
            names = ", ".join(name for name, sha in promised.fitted.items() if sha in missing)
            others = sorted(fitted - known)
            differs(f"what was fitted for {names}", sorted(missing)[0], others[0] if others else "nothing")
        elif not later:
            differs("fitted files", sorted(known), sorted(fitted))
        for name, version in promised.software.items():
            differs(f"software: {name}", version, info.software.get(name, version))
        _each_differing(promised.settings, info.config.get("study"), differs)
        real = is_person(info.driver) or not info.config.get("simulated_time")  # workers elsewhere have no clock here
        if real and info.created_utc < promised.written_utc and not promised.evaluated_before:
            item = f"{info.participant} was evaluated after the preregistration"
            found[item] = Change(item, f"after {promised.written_utc}", info.created_utc)
    if settings is not None:
        _each_differing(promised.settings, settings, differs)
    differs("code", promised.code_sha256, code_sha256())
    differs("participants analysed", promised.participants, participants)
    return Promise(
        promised.written_utc,
        sha256,
        promised.evaluated_before,
        promised.exclusions,
        promised.stopping,
        tuple(found.values()),
        later,
    )


def _each_differing(promised: Mapping[str, Any], found: Any, differs: Callable[[str, object, object], None]) -> None:
    """Tell `differs` of every setting in which two tables differ, by its dotted name."""
    if not isinstance(found, Mapping):
        return
    for name in paths(promised, found):
        before, after = _at(promised, name), _at(found, name)
        if before is not None or after:  # a setting that came later, and asks for nothing
            differs(name, before, after)


def code_sha256() -> str:
    """Return the hash of all of Racer's code: its own packages, their templates and scripts."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        spec = find_spec(package)
        assert spec is not None and spec.submodule_search_locations is not None
        for folder in map(Path, spec.submodule_search_locations):
            for path in sorted(path for kind in _SOURCES for path in folder.rglob(f"*.{kind}")):
                content = hashlib.sha256(read_plain(path, _MOST_SOURCE)).hexdigest()
                digest.update(f"{package}/{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def _promised(study: Study, now: datetime, evaluated_before: int) -> Preregistration:
    from racer.loop.conditions import load_fitted_models  # brings torch
    from racer.software import software
    from racer.tasks.latent_model import load_task_model

    file, spec = study.file, study.file.make_task().spec
    outcome = file.primary.outcome(spec.primary.name, file.conditions)
    if outcome is None:
        raise PreregistrationError(f"{study.path}: conditions: a single condition cannot be compared; add another")
    model = load_task_model(spec, study.model)
    sources = {condition: study.mask_path(condition) for condition in file.conditions}
    waiting = {
        condition
        for condition, path in sources.items()
        if path is not None and not path.is_file() and file.masks.source(condition) == PILOT
    }
    masks = [path for condition, path in sources.items() if path is not None and condition not in waiting]
    fitted = load_fitted_models([name for name in file.conditions if name not in waiting], masks, model)
    versions = {name: value for name, value in software(spec).items() if name not in ("platform", "git_commit")}
    return Preregistration(
        written_utc=now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        title=file.title,
        primary=PromisedOutcome(**asdict(outcome)),
        exclusions=(*file.primary.exclusions, *LEFT_OUT),
        stopping=file.primary.stopping or _when_complete(file.participants),
        participants=file.participants,
        evaluated_before=evaluated_before,
        study_sha256=study.sha256,
        model_sha256=model.sha256,
        fitted={name: None for name in sorted(waiting)} | {name: each.sha256 for name, each in sorted(fitted.items())},
        code_sha256=code_sha256(),
        software=versions,
        settings=study.settings,
    )


def _when_complete(participants: int) -> str:
    if participants == 1:
        return "when 1 participant has completed the sitting"
    return f"when {participants} participants have completed their sitting"


def _evaluated(study: Study) -> tuple[str, ...]:
    """Return who has begun an evaluation that is no trial run, in order of their names."""
    sittings = sessions.find_sittings(sessions.find_recordings(study.recordings))[0]
    return tuple(
        sorted(
            {
                sitting.info.participant
                for sitting in sittings
                if sitting.info.protocol == "evaluation" and not sitting.info.trial_run
            }
        )
    )


def _at(table: Any, name: str) -> Any:
    for part in name.split("."):
        table = table.get(part) if isinstance(table, Mapping) else None
    return table


def _brief(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
