"""Figures of what was judged: agreement over bits, samples beside their originals, and the task-by-task matrix."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from racer.rates.judging import SAMPLES, Agreed, Judged, Sampled
from racer.report.drawing import FAINT, INK, FigurePoint, Illustration, Parts, canvas, colour_of, marker_of, render
from racer.report.statistics import bootstrap
from racer.report.wording import counted, percent
from racer.training.sheets import GAP, png_of, tiled

AGREEMENT, PICTURES, MATRIX = "agreement_over_budgets", "samples", "task_matrix"
JUDGED = (AGREEMENT, PICTURES, MATRIX)
"""Names of the figures."""
_HEADER = ("question", "rule", "slot", "bits", "people", "pictures", "agreement", "low", "high", "paper_bits")
_MOST_SLOTS = 4
"""Budgets that samples and matrices are drawn for."""


def draw_judged(judged: Judged) -> list[Illustration]:
    """Return every figure that there are numbers for."""
    drawn = [_agreement(judged), _samples(judged)]
    if len(judged.questions) > 1 and len({row.asked for row in judged.rows if row.asked}) > 1:
        drawn.append(_matrix(judged))
    return drawn


def agreement_lines(agreement: Illustration) -> Iterator[str]:
    """Yield the numbers of the figure of agreement, a line for each question and rule.

    In brackets stands the paper's rate, which no packet takes.
    """
    column = {name: number for number, name in enumerate(agreement.header)}
    lines: dict[str, list[str]] = {}
    for row in agreement.rows:
        question, rule, bits, share, paper = (
            row[column[name]] for name in ("question", "rule", "bits", "agreement", "paper_bits")
        )
        counted = f" ({paper:.0f})" if paper else ""
        lines.setdefault(f"asked {question}, {rule}", []).append(
            f"{percent(float(share or 0))} at {bits:.0f} bits{counted}"
        )
    yield from (f"{what}: {', '.join(points)}" for what, points in lines.items())


def _agreement(judged: Judged) -> Illustration:
    """Draw agreement over bits, a panel for each question (the paper's figures 3 to 5, on the right)."""
    parts = Parts()
    with canvas(0.8 + 4.2 * len(judged.questions), 4.0, len(judged.questions)) as (figure, panels):
        for axes, question in zip(panels, judged.questions, strict=True):
            axes.set_xscale("log", base=2)
            rows = [row for row in judged.rows if row.question == question]
            for rule in dict.fromkeys(row.rule for row in rows):
                own = [row for row in rows if row.rule == rule]
                ends = [_ends(row) for row in own]
                foreign = own[0].asked not in ("", question)
                points = axes.errorbar(
                    [row.bits for row in own],
                    [100 * value for value, _, _ in ends],
                    yerr=[
                        [100 * max(value - low, 0) for value, low, _ in ends],
                        [100 * max(high - value, 0) for value, _, high in ends],
                    ],
                    marker=marker_of(own[0].coder),
                    color=colour_of(own[0].coder),
                    markerfacecolor="#FFFFFF" if foreign or own[0].slot == 0 else colour_of(own[0].coder),
                    linestyle=":" if foreign else "-",
                    linewidth=1.3,
                    elinewidth=0.8,
                    capsize=2,
                    label=rule if not own[0].asked else f"{own[0].coder}, {'another' if foreign else 'own'} question",
                )
                parts.add_points(points, rule, [_mark(judged, row) for row in own])
            axes.set_title(f"asked: {question}")
            axes.set_xlabel("bits of a picture, mask included")
            axes.set_ylabel("agreement (%)")
            axes.set_ylim(None, 102)
            axes.grid(axis="y", color=FAINT, linewidth=0.4)
            axes.xaxis.set_major_formatter(lambda value, place: f"{value:g}")
        handles = {
            label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=4, fontsize=8.5)
        table = [
            (
                *(row.question, row.rule, row.slot, row.bits, len(row.people), judged.pictures, *_ends(row)),
                row.paper_bits,
            )
            for row in judged.rows
        ]
        alt = "Agreement over the bits of a picture. " + "; ".join(
            f"asked {row.question}, {row.rule}: {100 * row.value:.0f} % at {row.bits:.0f} bits" for row in judged.rows
        )
        return render(figure, AGREEMENT, alt, _HEADER, table, parts)


def _mark(judged: Judged, row: Agreed) -> FigurePoint:
    """Return what a point says, and the first picture with what its packet may stand for under that rule and slot."""
    value, low, high = (percent(end) for end in _ends(row))
    judges = counted(len(row.people), "judge")
    words = f"{row.rule}, asked {row.question}, {row.bits:.0f} bits: {value} [{low}, {high}], {judges}"
    sample = judged.samples[0]
    shown = sample.shown.get((row.rule, row.slot))
    return FigurePoint(words, b"" if shown is None else png_of([[sample.original, *shown]]))


def _samples(judged: Judged) -> Illustration:
    """Draw each picture beside what its packets may stand for (the paper's figures 3 to 5, on the left)."""
    slots = _slots(judged)
    rules = list(dict.fromkeys(rule for rule, _ in judged.samples[0].shown))
    height, width = judged.samples[0].original.shape[:2]
    across = 1 + SAMPLES * len(slots)
    tall = 0.55 + 6.6 * len(rules) * (height + GAP) / (across * (width + GAP))
    with canvas(7.6, 0.2 + tall * len(judged.samples), len(judged.samples), 1) as (figure, panels):
        for axes, sample in zip(panels, judged.samples, strict=True):
            axes.imshow(tiled([_row(sample, rule, slots) for rule in rules]))
            axes.set_yticks([number * (height + GAP) + height / 2 for number in range(len(rules))], rules)
            axes.set_xticks(
                [width / 2, *((1 + SAMPLES * (n + 0.5)) * (width + GAP) - GAP for n in range(len(slots)))],
                ["original", *(f"{slot} bits" for slot in slots)],
            )
            axes.tick_params(length=0, labelsize=9)
            axes.spines[:].set_visible(False)
        alt = (
            f"{len(judged.samples)} originals, each beside {SAMPLES} pictures that its packet may stand for, under "
            f"{', '.join(rules)}, at {', '.join(map(str, slots))} bits."
        )
        table = [(number, rule, slot) for number in range(len(judged.samples)) for rule in rules for slot in slots]
        return render(figure, PICTURES, alt, ("picture", "rule", "slot"), table)


def _row(sample: Sampled, rule: str, slots: list[int]) -> list[np.ndarray]:
    return [sample.original, *(frame for slot in slots for frame in sample.shown[rule, slot])]


def _matrix(judged: Judged) -> Illustration:
    """Draw what a mask trained for one question keeps of another, a panel for each budget (the paper's question 2)."""
    slots, trained = _slots(judged), _trained(judged)
    rows = {(row.question, row.rule, row.slot): row for row in judged.rows if row.asked}
    own = {
        row.rule: {other.asked: other.rule for other in judged.rows if other.coder == row.coder} for row in judged.rows
    }
    with canvas(1.6 + 1.6 * len(slots), 1.7 + 0.6 * len(trained), len(slots)) as (figure, panels):
        for axes, slot in zip(panels, slots, strict=True):
            shares = [[100 * rows[question, rule, slot].value for question in judged.questions] for rule in trained]
            axes.imshow(shares, cmap="cividis", vmin=0, vmax=100, aspect="auto")
            for down, line in enumerate(shares):
                for right, share in enumerate(line):
                    ink = "#FFFFFF" if share < 50 else "#000000"
                    axes.text(right, down, f"{share:.0f} %", ha="center", va="center", color=ink)
            axes.set_xticks(range(len(judged.questions)), judged.questions, rotation=30)
            axes.set_yticks(range(len(trained)), trained if slot == slots[0] else [""] * len(trained))
            axes.set_title(f"{slot} bits", color=INK)
        figure.supxlabel("asked", fontsize=9)
        table = []
        for (question, rule, slot), row in sorted(rows.items(), key=lambda item: (item[0][2], *item[0][:2])):
            ours = rows.get((question, own[rule].get(question, ""), slot))
            lost = bootstrap((ours.people - row.people)[:, None], lambda means: means[:, 0]) if ours else None
            gain = float((ours.people - row.people).mean()) if ours else None
            table.append((rule, question, slot, *_ends(row), gain, *((lost.low, lost.high) if lost else ("", ""))))
        alt = "Agreement under what was trained for one question and used for another. " + "; ".join(
            f"{rule}, asked {question}, {slot} bits: {100 * value:.0f} %" for rule, question, slot, value, *_ in table
        )
        header = ("trained", "asked", "slot", "agreement", "low", "high", "own_gains", "gain_low", "gain_high")
        return render(figure, MATRIX, alt, header, table)


def _trained(judged: Judged) -> list[str]:
    return list(dict.fromkeys(row.rule for row in judged.rows if row.asked))


def _slots(judged: Judged) -> list[int]:
    """Return the budgets to draw, which all rules can use: of many, some of them, the least and the most included."""
    rules: dict[str, set[int]] = {}
    for row in judged.rows:
        if row.slot:
            rules.setdefault(row.rule, set()).add(row.slot)
    slots = sorted(set.intersection(*rules.values()))
    chosen = np.unique(np.linspace(0, len(slots) - 1, min(len(slots), _MOST_SLOTS)).round().astype(int))
    return [slots[number] for number in chosen]


def _ends(row: Agreed) -> tuple[float, float, float]:
    interval = row.interval
    return (row.value, interval.low, interval.high) if interval else (row.value, row.value, row.value)
