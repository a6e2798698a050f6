"""The table that `racer rates` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from racer.rates.bits_needed import LeastBits
    from racer.rates.curves import Curve
    from racer.rates.families import WorstFamily
    from racer.rates.resampling import Estimate
    from racer.rates.sweep import Sweep, SweepResult
    from racer.rates.write import Written
    from racer.tasks.task import Metric


def print_rates(sweep: Sweep, driven: SweepResult, written: Written, out: Path) -> None:
    """Print what a finished sweep came to, coder by coder, and what to look at next."""
    from racer.rates.curves import ANCHOR
    from racer.rates.plot import figure_name
    from racer.report.wording import direction, heading

    metrics = sweep.spec.compared
    headings = "  ".join(heading(metric) for metric in metrics)
    for place in dict.fromkeys(curve.place for curve in written.curves):
        for noise in dict.fromkeys(curve.noise for curve in written.curves):
            print(f"\n{place}, {noise}")
            shares = "".join(f"  {share + ' of raw':>14}  {share + ' normalised':>15}" for share in ("95 %", "99 %"))
            whole = f"  {'finished':>8}" * _whole(sweep)
            same = f"  {'same action':>11}" * sweep.plan.config.shadow
            print(f"{'':16}{headings}{whole}{same}  {'of raw':>8}  {'normalised':>24}{shares}  bits against {ANCHOR}")
            for curve in written.curves:
                if (curve.place, curve.noise) == (place, noise):
                    print(_row(curve, metrics, _whole(sweep)))
    print("\n" + "; ".join(f"{metric.title}: {direction(metric)}" for metric in metrics))
    if all(point.of_raw is None for curve in written.curves for point in curve.points):
        print(f"there are no shares of raw: {metrics[0].title} has no worst value, or nobody gets beyond it")
    print("normalised: from who sees nothing (0 %) to who sees the original frames (100 %)")
    soft = sorted(sweep.grid.soft)
    if soft:
        print(f"* exceeds the slot: {', '.join(soft)}")
    print(f"every action costs {sweep.uplink_bits} bits on its way back, whatever the coder{_late(sweep)}")
    if written.worst:
        _print_worst(written.worst)
    kept = len(driven.scores) - driven.driven
    print(f"\nDrove {driven.driven} cells" + f"; {kept} were there already" * bool(kept))
    if driven.damaged and driven.driven:
        print(f"damaged lines in the results file: {driven.damaged}; their cells were driven again")
    print(f"Wrote {', '.join(path.name for path in written.files)} to {out}")
    print(f"Next: look at {out / figure_name(metrics[0])}.png")


def _late(sweep: Sweep) -> str:
    """Return what senders learn of the actions where that is less than all at once."""
    config = sweep.plan.config
    if config.action_loss == 1:
        return "; senders are told of none"
    late = f"{config.action_delay} step{'s' * (config.action_delay > 1)} late" if config.action_delay else ""
    lost = f"{100 * config.action_loss:g} % never" if config.action_loss else ""
    told = ", ".join(filter(None, (late, lost)))
    return f"; senders learn of it {told}" if told else ""


def _whole(sweep: Sweep) -> bool:
    """Return whether there was time for whole trials."""
    return 0 < sweep.spec.whole_steps <= sweep.plan.config.steps


def _row(curve: Curve, metrics: Sequence[Metric], whole: bool) -> str:
    """Return a line of the table: a coder at its most bits, and what it needs."""
    from racer.report.wording import amount, heading, percent

    last = curve.points[-1]
    name = curve.coder + "*" * last.soft + "+" * (curve.held_out is False)
    pairs = zip(curve.least_bits, curve.least_bits_normalised, strict=True)
    least = "".join(f"  {_least(of_raw):>14}  {_least(normalised):>15}" for of_raw, normalised in pairs)
    shown = "  ".join(
        f"{amount(metric, last.metrics[metric.name].value):>{len(heading(metric))}}" for metric in metrics
    )
    of_raw = percent(last.of_raw.value if last.of_raw else None)
    if whole and last.finished is not None:
        shown += f"  {percent(last.finished.value):>8}"
    if last.agreement is not None:
        shown += f"  {percent(last.agreement.value):>11}"
    line = f"{name:<16}{shown}  {of_raw:>8}  {_share(last.normalised):>24}{least}"
    difference = curve.difference
    if difference is None:
        return line.rstrip()
    if difference.percent is None:
        return f"{line}  - ({difference.reason})"
    interval = difference.interval
    ends = " (no interval)" if interval is None else f" [{interval.low:+.0f}, {interval.high:+.0f}]"
    return f"{line}  {difference.percent:+.0f} %{ends}"


def _share(estimate: Estimate | None) -> str:
    """Return a share with its interval, such as `98.1 % [97.0, 99.2]`."""
    from racer.report.wording import percent

    if estimate is None:
        return "-"
    ends = estimate.interval
    told = "" if ends is None else f" [{100 * ends.low:.1f}, {100 * ends.high:.1f}]"
    return percent(estimate.value) + told


def _print_worst(worst: Sequence[WorstFamily]) -> None:
    from racer.report.wording import p_value

    def shown(p: float | None) -> str:
        return "-" if p is None else p_value(p)

    print("\nworst family, normalised, of those that the coder was not fitted on")
    for each in worst:
        kept = each.kept
        within = f"within {100 * kept.margin:g} %: {shown(kept.p)}, by flips {shown(kept.p_flip)}" if kept else ""
        place = ", ".join(filter(None, (str(each.settings), "" if each.noise.kind == "none" else str(each.noise))))
        bits = f"{each.bits} bits" if each.bits else ""
        mark = {True: "", False: " (fitted on it)", None: " (fitted on?)"}[each.held_out]
        row = f"{place:<16}  {each.coder:<16}{bits:>9}  {_share(each.normalised):>24}  {each.driver + mark:<26}"
        print(f"{row}  {within}".rstrip())


def _least(least: LeastBits) -> str:
    """Return how many bits suffice, such as `5 [3, 12]`."""
    if least.bits is None:
        return "-"
    ends = "" if least.low is None else f" [{least.low:.4g}, {'-' if least.high is None else f'{least.high:.4g}'}]"
    return f"{least.bits:.4g}{ends}"
