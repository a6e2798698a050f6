"""What the masks of a study of single pictures keep over budgets, by simulated people and held-out pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from compression.fitting.fitted import FittedModel
from compression.model.latent_model import LatentModel
from racer.errors import RacerError
from racer.loop.conditions import read_fitted
from racer.report.drawing import Illustration
from racer.report.recordings import Evaluations, section
from racer.tasks.registry import task_settings
from racer.tasks.task import Task

QUESTION = "question"
"""The setting that says what a task of single pictures asks."""


class NoBudgetsError(RacerError):
    """There is nothing to draw over budgets; the message says why."""


def asks(task: Task) -> bool:
    """Return whether a task's trials stand alone and it asks one of several questions."""
    return not task.spec.paced and QUESTION in task_settings(task)


def over_budgets(
    evaluations: Evaluations,
    masks: Sequence[Path],
    folder: Path | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> list[Illustration]:
    """Return agreement over bits, samples and, with masks for several questions, the task-by-task matrix.

    Args:
        evaluations: Of at least one participant.
        masks: Fitted files: the study's, and those of others to compare with.
        folder: Of the latent model; None for the one that comes with the task.
        progress: Told what is being done.

    Raises:
        NoBudgetsError: If the task is none that asks questions, or is not here.
        RacerError, CompressionError: If a mask cannot be used, or nobody can judge.
    """
    from racer.rates.judging import budgets
    from racer.recordings.models import NotHereError, find_model, find_task

    sitting = evaluations.people[0].sitting
    try:
        task = find_task(sitting.info.task, sitting.paths[0])
        model = find_model(sitting.info, folder)
    except NotHereError as error:
        raise NoBudgetsError(str(error)) from error
    if not asks(task):
        raise NoBudgetsError("the task asks no questions about single pictures")
    channel = section(sitting.info.config, "channel")
    bits, fill = channel.get("bits"), channel.get("fill")
    if not isinstance(bits, int) or fill not in ("prior", "hold"):
        raise NoBudgetsError("the recordings do not say how the channel was used")
    fitted = [read_fitted(path, model) for path in masks]
    return judged_figures(task, model, fitted, budgets(bits, model.sizes), fill, progress)


def judged_figures(
    task: Task,
    model: LatentModel,
    fitted: Sequence[FittedModel],
    slots: Sequence[int],
    fill: str,
    progress: Callable[[str], None] = lambda stage: None,
) -> list[Illustration]:
    """Return the figures of these masks at these budgets; see `racer.rates.judging.judge`.

    All questions are asked that a mask was trained for, and the task's own.
    """
    from racer.rates.judged_plot import draw_judged
    from racer.rates.judging import judge, judges, mask_rules

    rules = mask_rules(fitted, model.sizes)
    questions = tuple(dict.fromkeys([task_settings(task)[QUESTION], *(rule.asked for rule in rules if rule.asked)]))
    drivers = [name for each in fitted for name in each.record.drivers]
    judged = judge(task, questions, model, rules, slots, fill, judges(task, drivers), progress=progress)  # type: ignore[arg-type]
    return draw_judged(judged)
