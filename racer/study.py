"""The evaluation of a folder of recordings: per condition, per participant, and the paper's tests."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sessions
from racer.conditions import CONDITIONS
from racer.drivers import KEYBOARD
from racer.errors import RacerError


class NothingToReportError(RacerError):
    """The folder holds no evaluation that can be analysed."""


@dataclass(frozen=True)
class ConditionMean:
    """One condition, averaged first within and then over participants."""

    condition: str
    participants: int
    progress: float
    """Road progress, in [0, 1]."""
    progress_se: float | None
    """Its standard error over participants; None for a single one."""
    off_road: float
    """Fraction of steps off the road."""
    off_road_se: float | None


@dataclass(frozen=True)
class Anova:
    """One-way repeated-measures analysis of variance."""

    conditions: tuple[str, ...]
    f: float | None
    """None where the conditions differ by the same amount for all participants."""
    df_condition: float
    df_error: float
    p: float | None


@dataclass(frozen=True)
class PairedDifference:
    """Road progress of one condition less that of another, over participants."""

    minuend: str
    subtrahend: str
    mean: float
    se: float | None
    t: float | None
    """Of the paired t-test; None where all participants differ by the same amount."""
    df: int
    p: float | None
    """Two-sided."""


@dataclass(frozen=True)
class StudyReport:
    """What a folder of evaluation sessions shows."""

    simulated: bool
    """Whether any participant was simulated."""
    participants: tuple[str, ...]
    conditions: list[ConditionMean]
    gap_closed: float | None
    """(pico - random) / (full - random) in road progress; None where a condition is missing."""
    difference: PairedDifference | None
    """`pico` less `random`."""
    anova: list[Anova]
    """`random` against `pico`, as in the paper, and all conditions."""
    excluded: dict[str, str] = field(default_factory=dict)
    """Files left out, and why."""


_NO_VARIATION = 1e-12
"""Differences that vary less than this do not vary."""


@dataclass
class _Scores:
    """Episode scores of one participant, by condition."""

    progress: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    off_road: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    path: str = ""


def report_study(folder: Path) -> StudyReport:
    """Analyse the complete evaluation sessions in a folder.

    Left out, with the reason: other protocols, trial runs, sessions that were not completed, a participant's second
    session, sessions that differ from the first in more than participant, tracks and order (other weights, mask,
    driver, channel, handling, numbers of steps or episodes), and files that cannot be read.

    Raises:
        NothingToReportError: If nothing is left.
    """
    scores, excluded, simulated = _read(folder)
    if not scores:
        reasons = "; ".join(sorted(set(excluded.values()))) or "no recordings"
        raise NothingToReportError(
            f"no complete evaluation session in {folder} ({reasons}); record one with "
            f"`racer session start NAME --protocol evaluation --data {folder}`"
        )
    conditions = sorted(next(iter(scores.values())).progress, key=list(CONDITIONS).index)
    for name, person in list(scores.items()):
        if set(person.progress) != set(conditions):
            excluded[person.path] = "its conditions are not those of the first session"
            del scores[name]
    progress = _table({name: person.progress for name, person in scores.items()}, conditions)
    off_road = _table({name: person.off_road for name, person in scores.items()}, conditions)
    means = [
        ConditionMean(condition, len(scores), *_mean_se(progress[:, i]), *_mean_se(off_road[:, i]))
        for i, condition in enumerate(conditions)
    ]
    column = {condition: progress[:, i] for i, condition in enumerate(conditions)}
    gap = None
    if {"random", "pico", "full"} <= set(conditions):
        whole = column["full"].mean() - column["random"].mean()
        gap = float((column["pico"].mean() - column["random"].mean()) / whole) if whole else None
    paired = {"random", "pico"} <= set(conditions) and len(scores) > 1
    anova = []
    if paired:
        anova.append(_anova({name: column[name] for name in ("random", "pico")}))
        if len(conditions) > 2:
            anova.append(_anova(column))
    return StudyReport(
        simulated=simulated,
        participants=tuple(scores),
        conditions=means,
        gap_closed=gap,
        difference=_paired("pico", "random", column["pico"] - column["random"]) if paired else None,
        anova=anova,
        excluded=excluded,
    )


def _read(folder: Path) -> tuple[dict[str, _Scores], dict[str, str], bool]:
    scores: dict[str, _Scores] = {}
    excluded: dict[str, str] = {}
    simulated = False
    first: dict[str, Any] = {}
    for path in sessions.find_recordings(folder):
        try:
            with sessions.open(path) as session:
                info = session.info
                settings = _settings(info)
                if reason := _reason_to_exclude(session, scores, settings, first):
                    excluded[str(path)] = reason
                    continue
                person = _Scores(path=str(path))
                for episode in session.episodes:
                    known = episode.info.condition in CONDITIONS
                    if (
                        episode.info.phase == "evaluation"
                        and episode.status == "complete"
                        and episode.n_steps
                        and known
                    ):
                        person.progress[episode.info.condition].append(float(episode.progress[-1]))
                        person.off_road[episode.info.condition].append(float(episode.off_road.mean()))
                if not person.progress:
                    excluded[str(path)] = "it has no evaluation episode"
                    continue
                first = first or settings
                simulated |= info.driver != KEYBOARD
                scores[info.participant] = person
        except sessions.RecordingError as error:
            excluded[str(path)] = str(error)
    return scores, excluded, simulated


def _settings(info: sessions.SessionInfo) -> dict[str, Any]:
    """Return what must be alike in all sessions of one analysis, by its name for people."""
    config = info.config
    protocol = config.get("protocol")
    protocol = protocol if isinstance(protocol, dict) else {}
    conditions = protocol.get("conditions")
    return {
        "codec weights": info.codec_sha256,
        "packet format": config.get("channel_format"),
        "mask": info.mask_sha256,
        "kind of driver": info.driver == KEYBOARD,
        "use of the channel": config.get("channel"),
        "handling or speed": config.get("track"),
        "steps per episode": protocol.get("steps"),
        "episodes per condition": protocol.get("evaluation"),
        "set of conditions": sorted(map(str, conditions)) if isinstance(conditions, list) else None,
    }


def _reason_to_exclude(
    session: sessions.Session, scores: dict[str, _Scores], settings: dict[str, Any], first: dict[str, Any]
) -> str | None:
    info = session.info
    if info.protocol != "evaluation":
        return f"protocol {info.protocol}"
    if info.pilot:
        return "a trial run (--pilot)"
    if session.status != "complete":
        return f"not completed ({session.status})"
    if info.participant in scores:
        return "a second session of the same participant"
    for name, value in first.items():
        if settings[name] != value:
            return f"another {name} than in the first session"
    return None


def _table(scores: dict[str, dict[str, list[float]]], conditions: list[str]) -> NDArray[np.float64]:
    """Return each participant's mean per condition, float64[participants, conditions]."""
    return np.array([[np.mean(person[condition]) for condition in conditions] for person in scores.values()])


def _mean_se(values: NDArray[np.float64]) -> tuple[float, float | None]:
    se = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return float(values.mean()), se


def _paired(minuend: str, subtrahend: str, differences: NDArray[np.float64]) -> PairedDifference:
    from scipy import stats

    mean, se = _mean_se(differences)
    t = p = None
    if np.ptp(differences) > _NO_VARIATION:
        test = stats.ttest_1samp(differences, 0.0)
        t, p = float(test.statistic), float(test.pvalue)
    return PairedDifference(minuend, subtrahend, mean, se, t, len(differences) - 1, p)


def _anova(columns: dict[str, NDArray[np.float64]]) -> Anova:
    import pandas as pd
    from statsmodels.stats.anova import AnovaRM

    names = tuple(columns)
    differences = np.stack([columns[name] - columns[names[0]] for name in names[1:]])
    if np.ptp(differences, axis=1).max() <= _NO_VARIATION:
        subjects = len(columns[names[0]])
        return Anova(names, None, len(names) - 1, (len(names) - 1) * (subjects - 1), None)
    rows = [
        {"participant": index, "condition": condition, "progress": value}
        for condition, values in columns.items()
        for index, value in enumerate(values)
    ]
    table = AnovaRM(pd.DataFrame(rows), "progress", "participant", within=["condition"]).fit().anova_table
    row = table.iloc[0]
    return Anova(names, float(row["F Value"]), float(row["Num DF"]), float(row["Den DF"]), float(row["Pr > F"]))
