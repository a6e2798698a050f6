"""Caveats: what a reader must know before believing a number of this study."""

from __future__ import annotations

from collections import Counter

from racer.report.study import StudyReport

_FEWEST_FOR_WILCOXON = 6
"""With fewer participants the smallest two-sided p of the exact test, 2 / 2^n, exceeds 0.05."""


def caveats(report: StudyReport) -> list[str]:
    """Return the study's caveats, one sentence or two each, the most important first."""
    people, shown = len(report.participants), {mean.condition for mean in report.conditions}
    found = []
    if report.simulated:
        found.append(
            "The participants are simulated: programs that act on the picture shown to them. "
            "Nothing on this page is evidence about people."
        )
    if people == 1:
        found.append("There is one participant: no standard errors, no intervals and no tests.")
    elif people < _FEWEST_FOR_WILCOXON:
        found.append(
            f"There are only {people} participants: intervals are unreliable, "
            "and the Wilcoxon test cannot give a p below 0.05."
        )
    if "pico" not in shown:
        found.append("Condition pico was not shown: there is no scatter plot, and nothing is said about pico.")
    elif "random" not in shown:
        found.append("Condition random was not shown: pico has no baseline to be compared with.")
    if "full" not in shown:
        left_out = "the gap to full" + " and the agreement of actions with it are" * (report.reference == "full")
        found.append(f"Condition full was not shown: {left_out}{' is' * (report.reference != 'full')} left out.")
    if people > 1 and len(shown) > 1 and not _balanced(report):
        found.append(
            "The order of conditions is not balanced over these participants: learning and fatigue may add to the "
            "differences between conditions. See Learning."
        )
    if len({mean.version for mean in report.by_version}) > 1:
        found.append(
            "The study was changed while it was under way, and participants of all its versions are analysed together. "
            "See Amendments."
        )
    counts = {score.episodes for score in report.scores}
    if len(counts) > 1:
        found.append(
            f"Participants have between {min(counts)} and {max(counts)} accepted episodes per condition; "
            "each participant's mean counts the same."
        )
    differing = [one.name for one in report.provenance if one.differs]
    if differing:
        found.append(f"The recordings do not all agree in: {', '.join(differing)}. See Versions.")
    return found


def _balanced(report: StudyReport) -> bool:
    """Return whether each condition stood in each place equally often, give or take one."""
    counts = Counter((score.condition, score.block) for score in report.scores)
    places = range(1, len(report.conditions) + 1)
    held = [counts[mean.condition, place] for mean in report.conditions for place in places]
    return max(held) - min(held) <= 1
