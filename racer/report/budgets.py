"""What the masks of a study of single pictures keep over budgets, by simulated people and held-out pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from compression.coders.coder import find_coder
from compression.fill import FillName
from compression.fitting.fitted import FittedModel, objective_of
from compression.model.latent_model import LatentModel
from racer.errors import RacerError
from racer.loop.conditions import read_fitted
from racer.rates.grid import RatesConfig
from racer.rates.judged_plot import draw_judged
from racer.rates.judging import budgets, judge, judges, rules_for
from racer.recordings.models import NotHereError, find_model, find_task
from racer.report.drawing import Illustration
from racer.report.recordings import Evaluations, section
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task, task_settings
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
    sitting = evaluations.people[0].sitting
    try:
        task = find_task(sitting.info, sitting.paths[0])
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


def sweep_figures(config: RatesConfig, masks: Sequence[Path], folder: Path | None = None) -> list[Illustration]:
    """Return the same of a sweep's task, at its slots; nothing where nothing is asked. Raises as `over_budgets`."""
    task = make_task(config.task, config.settings[0].values)
    if not asks(task):
        return []
    model = load_task_model(task.spec, folder)
    return judged_figures(task, model, [read_fitted(path, model) for path in masks], config.bits, config.fill)


def first_of_each(masks: Sequence[Path]) -> list[Path]:
    """Return the first file of every kind: of masks for several questions, that whose mask a sweep itself uses."""
    kinds = {path: objective_of(path) for path in reversed(masks)}
    first = {kind: path for path, kind in kinds.items()}
    return [path for path in masks if kinds[path] is None or first[kinds[path]] == path]


def judged_figures(
    task: Task,
    model: LatentModel,
    fitted: Sequence[FittedModel],
    slots: Sequence[int],
    fill: FillName,
    progress: Callable[[str], None] = lambda stage: None,
) -> list[Illustration]:
    """Return the figures of these masks at these budgets; see `racer.rates.judging.judge`.

    All questions are asked that a mask was trained for, and the task's own.
    """
    knows_nothing = find_coder("coarse").read_shipped(model)
    rules = rules_for([*fitted, *([knows_nothing] if knows_nothing else [])], model.sizes)
    questions = tuple(dict.fromkeys([task_settings(task)[QUESTION], *(rule.asked for rule in rules if rule.asked)]))
    drivers = [name for each in fitted for name in each.record.drivers]
    drivers += model.tuning.drivers if model.tuning else ()
    judged = judge(task, questions, model, rules, slots, fill, judges(task, drivers), progress=progress)
    return draw_judged(judged)
