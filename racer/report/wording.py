"""Wording: numbers as a reader of psychology papers expects them, for the page and the terminal alike."""

from __future__ import annotations

from racer.report.statistics import Anova, Friedman, Interval, PairedDifference

UNDEFINED = "undefined (the differences do not vary)"


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
    """Return, for example, `p = 0.0123` or `p < .0001`."""
    if p is None:
        return "no p"
    return "p < .0001" if p < 0.0001 else f"p = {p:.4f}"


def p_number(p: float | None) -> str:
    """Return, for example, `0.0123` or `< .0001`; `-` where there is none."""
    return "-" if p is None else p_value(p).removeprefix("p ").removeprefix("= ")


def interval(value: Interval | None, places: int = 4, sign: str = "") -> str:
    """Return, for example, `[0.0191, 0.0275]`; `-` where there is none."""
    return "-" if value is None else f"[{value.low:{sign}.{places}f}, {value.high:{sign}.{places}f}]"


def anova_line(anova: Anova) -> str:
    """Return, for example, `F(2, 22) = 106.09, p < .0001`."""
    return f"F({anova.df_condition:.0f}, {anova.df_error:.0f}) = {statistic(anova.f)}, {p_value(anova.p)}"


def sphericity_line(anova: Anova) -> str:
    """Return the sphericity note of an analysis of variance."""
    if anova.f is None:
        return ""
    if len(anova.conditions) == 2:
        return "With two conditions sphericity holds by itself: epsilon is 1 and nothing needs correcting."
    corrected = f"Greenhouse-Geisser epsilon = {number(anova.epsilon, 3)}, corrected {p_value(anova.p_corrected)}"
    if anova.mauchly_w is None:
        return f"{corrected}. Mauchly's test cannot be made of these data; use the corrected p."
    tested = f"Mauchly's W = {anova.mauchly_w:.3f}, chi2({anova.mauchly_df}) = {number(anova.mauchly_chi2, 2)}"
    advice = (
        "sphericity is violated: use the corrected p"
        if anova.mauchly_p is not None and anova.mauchly_p < 0.05
        else "no violation of sphericity was found, which in a small sample proves little"
    )
    return f"{tested}, {p_value(anova.mauchly_p)}; {corrected}. At the 5 % level {advice}."


def paired_line(pair: PairedDifference) -> str:
    """Return, for example, `paired t(11) = 10.44, p < .0001`."""
    return f"paired t({pair.df}) = {statistic(pair.t)}, {p_value(pair.p)}"


def wilcoxon_line(pair: PairedDifference) -> str:
    """Return, for example, `W = 0.0, p = 0.0005`."""
    return "-" if pair.wilcoxon is None else f"W = {pair.wilcoxon:g}, {p_value(pair.wilcoxon_p)}"


def friedman_line(test: Friedman) -> str:
    """Return, for example, `chi2(2) = 20.31, p < .0001, Kendall's W = 0.85`."""
    return f"chi2({test.df}) = {test.chi2:.2f}, {p_value(test.p)}, Kendall's W = {test.kendall_w:.2f}"
