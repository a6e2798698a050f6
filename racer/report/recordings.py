"""Reading: the evaluation sittings of a folder as plain arrays, and what is left out of them with the reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sessions
from racer.drivers.registry import is_person
from racer.loop.conditions import in_order, may_be_condition
from racer.loop.probing import PROBE, Probe, read_probe
from racer.sitting.answers import declined
from racer.sitting.protocol import CATCH, REPEATS
from racer.study.amendments import Amendment, versions
from racer.study.deciding import recorded_sha256

_ROUNDING = 1e-6
"""Share by which rounding may lead a metric, recorded in single precision, out of its bounds."""


@dataclass(frozen=True, eq=False)
class EvaluatedEpisode:
    """One accepted evaluation episode."""

    phase: str
    condition: str
    block: int
    """Place of its condition among those that the participant met, from 1."""
    number: int
    """Place among the participant's accepted episodes of this condition, from 1."""
    seed: int
    """Seed of its first trial."""
    metrics: dict[str, float]
    """What it came to in every metric that is compared; of several trials their mean."""
    actions: NDArray[np.uint8]
    """uint8[T], indices."""
    stimuli: NDArray[np.int64]
    """int64[T], seeds of the trials."""
    sent: NDArray[np.float64]
    """float64[blocks]: fraction of the steps in which each block was sent."""
    durations_ms: NDArray[np.float64]
    """float64[T - 1]: from each frame shown to the next, pauses taken out."""
    stage_us: NDArray[np.uint32]
    """uint32[T, 4]: time in environment, sender, receiver and display."""
    bits: float
    """Mean bits sent per step; 0 where nothing crosses a channel."""
    path: Path
    """The recording that holds it, and its place there."""
    index: int
    uplink_bits: float = 0.0
    """Mean bits per step of the actions on the uplink."""
    probes: tuple[Probe, ...] = ()
    """Answers where it stopped, in order."""


@dataclass(frozen=True, eq=False)
class Person:
    """One participant's evaluation sitting."""

    name: str
    sitting: sessions.Sitting
    episodes: tuple[EvaluatedEpisode, ...]
    """In the order recorded; never empty."""
    answers: tuple[sessions.Answer, ...]
    """In the order given, over all recordings of the sitting."""
    singles: tuple[EvaluatedEpisode, ...] = ()
    """Catch trials and repeats: one picture each."""

    @property
    def conditions(self) -> set[str]:
        """What they met."""
        return {episode.condition for episode in self.episodes}

    def under(self, condition: str) -> list[EvaluatedEpisode]:
        """Return their episodes under a condition."""
        return [episode for episode in self.episodes if episode.condition == condition]


@dataclass(frozen=True, eq=False)
class Evaluations:
    """What a folder holds that can be analysed together."""

    people: tuple[Person, ...]
    conditions: tuple[str, ...]
    """Met by all of them, in the order of `racer.loop.conditions.in_order`."""
    excluded: dict[Path, str]
    """Recordings left out, and why."""
    amendments: tuple[Amendment, ...] = ()
    """Amendments of the study, oldest first."""

    def version(self, person: Person) -> int:
        """Return how many amendments there were when somebody took part."""
        known, recorded = versions(self.amendments), recorded_sha256(person.sitting.info.config)
        return known.index(recorded) if recorded in known else 0

    @property
    def task(self) -> sessions.TaskRecord:
        """What all of them did; there must be people."""
        return self.people[0].sitting.info.task


def compared(task: sessions.TaskRecord) -> tuple[sessions.Metric, ...]:
    """Return the metrics that have a direction, the primary one first."""
    return tuple(metric for metric in task.metrics if metric.better)


def read_evaluations(folder: Path, amendments: tuple[Amendment, ...] = (), version: int | None = None) -> Evaluations:
    """Read the complete evaluation sittings in a folder.

    Left out, with the reason: other protocols, trial runs, sittings that were not completed, a participant's second
    sitting, sittings that differ from the first in more than participant, seeds and order (another task or study file,
    other settings, another latent model, fitted file, driver, channel, other numbers of steps or episodes), and files
    that cannot be read. What a study's amendments changed may differ.

    Args:
        folder: Of the recordings.
        amendments: Of the study.
        version: Only who took part after so many amendments; everybody if None.

    Raises:
        RecordingError: If the folder cannot be listed.
    """
    sittings, excluded = sessions.find_sittings(sessions.find_recordings(folder))
    known = versions(amendments)
    people: dict[str, Person] = {}
    first: dict[str, Any] = {}
    for sitting in sittings:
        try:
            settings = settings_of(sitting.info, known)
            reason = _reason_to_exclude(sitting, people, first or settings, known)
            if not reason and version is not None and not _is_of(sitting, known, version):
                reason = f"recorded under another version of the study file than version {version}"
            if not reason:
                person = _read_person(sitting)
                if person.episodes:
                    first = first or settings
                    people[person.name] = person
                else:
                    reason = "it has no evaluation episode"
        except sessions.RecordingError as error:
            reason = str(error)
        if reason:
            excluded.update(dict.fromkeys(sitting.paths, reason))
    together = next(iter(people.values())).conditions if people else set()
    for name, person in list(people.items()):
        if person.conditions != together:
            excluded.update(dict.fromkeys(person.sitting.paths, "its conditions are not those of the first session"))
            del people[name]
    return Evaluations(tuple(people.values()), in_order(sorted(together)), excluded, amendments)


def settings_of(info: sessions.SessionInfo, known: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what must be alike in all sittings of one analysis, by its name for people.

    Of a session recorded with one of the `known` versions of a study, what an amendment may change is left empty.
    """
    config, task = info.config, info.task
    protocol = section(config, "protocol")
    conditions = protocol.get("conditions")
    found = {
        "task": task.name,
        "version of the task": (
            (task.frame, task.actions, task.latents, task.blocks, task.paced),
            tuple((metric.name, metric.unit, metric.better, metric.trial) for metric in task.metrics),
        ),
        "setting of the task": task.settings,
        "latent model": info.model_sha256,
        "packet format": config.get("channel_format"),
        "fitted file": info.fitted_sha256,
        "kind of driver": is_person(info.driver),
        "study file": recorded_sha256(config),
        "use of the channel": config.get("channel"),
        "number of steps per episode": protocol.get("steps"),
        "number of episodes per condition": protocol.get("evaluation"),
        "number of probes per episode": protocol.get("probes"),
        "set of conditions": sorted(map(str, conditions)) if isinstance(conditions, list) else None,
    }
    amended = found["study file"] in known
    return {name: None if amended and name in _AMENDABLE else value for name, value in found.items()}


_AMENDABLE = (
    "setting of the task",
    "study file",
    "use of the channel",
    "number of steps per episode",
    "number of episodes per condition",
)


def _is_of(sitting: sessions.Sitting, known: tuple[str, ...], version: int) -> bool:
    return known[version : version + 1] == (recorded_sha256(sitting.info.config),)


def section(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a table of a recorded configuration; an empty one where a foreign file has something else there."""
    value = config.get(name)
    return value if isinstance(value, dict) else {}


def _reason_to_exclude(
    sitting: sessions.Sitting, people: dict[str, Person], first: dict[str, Any], known: tuple[str, ...]
) -> str | None:
    info = sitting.info
    if info.protocol == "pilot":
        return "a pilot user's session, for training"
    if info.protocol != "evaluation":
        return f"protocol {info.protocol}"
    if info.trial_run:
        return "a trial run (--trial)"
    if sitting.status != "complete":
        with sessions.open(sitting.paths[-1]) as session:
            if declined(session.answers()):
                return "declined to take part"
        return f"not completed ({sitting.status})"
    if info.participant in people:
        return "a second session of the same participant"
    for part in sitting.infos:
        settings = settings_of(part, known)
        for name, value in first.items():
            if settings[name] != value:
                return f"another {name} than in the first session"
    return None


def _read_person(sitting: sessions.Sitting) -> Person:
    episodes: list[EvaluatedEpisode] = []
    singles: list[EvaluatedEpisode] = []
    answers: list[sessions.Answer] = []
    blocks: list[str] = []
    for path in sitting.paths:
        with sessions.open(path) as session:
            answers += session.answers()
            events = session.events()
            pauses = _pauses(events)
            for episode in session.episodes:
                condition = episode.info.condition
                if episode.info.phase in (CATCH, REPEATS) and episode.accepted and episode.n_steps:
                    singles.append(_read_episode(path, episode, 0, 0, pauses))
                if episode.info.phase != "evaluation" or not may_be_condition(condition):
                    continue
                if condition not in blocks:
                    blocks.append(condition)
                if episode.accepted and episode.n_steps:
                    number = 1 + sum(one.condition == condition for one in episodes)
                    read = _read_episode(path, episode, blocks.index(condition) + 1, number, pauses)
                    episodes.append(replace(read, probes=_probes(episode, events)))
    return Person(sitting.info.participant, sitting, tuple(episodes), tuple(answers), tuple(singles))


def _read_episode(
    path: Path, episode: sessions.Episode, block: int, number: int, pauses: NDArray[np.int64]
) -> EvaluatedEpisode:
    return EvaluatedEpisode(
        phase=episode.info.phase,
        condition=episode.info.condition,
        block=block,
        number=number,
        seed=episode.info.seed,
        metrics={metric.name: _value(path, episode, metric) for metric in compared(episode.task)},
        actions=episode.action,
        stimuli=episode.stimulus,
        sent=episode.mask.mean(axis=0, dtype=np.float64),
        durations_ms=_durations_ms(episode.time_ns, pauses),
        stage_us=episode.stage_us,
        bits=float(np.mean(episode.bits)),
        path=path,
        index=episode.index,
        uplink_bits=float(np.mean(episode.uplink_bits)),
    )


def _probes(episode: sessions.Episode, events: list[sessions.Event]) -> tuple[Probe, ...]:
    """Return the answers to probes of an episode; what a damaged file has of them, and none of it could be, is not."""
    found = [
        read_probe(event.step, event.detail, episode.task.actions)
        for event in events
        if event.kind == PROBE and event.episode == episode.index and event.step < episode.n_steps
    ]
    return tuple(probe for probe in found if probe is not None)


def _value(path: Path, episode: sessions.Episode, metric: sessions.Metric) -> float:
    """Return what an episode comes to in a metric.

    Raises:
        UnreadableRecordingError: If the metric cannot come to that.
    """
    value = episode.trial_value(metric.name)
    low, high = (
        bound + sign * _ROUNDING * max(abs(bound), 1) for bound, sign in zip(metric.bounds, (-1, 1), strict=True)
    )
    if not (np.isfinite(value) and low <= value <= high):
        raise sessions.UnreadableRecordingError(
            f"{path} is damaged: episode {episode.index} comes to {metric.title} {value}, which cannot be"
        )
    return value


def _pauses(events: list[sessions.Event]) -> NDArray[np.int64]:
    """Return when each pause began and ended, int64[pauses, 2], in nanoseconds."""
    pauses: list[tuple[int, int]] = []
    began: int | None = None
    for event in events:
        if event.kind == "pause" and began is None:
            began = event.time_ns
        elif event.kind == "resume" and began is not None:
            pauses.append((began, event.time_ns))
            began = None
    return np.array(pauses, np.int64).reshape(-1, 2)


def _durations_ms(times_ns: NDArray[np.int64], pauses: NDArray[np.int64]) -> NDArray[np.float64]:
    durations = np.diff(times_ns).astype(np.float64)
    within = (pauses[:, 1] > times_ns[0]) & (pauses[:, 0] < times_ns[-1])
    for began, ended in pauses[within]:
        shared = np.minimum(times_ns[1:], ended) - np.maximum(times_ns[:-1], began)
        durations -= np.maximum(shared, 0)
    return durations / 1e6
