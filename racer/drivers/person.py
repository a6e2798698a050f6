"""One person fitted to recordings: a small JSON file that is a driver wherever there are drivers.

The file holds traits of the family `pursuit` in units that no pace changes (a reaction time in milliseconds, lapses per
second), how well they predict steps that they were not fitted to, and which predictive checks they passed. It names
nobody, but for the ids of the recordings that it came from. `racer.drivers.fitting` makes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from disk.reading import read_plain
from racer.drivers.driver import Driver, DriverError
from racer.tasks.task import Task

if TYPE_CHECKING:
    from racer.drivers.families.pursuit import PursuitTraits

SUFFIX = ".json"
"""A driver's name that ends in it is such a file."""
FITTED_FAMILY = "pursuit"
"""The family whose traits are fitted."""
_MOST_BYTES = 100_000

Positive = Annotated[float, Field(gt=0, le=1000)]
Text = Annotated[str, Field(max_length=500)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Traits(_Strict):
    """What makes a person differ from another; see `racer.drivers.families.pursuit.PursuitTraits`.

    Only shares of the dead zone can be told from what somebody presses, so that is set, and what is weighed against it
    is in its measure.
    """

    reaction_ms: Annotated[float, Field(ge=0, le=2000)]
    """Time from seeing to pressing, milliseconds."""
    look_ahead: Annotated[float, Field(ge=4, le=40)]
    """Look-ahead distance, frame rows."""
    gain: Positive
    damping: Annotated[float, Field(ge=0, le=1000)]
    anticipation: Annotated[float, Field(ge=0, le=1000)]
    dead_zone: Positive
    noise: Annotated[float, Field(ge=0, le=10)]
    """Standard deviation of the noise of every look, radians."""
    lapses: Annotated[float, Field(ge=0, le=100)]
    """Lapses per second."""

    def at(self, pace: float) -> PursuitTraits:
        """Return them as steps of a pace, steps per second."""
        from racer.drivers.families.pursuit import PursuitTraits

        return PursuitTraits(
            look_ahead=self.look_ahead,
            gain=self.gain,
            damping=self.damping,
            anticipation=self.anticipation,
            dead_zone=self.dead_zone,
            noise=self.noise,
            delay=round(self.reaction_ms * pace / 1000),
            lapses=min(self.lapses / pace, 1.0),
        )


class PredictiveCheck(_Strict):
    """What fitted people do, driven again, beside what the person did."""

    name: Text
    unit: Text
    observed: float | None
    """What the person did; None where the recordings have none of it."""
    low: float | None
    """Least and most of the replicates."""
    high: float | None
    passed: bool | None
    """Whether the observed lies between them; None where it could not be checked."""


class HeldOut(_Strict):
    """How well held-out steps are predicted."""

    steps: Annotated[int, Field(ge=1)]
    log_likelihood: float
    """Log-likelihood per step, nats."""
    family_log_likelihood: float
    """Log-likelihood of the family before the fit: from the mean likelihood of people drawn from it."""
    frequencies_log_likelihood: float
    """Log-likelihood of guessing by how often each key was pressed."""
    families: dict[Text, float]
    """Log-likelihood, by family, of guessing by what its people press on the same frames, and how often the person then
    did what."""


class PersonFile(_Strict):
    """What `racer driver fit` writes."""

    racer_person: Literal[1] = 1
    family: Literal["pursuit"] = "pursuit"
    tasks: Annotated[tuple[Name, ...], Field(strict=False, min_length=1, max_length=10)]
    """Names of the tasks that it can do."""
    traits: Traits
    reaction_low_ms: float
    """Reaction times that the recordings do not tell from the best (likelihood ratio, 95 %)."""
    reaction_high_ms: float
    pace: Positive
    """Steps per second of the recordings."""
    episodes: Annotated[int, Field(ge=1)]
    """Episodes that it was fitted to."""
    steps: Annotated[int, Field(ge=1)]
    sessions: Annotated[tuple[Text, ...], Field(strict=False, max_length=1000)] = ()
    """Ids of the recordings that it was fitted to, so that whoever withdraws takes it along; of files made before this
    was kept, none."""
    of_a_person: bool
    """Whether somebody drove by keyboard, and no program."""
    held_out: HeldOut
    checks: Annotated[tuple[PredictiveCheck, ...], Field(strict=False, max_length=20)]
    human_like: bool
    """Whether it was fitted to a person and passed every check."""


def is_fitted(name: str) -> bool:
    """Return whether a driver's name is that of a file."""
    return name.endswith(SUFFIX)


def read_person(path: Path) -> PersonFile:
    """Read a fitted person.

    Raises:
        DriverError: If the file is none.
    """
    try:
        return PersonFile.model_validate_json(read_plain(path, _MOST_BYTES))
    except FileNotFoundError as error:
        raise DriverError(f"there is no file {path}; make one with `racer driver fit`") from error
    except (OSError, ValueError, ValidationError) as error:
        raise DriverError(
            f"{path} was not made by `racer driver fit`, or is damaged; it was left as it is: fit it again"
        ) from error


def make_fitted(path: Path, task: Task, dice: int) -> Driver:
    """Return the fitted person, with dice of 0 or more.

    Raises:
        DriverError: If the file cannot be used, or the person cannot do this task.
    """
    from racer.drivers.families.pursuit import PURSUIT, Pursuit, eyes_for

    person, spec = read_person(path), task.spec
    if spec.name not in person.tasks or spec.name not in PURSUIT.tasks:
        raise DriverError(f"{path} cannot do {spec.name}: it was fitted to {', '.join(person.tasks)[:200]}")
    return Pursuit(person.traits.at(spec.pace), dice, eyes_for(task))
