"""Figures of a study's numbers; each returns None where the study has nothing for it to show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from racer.analysis import analysis
from racer.report import wording
from racer.report.answers import NO_CONDITION, ItemMean, when
from racer.report.behaviour import Agreement, LearningPoint
from racer.report.drawing import (
    FAINT,
    INK,
    FigurePoint,
    Illustration,
    Parts,
    canvas,
    colour_of,
    label,
    marker_of,
    render,
    spread,
)
from racer.report.strips import FilmStrips
from racer.report.study import Mean, StudyReport
from sessions import Metric
from sessions.export.cells import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS_ACROSS = 3
_MOST_LABELS = 40
"""More participants than these are drawn without their names."""
_MOST_WIDE = 10
"""Blocks that a row has room for in letters of full size."""
_MOST_ITEMS = 60
"""Items of questionnaires that are drawn; the page's table has them all."""


def draw_figures(report: StudyReport, film: FilmStrips | None = None) -> list[Illustration]:
    """Return every figure that the study has numbers for; points of what is in the film strips show frames of it."""
    drawn = (
        scatter(report),
        bars(report),
        participants(report, film),
        questionnaires(report.answers.ratings),
        blocks(report),
        agreement(report),
        agreement_by_bits(report),
        learning(report, "learning_by_episode", "number of the episode within its condition", report.by_episode),
        learning(report, "learning_by_place", "place of the condition in the sitting", report.by_place),
    )
    return [illustration for illustration in drawn if illustration is not None]


def scatter(report: StudyReport) -> Illustration | None:
    """Draw each participant's primary metric under `pico` against that under `random` (the paper's figure 6)."""
    if not {"random", "pico"} <= {mean.condition for mean in report.conditions}:
        return None
    ticker = analysis("matplotlib.ticker")

    metric = report.primary
    random, pico = report.column("random"), report.column("pico")
    across, up = _shown(metric, random), _shown(metric, pico)
    with canvas(4.4, 4.2) as (figure, (axes,)):
        low, high = min(across + up), max(across + up)
        margin = 0.08 * (high - low) or 0.02 * wording.scale(metric)
        limits = (low - margin, high + margin)
        axes.plot(limits, limits, color=INK, linewidth=1, linestyle="--", zorder=1)
        axes.text(limits[1], limits[1], "equal ", ha="right", va="bottom", fontsize=9, rotation=45, color=INK)
        points = axes.scatter(across, up, s=42, color=colour_of("pico"), edgecolor=INK, linewidth=0.7, zorder=2)
        parts = Parts()
        parts.add(
            points,
            "",
            [
                FigurePoint(
                    f"{who}: {metric.title} {wording.measure(metric, p)} under pico, {wording.measure(metric, r)} "
                    "under random"
                )
                for who, p, r in zip(report.participants, pico, random, strict=True)
            ],
        )
        name = wording.heading(metric)
        axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel=f"{name}, random", ylabel=f"{name}, pico")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(ticker.MaxNLocator(5))
        above = sum(p > r for p, r in zip(pico, random, strict=True))
        alt = (
            f"Scatter plot of {len(pico)} participants: {metric.title} under pico against {metric.title} under random. "
            f"{above} lie above the diagonal; {wording.direction(metric)}."
        )
        rows = list(zip(report.participants, random, pico, strict=True))
        return render(figure, "figure6_scatter", alt, ("participant", "random", "pico"), rows, parts)


def bars(report: StudyReport) -> Illustration:
    """Draw the means of all conditions with their standard errors, a panel for each metric (the paper's figure 6)."""
    metrics = report.compared
    across = min(len(metrics), _PANELS_ACROSS)
    with canvas(3.3 * max(across, 1.4), 3.6 * -(-len(metrics) // across), len(metrics), across) as (figure, panels):
        names, parts = [mean.condition for mean in report.conditions], Parts()
        for axes, metric in zip(panels, metrics, strict=True):
            means = [mean.metrics[metric.name] for mean in report.conditions]
            values = _shown(metric, [mean.value for mean in means])
            drawn = axes.bar(
                names, values, color=[colour_of(n) for n in names], edgecolor=INK, linewidth=0.7, width=0.7
            )
            for i, (value, mean) in enumerate(zip(values, means, strict=True)):
                parts.add(drawn[i], names[i], [_mark(names[i], metric, mean, report.conditions[i].participants)])
                if mean.se:
                    error = wording.scale(metric) * mean.se
                    parts.add_points(axes.errorbar(i, value, yerr=error, color=INK, capsize=4, linewidth=1.3), names[i])
            axes.set_ylabel(wording.heading(metric))
            axes.set_title(wording.direction(metric), fontsize=8.5)
            axes.tick_params(axis="x", labelrotation=30 if len(names) > 3 else 0)
            if min(values) >= 0:
                axes.set_ylim(bottom=0)
            else:
                axes.axhline(0, color=INK, linewidth=0.8)
        primary = report.primary
        alt = f"Bar chart with standard errors. {wording.capitalised(primary.title)}: " + "; ".join(
            f"{mean.condition} {wording.measure(primary, mean.metrics[primary.name].value)}"
            for mean in report.conditions
        )
        rows = [
            (m.condition, m.participants, *(number for mean in m.metrics.values() for number in (mean.value, mean.se)))
            for m in report.conditions
        ]
        columns = [name for metric in metrics for name in (metric.name, f"{metric.name}_se")]
        return render(figure, "figure6_bars", alt, ("condition", "participants", *columns), rows, parts)


def participants(report: StudyReport, film: FilmStrips | None = None) -> Illustration:
    """Draw one line per participant over the conditions: the primary metric."""
    metric = report.primary
    names = [mean.condition for mean in report.conditions]
    column = {name: _shown(metric, report.column(name)) for name in names}
    with canvas(6.6, 4.0) as (figure, (axes,)):
        parts = Parts()
        for i, who in enumerate(report.participants):
            values = [column[name][i] for name in names]
            (line,) = axes.plot(names, values, color=FAINT, linewidth=1.1, marker="o", markersize=3.5, zorder=1)
            seen = film.pictures if film is not None and film.participant == who else {}
            parts.add(
                line,
                "",
                [
                    FigurePoint(f"{who}, {name}: {metric.title} {wording.measure(metric, value)}", seen.get(name, b""))
                    for name, value in ((name, report.column(name)[i]) for name in names)
                ],
            )
        means = _shown(metric, [mean.metrics[metric.name].value for mean in report.conditions])
        axes.plot(names, means, color=INK, linewidth=2.2, zorder=2)
        for i, mean in enumerate(report.conditions):
            marker, colour = marker_of(names[i]), colour_of(names[i])
            (point,) = axes.plot(i, means[i], marker, color=colour, markeredgecolor=INK, markersize=9, zorder=3)
            parts.add(point, "", [_mark(names[i], metric, mean.metrics[metric.name], mean.participants)])
        axes.set_ylabel(wording.heading(metric))
        axes.set_xlim(-0.3, len(names) - 0.4)
        if len(report.participants) <= _MOST_LABELS:
            _name_lines(axes, report.participants, column[names[-1]], len(names) - 1)
        rows: list[tuple[Cell, ...]] = [
            (s.participant, s.condition, s.block, s.episodes, *s.metrics.values()) for s in report.scores
        ]
        alt = f"One line for each of {len(report.participants)} participants over {', '.join(names)}, and their mean."
        header = ("participant", "condition", "place_of_condition", "episodes", *(m.name for m in report.compared))
        return render(figure, "participants", alt, header, rows, parts)


def questionnaires(ratings: list[ItemMean]) -> Illustration | None:
    """Draw the mean of every rated item and condition with its standard error; scales of as many points share axes."""
    if not ratings:
        return None
    every = dict.fromkeys((rating.points, rating.phase, rating.questionnaire, rating.item) for rating in ratings)
    items = sorted(list(every)[:_MOST_ITEMS], key=lambda item: item[0])
    scales = {points: [item for item in items if item[0] == points] for points, *_ in items}
    heights = [len(rows) for rows in scales.values()]
    with canvas(6.6, 0.7 + 0.6 * len(scales) + 0.55 * len(items), rows=heights) as (figure, panels):
        conditions, parts = list(dict.fromkeys(rating.condition for rating in ratings)), Parts()
        for axes, (points, rows_of_scale) in zip(panels, scales.items(), strict=True):
            for row, condition in enumerate(conditions):
                _rated(axes, parts, ratings, condition, rows_of_scale, (row - (len(conditions) - 1) / 2) * 0.13)
            labels = [f"{label(name)}{when(phase)}: {label(item)}" for _, phase, name, item in rows_of_scale]
            axes.set_yticks(range(len(labels)), labels)
            axes.set_ylim(len(labels) - 0.5, -0.5)
            axes.set_xlim(0.7, points + 0.3)
            axes.set_xticks([1, *range(1 + max(points // 4, 1), points, max(points // 4, 1)), points])
            axes.set_xlabel(f"points chosen, of {points} (mean and standard error)")
            axes.grid(axis="x", color=FAINT, linewidth=0.4)
        handles = {name: each for axes in panels for each, name in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles, loc="outside upper left", ncols=6, fontsize=8.5, columnspacing=1.2)
        rows = [
            (r.phase, r.questionnaire, r.item, r.condition, r.participants, r.mean, r.se, r.points) for r in ratings
        ]
        header = ("phase", "questionnaire", "item", "condition", "participants", "mean", "se", "points")
        alt = f"Mean rating of {len(items)} questionnaire items under each condition, with standard errors."
        return render(figure, "questionnaires", alt, header, rows, parts)


def _rated(
    axes: Axes,
    parts: Parts,
    ratings: list[ItemMean],
    condition: str,
    items: list[tuple[int, str, str, str]],
    shift: float,
) -> None:
    """Draw a condition's means of items of one scale, each in its row, a little above or below its middle."""
    placed = [
        (rating, items.index(key) + shift)
        for rating in ratings
        if (key := (rating.points, rating.phase, rating.questionnaire, rating.item)) in items
        and rating.condition == condition
    ]
    if not placed:
        return
    own = [rating for rating, _ in placed]
    name = "start or end" if condition == NO_CONDITION else label(condition)
    points = axes.errorbar(
        [rating.mean for rating in own],
        [height for _, height in placed],
        xerr=[rating.se or 0.0 for rating in own],
        fmt=marker_of(condition),
        color=colour_of(condition),
        markeredgecolor=INK,
        ecolor=INK,
        linewidth=1.1,
        capsize=2.5,
        markersize=6,
        label=name,
    )
    told = [
        f"{name}, {label(r.item)}: mean {wording.number(r.mean, 2)} (SE {wording.number(r.se, 2)}), "
        f"{wording.counted(r.participants, 'participant')}"
        for r in own
    ]
    parts.add_points(points, name, list(map(FigurePoint, told)))


def blocks(report: StudyReport) -> Illustration | None:
    """Draw how often each block is sent under each condition."""
    if not report.blocks:
        return None
    with canvas(6.6, 1.2 + 0.42 * len(report.blocks)) as (figure, (axes,)):
        shares = [list(block.sent) for block in report.blocks]
        axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        size = 9 if report.task.blocks <= _MOST_WIDE else 6
        features = wording.counted(report.task.block_size, "feature")
        for row, sent in enumerate(shares):
            for number, share in enumerate(sent):
                ink = "#FFFFFF" if share < 0.5 else "#000000"
                axes.text(number, row, f"{100 * share:.0f} %", ha="center", va="center", color=ink, fontsize=size)
        axes.set_yticks(range(len(shares)), [block.condition for block in report.blocks])
        axes.set_xticks(range(len(shares[0])))
        axes.set_xlabel(f"block of {features} (block 0 carries most information)")
        rows = [(b.condition, number, share) for b in report.blocks for number, share in enumerate(b.sent)]
        alt = f"Share of the steps in which each of the {report.task.blocks} blocks is sent: " + "; ".join(
            f"{b.condition} {', '.join(f'{100 * share:.0f}%' for share in b.sent)}" for b in report.blocks
        )
        return render(figure, "blocks", alt, ("condition", "block", "sent"), rows)


def agreement(report: StudyReport) -> Illustration | None:
    """Draw how alike participants act under each condition and under `full`."""
    if not report.agreement:
        return None
    parts = Parts()
    with canvas(6.6, 3.2, 2) as (figure, panels):
        for row, found in enumerate(report.agreement):
            name = found.condition
            kappa = f"{name}: kappa {wording.number(found.kappa, 3)} (SE {wording.number(found.kappa_se, 3)})"
            shown = (
                (100 * found.equal, 100 * (found.equal_se or 0.0), _equal(found)),
                (found.kappa, found.kappa_se, kappa),
            )
            for axes, (mean, error, words) in zip(panels, shown, strict=True):
                if mean is not None:
                    drawn = axes.bar(row, mean, color=colour_of(name), edgecolor=INK, linewidth=0.7, width=0.6)
                    parts.add(drawn[0], name, [FigurePoint(words)])
                    points = axes.errorbar(row, mean, yerr=error or 0.0, color=INK, capsize=4, linewidth=1.3)
                    parts.add_points(points, name)
        for axes, scale in zip(
            panels, (f"equal {'actions' if report.task.paced else 'answers'} (%)", "Cohen's kappa"), strict=True
        ):
            axes.set_xticks(range(len(report.agreement)), [found.condition for found in report.agreement])
            axes.tick_params(axis="x", labelrotation=30 if len(report.agreement) > 3 else 0)
            axes.set_xlim(-0.7, len(report.agreement) - 0.3)
            axes.set_ylabel(scale)
            axes.axhline(0, color=INK, linewidth=0.8)
        rows = [
            (a.condition, a.participants, a.steps, a.equal, a.equal_se, a.kappa, a.kappa_se, a.kappa_participants)
            for a in report.agreement
        ]
        header = ("condition", "participants", "steps", "equal", "equal_se", "kappa", "kappa_se", "kappa_participants")
        alt = f"Agreement of actions with those under {report.reference}: " + "; ".join(
            f"{a.condition} {100 * a.equal:.0f} % equal" for a in report.agreement
        )
        return render(figure, "agreement", alt, header, rows, parts)


def agreement_by_bits(report: StudyReport) -> Illustration | None:
    """Draw how often pictures are answered as their originals were, over what they took to send."""
    if report.task.paced or not report.agreement:
        return None
    ceiling = [each.alike for each in report.attention if each.alike is not None]
    parts = Parts()
    with canvas(6.6, 3.6) as (figure, (axes,)):
        for found in report.agreement:
            points = axes.errorbar(
                [found.bits],
                [100 * found.equal],
                yerr=[100 * (found.equal_se or 0.0)],
                fmt=marker_of(found.condition),
                color=colour_of(found.condition),
                markeredgecolor=INK,
                ecolor=INK,
                linewidth=1.1,
                capsize=3,
                label=label(found.condition),
            )
            parts.add_points(points, found.condition, [FigurePoint(f"{_equal(found)} at {found.bits:.0f} bits")])
        if ceiling:
            axes.axhline(100 * sum(ceiling) / len(ceiling), color=INK, linewidth=0.9, linestyle=":", label="repeats")
        axes.axhline(100 / len(report.task.actions), color=FAINT, linewidth=0.9, label="chance")
        axes.set(xlabel="bits of a picture, all side information included", ylim=(0, 104), xlim=(0, None))
        axes.set_ylabel(f"answers as under {report.reference} (%)")
        figure.legend(loc="outside upper left", ncols=5, fontsize=9)
        rows = [
            (a.condition, a.bits, a.uplink_bits, a.participants, a.steps, a.equal, a.equal_se) for a in report.agreement
        ]
        header = ("condition", "bits", "uplink_bits", "participants", "pictures", "equal", "equal_se")
        alt = f"Share of answers as under {report.reference} over the bits of a picture: " + "; ".join(
            f"{a.condition} {100 * a.equal:.0f} % at {a.bits:.0f} bits" for a in report.agreement
        )
        return render(figure, "agreement_by_bits", alt, header, rows, parts)


def learning(report: StudyReport, name: str, place: str, points: Sequence[LearningPoint]) -> Illustration:
    """Draw the primary metric by a place in the sitting, one line per condition."""
    ticker = analysis("matplotlib.ticker")

    metric, parts = report.primary, Parts()
    with canvas(6.6, 3.4) as (figure, (axes,)):
        for condition in dict.fromkeys(point.condition for point in points):
            own = [point for point in points if point.condition == condition]
            drawn = axes.errorbar(
                [point.place for point in own],
                _shown(metric, [point.value for point in own]),
                yerr=_shown(metric, [point.se or 0.0 for point in own]),
                marker=marker_of(condition),
                color=colour_of(condition),
                linewidth=1.4,
                markersize=5,
                capsize=2,
                label=condition,
            )
            marks = [_mark(f"{condition}, {p.place}", metric, Mean(p.value, p.se), p.participants) for p in own]
            parts.add_points(drawn, condition, marks)
        axes.set(xlabel=place, ylabel=wording.heading(metric))
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        figure.legend(loc="outside upper left", ncols=5, fontsize=9)
        rows = [(p.condition, p.place, p.participants, p.value, p.se) for p in points]
        alt = f"{wording.capitalised(metric.title)} by the {place}, one line per condition, with standard errors."
        header = ("condition", "place", "participants", metric.name, f"{metric.name}_se")
        return render(figure, name, alt, header, rows, parts)


def _mark(name: str, metric: Metric, mean: Mean, participants: int) -> FigurePoint:
    """Return what a mean over participants says when it is pointed at."""
    error = "" if mean.se is None else f"SE {wording.amount(metric, mean.se)}, "
    people = wording.counted(participants, "participant")
    return FigurePoint(f"{name}: {metric.title} {wording.measure(metric, mean.value)} ({error}{people})")


def _equal(found: Agreement) -> str:
    error = "" if found.equal_se is None else f" (SE {wording.percent(found.equal_se)})"
    return f"{found.condition}: {wording.percent(found.equal)}{error} equal"


def _shown(metric: Metric, values: Sequence[float]) -> list[float]:
    """Return a metric's values in the unit in which it is shown."""
    return [wording.scale(metric) * value for value in values]


def _name_lines(axes: Axes, names: Sequence[str], ends: Sequence[float], x: float) -> None:
    """Write names beside the ends of their lines."""
    low, high = axes.get_ylim()
    order = sorted(range(len(names)), key=lambda i: ends[i])
    heights = spread([ends[i] for i in order], 0.034 * (high - low))
    for i, height in zip(order, heights, strict=True):
        axes.annotate(
            label(names[i], 16),
            (x, ends[i]),
            xytext=(x + 0.12, height),
            fontsize=7,
            va="center",
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.5},
        )
