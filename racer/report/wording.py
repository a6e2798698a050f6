"""Wording: numbers as a reader of psychology papers expects them, for the page and the terminal alike."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from racer.report.behaviour import Attention
from racer.report.probes import Probed
from racer.report.statistics import Anova, Friedman, Interval, PairedDifference

if TYPE_CHECKING:
    from racer.report.answers import ItemTest

UNDEFINED = "undefined (the differences do not vary)"
FRACTION = "fraction"
"""Numbers of this unit are shown in percent."""
_HYPHEN = re.compile(r"(?<![\w.)-])-(?=\d)|(?<= )-(?= )")
"""A hyphen that stands for a minus: before a number, or by itself between two names."""


class Metric(Protocol):
    """What a metric says of itself: a task's, and a recording's."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def better(self) -> str: ...


def scale(metric: Metric) -> float:
    """Return what a metric's values are multiplied by where they are shown."""
    return 100.0 if metric.unit == FRACTION else 1.0


def unit(metric: Metric) -> str:
    """Return the unit in which a metric is shown."""
    return "%" if metric.unit == FRACTION else metric.unit


def unit_of_difference(metric: Metric) -> str:
    """Return the unit in which differences of a metric are shown."""
    return "percentage points" if metric.unit == FRACTION else metric.unit


def heading(metric: Metric, shown_in: str | None = None) -> str:
    """Return what stands above or beside a metric's numbers: `road progress (%)`."""
    named = unit(metric) if shown_in is None else shown_in
    return f"{metric.title} ({named})" if named else metric.title


def direction(metric: Metric) -> str:
    """Return which values are the good ones."""
    return f"{metric.better} is better"


def amount(metric: Metric, value: float | None, sign: str = "") -> str:
    """Return a metric's value, or a difference of two, without its unit; `-` where there is none."""
    if value is None:
        return "-"
    if metric.unit == FRACTION:
        return f"{100 * value:{sign}.2f}"
    places = 0 if abs(value) >= 1000 else 3 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:{sign}.{min(places, 6)}f}"


def measure(metric: Metric, value: float) -> str:
    """Return a metric's value with its unit."""
    return f"{amount(metric, value)} {unit(metric)}".rstrip()


def metric_interval(metric: Metric, value: Interval | None, sign: str = "") -> str:
    """Return, for example, `[1.91, 2.75]`; `-` where there is none."""
    return "-" if value is None else f"[{amount(metric, value.low, sign)}, {amount(metric, value.high, sign)}]"


def in_print(text: str) -> str:
    """Return a text of numbers as print has it, with minus signs; terminals, and what is read again, keep hyphens."""
    return _HYPHEN.sub("\N{MINUS SIGN}", text)


def counted(number: int, noun: str) -> str:
    """Return, for example, `1 feature` or `4 features`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def attention_lines(found: Sequence[Attention]) -> list[str]:
    """Return what catch trials and repeats say of each participant, a line each."""
    return [
        f"{each.participant}: {counted(each.catch, 'catch trial')}, {percent(each.caught, 0)} right; "
        f"{counted(each.repeats, 'repeat')}, {percent(each.alike, 0)} as before"
        for each in found
    ]


def probe_lines(found: Sequence[Probed]) -> list[str]:
    """Return what probes came to, a line for each condition."""
    lines = []
    for each in found:
        told = f"{each.condition}: of {counted(each.answers, 'probe')}, {percent(each.original)} of originals and "
        told += f"{percent(each.arrived)} of what arrived were answered by the action before"
        if each.difference is not None and (ends := each.difference.interval) is not None:
            told += f", difference {100 * each.difference.mean:+.1f} points"
            told += f" [{100 * ends.low:.1f}, {100 * ends.high:.1f}]"
        lines.append(f"{told} ({counted(each.participants, 'participant')})")
    return lines


def capitalised(text: str) -> str:
    """Return a text that begins a sentence."""
    return text[:1].upper() + text[1:]


def percent(value: float | None, places: int = 1) -> str:
    """Return a fraction as a percentage; `-` where there is none."""
    return "-" if value is None else f"{100 * value:.{places}f} %"


def number(value: float | None, places: int = 4) -> str:
    """Return a number; `-` where there is none."""
    return "-" if value is None else f"{value:.{places}f}"


def statistic(value: float | None) -> str:
    """Return a test statistic."""
    return UNDEFINED if value is None else f"{value:.2f}"


def p_value(p: float | None) -> str:
    """Return, for example, `p = 0.0123` or `p < 0.0001`."""
    if p is None:
        return "no p"
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"


def p_number(p: float | None) -> str:
    """Return, for example, `0.0123` or `< 0.0001`; `-` where there is none."""
    return "-" if p is None else p_value(p).removeprefix("p ").removeprefix("= ")


def anova_line(anova: Anova) -> str:
    """Return, for example, `F(2, 22) = 106.09, p < 0.0001`."""
    return f"F({anova.df_condition:.0f}, {anova.df_error:.0f}) = {statistic(anova.f)}, {p_value(anova.p)}"


def sphericity_line(anova: Anova) -> str:
    """Return the sphericity note of an analysis of variance."""
    if anova.f is None:
        return ""
    if len(anova.conditions) == 2:
        return "With two conditions sphericity holds by itself: epsilon is 1 and nothing needs correcting."
    corrected = f"Greenhouse-Geisser epsilon = {number(anova.epsilon, 3)}, corrected {p_value(anova.p_corrected)}"
    if anova.mauchly_w is None:
        return f"{corrected}. Mauchly's test cannot be run on these data; use the corrected p."
    tested = f"Mauchly's W = {anova.mauchly_w:.3f}, chi2({anova.mauchly_df}) = {number(anova.mauchly_chi2, 2)}"
    advice = (
        "sphericity is violated: use the corrected p"
        if anova.mauchly_p is not None and anova.mauchly_p < 0.05
        else "no violation of sphericity was found, which in a small sample proves little"
    )
    return f"{tested}, {p_value(anova.mauchly_p)}; {corrected}. At the 5 % level {advice}."


def paired_line(pair: PairedDifference) -> str:
    """Return, for example, `paired t(11) = 10.44, p < 0.0001`."""
    return f"paired t({pair.df}) = {statistic(pair.t)}, {p_value(pair.p)}"


def wilcoxon_line(pair: PairedDifference) -> str:
    """Return, for example, `W = 0.0, p = 0.0005`."""
    return "-" if pair.wilcoxon is None else f"W = {pair.wilcoxon:g}, {p_value(pair.wilcoxon_p)}"


def item_test(test: ItemTest) -> str:
    """Return a test of a questionnaire's item."""
    told = f"W = {test.statistic:g}" if test.df is None else f"chi2({test.df}) = {test.statistic:.2f}"
    return f"{told}, {p_value(test.p)}"


def friedman_line(test: Friedman) -> str:
    """Return, for example, `chi2(2) = 20.31, p < 0.0001, Kendall's W = 0.85`."""
    return f"chi2({test.df}) = {test.chi2:.2f}, {p_value(test.p)}, Kendall's W = {test.kendall_w:.2f}"
