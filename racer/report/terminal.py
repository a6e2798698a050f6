"""The report's short form, for a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from racer.recordings.listing import escape
from racer.report import wording
from racer.report.promises import outcome_lines, promise_lines
from racer.report.study import StudyReport


def print_report(report: StudyReport) -> None:
    """Print the analysis of a study."""
    # Wide enough for every row: a table that is cut off or folded can neither be read nor searched.
    console = Console(width=10_000, highlight=False)
    who = "participant" if len(report.participants) == 1 else "participants"
    who += ", simulated" if report.simulated else ""
    console.print(f"{len(report.participants)} {who}: {escape(', '.join(report.participants))}")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("condition")
    for metric in report.compared:
        table.add_column(escape(wording.heading(metric)))
        table.add_column("SE")
    for mean in report.conditions:
        cells = [
            wording.amount(metric, number)
            for metric in report.compared
            for number in (mean.metrics[metric.name].value, mean.metrics[metric.name].se)
        ]
        table.add_row(escape(mean.condition), *cells)
    console.print(table)
    console.print(escape("; ".join(f"{metric.title}: {wording.direction(metric)}" for metric in report.compared)))
    if lines := outcome_lines(report):
        console.print("\nPrimary outcome")
        for line in (*lines, *(promise_lines(report.promise) if report.promise else [])):
            console.print(f"  {escape(line)}")
        console.print("\nExplored")
    if (pair := report.difference) is not None:
        metric = report.primary
        difference, se = wording.amount(metric, pair.mean, "+"), wording.amount(metric, pair.se)
        of = f"{wording.unit_of_difference(metric)} of {metric.title}".strip()
        tested = "" if report.simulated else f", {wording.paired_line(pair)}"
        console.print(escape(f"{pair.minuend} - {pair.subtrahend}: {difference} (SE {se}) {of}{tested}"))
        interval, dz = wording.metric_interval(metric, pair.interval, "+"), wording.number(pair.dz, 2)
        tested = "" if report.simulated else f", Wilcoxon {wording.wilcoxon_line(pair)}"
        console.print(escape(f"  95 % interval {interval}, Cohen's dz {dz}{tested}"))
    if report.gap_closed is not None:
        console.print(f"pico closes {wording.percent(report.gap_closed, 0)} of the gap between random and full")
    for anova in [] if report.simulated else report.anova:
        console.print(f"RM-ANOVA, {' / '.join(anova.conditions)}: {wording.anova_line(anova)}")
        if anova.epsilon is not None and len(anova.conditions) > 2:
            console.print(f"  {escape(wording.sphericity_line(anova))}")
    if report.friedman is not None and not report.simulated:
        console.print(f"Friedman, all conditions: {wording.friedman_line(report.friedman)}")
    for each in report.agreement if not report.task.paced else ():
        se = f" (SE {100 * each.equal_se:.1f})" if each.equal_se is not None else ""
        console.print(f"{escape(each.condition)}: {100 * each.equal:.1f} %{se} of answers as under {report.reference}")
    for line in (*wording.attention_lines(report.attention), *wording.probe_lines(report.probed)):
        console.print(escape(line))
    for number, amendment in enumerate(report.amendments, 1):
        changes = "; ".join(map(str, amendment.difference))
        console.print(escape(f"amendment {number}, {amendment.day}: {changes} ({amendment.reason})"))
    for version in report.by_version:
        value = wording.measure(report.primary, version.value)
        who = wording.counted(version.participants, "participant")
        console.print(escape(f"  after {version.version}: {version.condition} {value} ({who})"))
    if len(report.participants) < 2:
        console.print("One participant: no standard errors and no tests.")
    for path, reason in report.excluded.items():
        console.print(f"left out {escape(path)}: {escape(reason)}")
