"""What a report says of the primary outcome and of what was promised: sentences for the page and the terminal."""

from __future__ import annotations

from racer.report import wording
from racer.report.primary import PrimaryResult
from racer.report.study import StudyReport
from racer.study.preregistration import LEFT_OUT, Promise


def outcome_lines(report: StudyReport) -> list[str]:
    """Return the sentences on the primary outcome; none where there is nothing to compare."""
    result = report.outcome
    if result is None:
        if report.promise is None and len(report.conditions) < 2:
            return []
        return ["The primary outcome cannot be told: one of its conditions, or its metric, is not in these recordings."]
    outcome = result.outcome
    metric = next(metric for metric in report.compared if metric.name == outcome.metric)
    if report.promise is not None:
        where = "promised before anybody was evaluated"
        if report.promise.evaluated_before:
            where = f"written down after {report.promise.evaluated_before} had been evaluated, so no promise"
    else:
        where = "named in the study file" if result.declared else "by default; the study file names none"
    share = f"{100 * outcome.margin:g} % of {outcome.subtrahend}"
    asked = (
        f"lies within {share}"
        if outcome.claim == "keeps"
        else f"differs from {outcome.subtrahend}, and by {share} or more"
    )
    found = [f"Asked: whether {metric.title} under {outcome.minuend} {asked} ({where})."]
    pair = result.difference
    if pair is None:
        return [*found, "One participant: not tested."]
    interval = pair.studentised or pair.interval
    kind = "studentised" if pair.studentised else "percentile"
    effect = (
        f"{outcome.minuend} - {outcome.subtrahend}: {wording.amount(metric, pair.mean, '+')} "
        f"{wording.unit_of_difference(metric)}".rstrip()
    )
    effect += f" (95 % {kind} bootstrap interval {wording.metric_interval(metric, interval, '+')})"
    if result.share is not None:
        effect += f", {100 * result.share:+.1f} % of {outcome.subtrahend}"
    found.append(f"{effect}; Cohen's dz {wording.number(pair.dz, 2)}.")
    if report.simulated:
        # Their number is whatever one likes, and so is p.
        return [*found, "No test: p of simulated participants says how many were simulated."]
    return [*found, _verdict(result)]


def _verdict(result: PrimaryResult) -> str:
    pair, outcome = result.difference, result.outcome
    assert pair is not None
    if result.kept is not None:
        by_t, by_flips = wording.p_value(result.kept.p), wording.p_value(result.kept.p_flip)
        tests = f"two one-sided tests: {by_t}, by sign flips {by_flips}"
        return f"{'Shown' if result.shown else 'Not shown'} at the 5 % level ({tests})."
    tests = f"{wording.paired_line(pair)}, by sign flips {wording.p_value(pair.p_flip)}"
    if not result.shown:
        return f"No difference shown at the 5 % level ({tests}); that is no evidence that there is none."
    reached = result.share is not None and abs(result.share) >= outcome.margin
    size = "as large as what was said to matter, or larger" if reached else "smaller than what was said to matter"
    return f"They differ at the 5 % level ({tests}); the difference is {size}."


def promise_lines(promise: Promise | None) -> list[str]:
    """Return the sentences on what was promised: what was kept, and each thing that was changed by its name."""
    if promise is None:
        return ["Nothing was preregistered: all of this was explored."]
    found = [f"Preregistered {promise.written_utc}, file SHA-256 {promise.sha256}."]
    if promise.evaluated_before:
        people = "person" if promise.evaluated_before == 1 else "people"
        found.append(f"By then {promise.evaluated_before} {people} had been evaluated.")
    found += [
        f"Left out, as promised: {rule}."
        if rule in LEFT_OUT
        else f"Promised to be left out, which Racer cannot check: {rule.rstrip('.')}."
        for rule in promise.exclusions
    ]
    found.append(f"To stop: {promise.stopping.rstrip('.')}.")
    if promise.later:
        found.append(f"Still to be trained then, and so not promised: what was fitted for {', '.join(promise.later)}.")
    if not promise.changes:
        found.append("Nothing promised was changed.")
    found += [f"Changed: {each.item}: promised {each.promised}, found {each.found}." for each in promise.changes]
    return found
