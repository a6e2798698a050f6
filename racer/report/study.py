"""The evaluation of a folder of recordings: everything that a report says, as plain numbers and texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from racer.drivers.registry import is_person
from racer.errors import RacerError
from racer.report.answers import Answers, read_answers
from racer.report.behaviour import (
    Agreement,
    Attention,
    BlockFrequency,
    LearningPoint,
    action_agreement,
    attention,
    block_frequencies,
    learning_by_block,
    learning_by_episode,
    reference_of,
)
from racer.report.primary import PrimaryResult, primary_result
from racer.report.probes import Probed, probed
from racer.report.provenance import Provenance, trace_provenance
from racer.report.recordings import Evaluations, compared, read_evaluations, section
from racer.report.statistics import (
    Anova,
    Friedman,
    Interval,
    PairedDifference,
    all_pairs,
    friedman,
    gap_closed,
    mean_se,
    paired,
    repeated_anova,
)
from racer.report.timing import Timing, measure_timing
from racer.study.amendments import Amendment
from racer.study.outcome import Primary, recorded_primary
from racer.study.preregistration import Preregistration, Promise, compare
from sessions import Metric, TaskRecord


class NothingToReportError(RacerError):
    """The folder holds no evaluation that can be analysed."""


@dataclass(frozen=True)
class Mean:
    """A metric's mean over participants."""

    value: float
    """In the metric's unit."""
    se: float | None
    """Its standard error; None for a single participant."""


@dataclass(frozen=True)
class ConditionMean:
    """One condition, averaged first within and then over participants."""

    condition: str
    participants: int
    metrics: dict[str, Mean]
    """Mean of every metric that is compared."""


@dataclass(frozen=True)
class ParticipantScore:
    """One participant's mean over the episodes of one condition."""

    participant: str
    condition: str
    block: int
    """Place of the condition among those that the participant met, from 1."""
    episodes: int
    metrics: dict[str, float]
    """Every metric that is compared, by name."""


@dataclass(frozen=True)
class VersionMean:
    """The primary metric of a condition over those who took part in one version of an amended study."""

    version: int
    """Amendments before."""
    condition: str
    participants: int
    value: float
    se: float | None


@dataclass(frozen=True)
class StudyReport:
    """What a folder of evaluation sessions shows. All tests are of the task's primary metric."""

    task: TaskRecord
    simulated: bool
    """Whether any participant was simulated."""
    participants: tuple[str, ...]
    conditions: list[ConditionMean]
    gap_closed: float | None
    """(pico - random) / (full - random); None where a condition is missing."""
    difference: PairedDifference | None
    """`pico` less `random`."""
    anova: list[Anova]
    """`random` against `pico`, as in the paper, and all conditions."""
    excluded: dict[str, str] = field(default_factory=dict)
    """Files left out, and why."""
    study: str = ""
    """Title that all recordings share; empty where they do not, or have none."""
    gap_interval: Interval | None = None
    """Interval of `gap_closed`; None for one participant, and where the gap's own interval includes zero."""
    pairs: list[PairedDifference] = field(default_factory=list)
    """Every two conditions."""
    friedman: Friedman | None = None
    """Friedman's test of three or more conditions; None for two."""
    scores: list[ParticipantScore] = field(default_factory=list)
    agreement: list[Agreement] = field(default_factory=list)
    attention: list[Attention] = field(default_factory=list)
    """By participant, where single originals were shown among the evaluation."""
    probed: list[Probed] = field(default_factory=list)
    """By condition, where drives stopped to ask."""
    blocks: list[BlockFrequency] = field(default_factory=list)
    by_episode: list[LearningPoint] = field(default_factory=list)
    """By the number of the episode within its condition."""
    by_place: list[LearningPoint] = field(default_factory=list)
    """By the place of the condition in the sitting."""
    answers: Answers = field(default_factory=lambda: Answers([], [], [], [], {}))
    timing: list[Timing] = field(default_factory=list)
    provenance: list[Provenance] = field(default_factory=list)
    outcome: PrimaryResult | None = None
    """What the study was run for, and what came of it; all else was explored. None where nothing can be compared."""
    promise: Promise | None = None
    """What was promised before anybody was evaluated; None where nothing was."""
    amendments: tuple[Amendment, ...] = ()
    """Changes made while the study was under way."""
    by_version: list[VersionMean] = field(default_factory=list)
    """Where there were any."""

    @property
    def compared(self) -> tuple[Metric, ...]:
        """The metrics that have a direction, the primary one first."""
        return compared(self.task)

    @property
    def primary(self) -> Metric:
        """What the task is about."""
        return self.task.primary

    @property
    def reference(self) -> str:
        """The condition that actions are compared with."""
        return reference_of(self.task.paced, tuple(mean.condition for mean in self.conditions))

    def column(self, condition: str) -> list[float]:
        """Return the participants' means of the primary metric under a condition."""
        return [score.metrics[self.primary.name] for score in self.scores if score.condition == condition]


@dataclass(frozen=True)
class StudyContext:
    """What a study's folder says besides its recordings."""

    promised: Preregistration
    sha256: str
    """SHA-256 of the preregistration file."""
    settings: dict[str, Any] | None = None
    """What the study file says now; None where it cannot be read."""


def report_study(
    folder: Path,
    beforehand: StudyContext | None = None,
    amendments: tuple[Amendment, ...] = (),
    version: int | None = None,
) -> StudyReport:
    """Analyse the complete evaluation sessions in a folder; see `read_evaluations` for what is left out.

    Args:
        folder: Of the recordings.
        beforehand: What was preregistered, if anything was.
        amendments: Of the study.
        version: Only who took part after so many amendments; everybody if None.

    Raises:
        NothingToReportError: If nothing is left.
        RecordingError: If the folder cannot be listed.
    """
    return analyse(read_evaluations(folder, amendments, version), folder, beforehand)


def analyse(evaluations: Evaluations, folder: Path, beforehand: StudyContext | None = None) -> StudyReport:
    """Return the analysis of what `read_evaluations` found in a folder.

    Raises:
        NothingToReportError: If it found nothing.
    """
    people, conditions = evaluations.people, evaluations.conditions
    if not people:
        if not folder.is_dir():
            raise NothingToReportError(f"there is no folder {folder}; check the name")
        reasons = "; ".join(sorted(set(evaluations.excluded.values()))) or "no recordings"
        raise NothingToReportError(
            f"no complete evaluation session in {folder} ({reasons}); record one with `racer session start --study "
            f"STUDY`, or without a study file with `racer session start NAME --protocol evaluation --data {folder}`"
        )
    task = evaluations.task
    metrics = [metric.name for metric in compared(task)]
    scores = [
        ParticipantScore(
            participant=person.name,
            condition=condition,
            block=min(episode.block for episode in person.under(condition)),
            episodes=len(person.under(condition)),
            metrics={
                name: float(np.mean([episode.metrics[name] for episode in person.under(condition)])) for name in metrics
            },
        )
        for person in people
        for condition in conditions
    ]
    tables = {
        name: np.array([score.metrics[name] for score in scores]).reshape(len(people), len(conditions))
        for name in metrics
    }
    table = tables[task.primary.name]
    column = {condition: table[:, i] for i, condition in enumerate(conditions)}
    titles = {info.study for person in people for info in person.sitting.infos}
    gap, gap_interval = None, None
    if {"random", "pico", "full"} <= set(conditions):
        gap, gap_interval = gap_closed(column["pico"], column["random"], column["full"])
    tested = len(people) > 1
    return StudyReport(
        task=task,
        simulated=any(not is_person(person.sitting.info.driver) for person in people),
        participants=tuple(person.name for person in people),
        conditions=[
            ConditionMean(condition, len(people), {name: Mean(*mean_se(tables[name][:, i])) for name in metrics})
            for i, condition in enumerate(conditions)
        ],
        gap_closed=gap,
        difference=_pico_less_random(column) if tested else None,
        anova=_anovas(conditions, column) if tested else [],
        excluded={str(path): reason for path, reason in evaluations.excluded.items()},
        study=titles.pop() if len(titles) == 1 else "",
        gap_interval=gap_interval,
        pairs=all_pairs(conditions, table) if tested else [],
        friedman=friedman(conditions, table) if tested and len(conditions) > 2 else None,
        scores=scores,
        agreement=action_agreement(people, conditions, len(task.actions), reference_of(task.paced, conditions)),
        attention=attention(people, task.primary.name),
        probed=probed(people, conditions),
        blocks=block_frequencies(people, conditions),
        by_episode=learning_by_episode(people, conditions, task.primary.name),
        by_place=learning_by_block(people, conditions, task.primary.name),
        answers=read_answers(people, conditions),
        timing=measure_timing(people),
        provenance=trace_provenance(people),
        outcome=_outcome(evaluations, tables, beforehand),
        promise=compare(
            beforehand.promised,
            beforehand.sha256,
            (info for person in people for info in person.sitting.infos),
            len(people),
            beforehand.settings,
        )
        if beforehand
        else None,
        amendments=evaluations.amendments,
        by_version=_by_version(evaluations, column) if evaluations.amendments else [],
    )


def _outcome(
    evaluations: Evaluations, tables: dict[str, NDArray[np.float64]], beforehand: StudyContext | None
) -> PrimaryResult | None:
    """Return what came of the outcome that was promised, or else of the one that the first recording names."""
    config = evaluations.people[0].sitting.info.config
    said = recorded_primary(config)
    if beforehand is not None:
        outcome, declared = beforehand.promised.outcome, True
    else:
        named = section(config, "protocol").get("conditions")
        order = [name for name in named if name in evaluations.conditions] if isinstance(named, list) else []
        found = (said or Primary()).outcome(evaluations.task.primary.name, order or evaluations.conditions)
        if found is None:
            return None
        outcome, declared = found, said not in (None, Primary())
    if outcome.metric not in tables:
        return None
    table = tables[outcome.metric]
    return primary_result(outcome, declared, {name: table[:, i] for i, name in enumerate(evaluations.conditions)})


def _by_version(evaluations: Evaluations, column: dict[str, NDArray[np.float64]]) -> list[VersionMean]:
    of = np.array([evaluations.version(person) for person in evaluations.people])
    return [
        VersionMean(int(version), condition, int((of == version).sum()), *mean_se(values[of == version]))
        for version in np.unique(of)
        for condition, values in column.items()
    ]


def _pico_less_random(column: dict[str, NDArray[np.float64]]) -> PairedDifference | None:
    if not {"random", "pico"} <= set(column):
        return None
    return paired("pico", "random", column["pico"] - column["random"])


def _anovas(conditions: tuple[str, ...], column: dict[str, NDArray[np.float64]]) -> list[Anova]:
    found = []
    if {"random", "pico"} <= set(conditions):
        found.append(repeated_anova(("random", "pico"), np.stack([column["random"], column["pico"]], axis=1)))
    if len(conditions) > 2 or (len(conditions) == 2 and not found):
        found.append(repeated_anova(conditions, np.stack([column[name] for name in conditions], axis=1)))
    return found
