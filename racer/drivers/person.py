"""One person fitted to recordings: a small JSON file that is a driver wherever there are drivers.

The file holds traits of the family `pursuit` in units that no pace changes (a reaction time in milliseconds, lapses per
second), or a recurrent clone; how well it predicts steps that it was not fitted to, and which predictive checks it
passed. It names nobody, but for the ids of the recordings that it came from. `racer.drivers.fitting` and
`racer.drivers.clone_fitting` make them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from disk.reading import read_plain
from racer.drivers.driver import Driver, DriverError
from racer.tasks.task import Task

if TYPE_CHECKING:
    from racer.drivers.families.pursuit import PursuitTraits

SUFFIX = ".json"
"""A driver's name that ends in it is such a file, written by `racer driver fit`."""
CLONE_SUFFIX = ".clone.json"
"""One that ends in this holds a recurrent clone."""
AGENT_SUFFIX = ".safetensors"
"""One that ends in this is a file of `racer agent train`."""
AGENT_FAMILY = "agent"
"""What an agent counts as whose file does not say whom it imitates."""
FITTED_FAMILY = "pursuit"
"""The family whose traits are fitted."""
CLONE_FAMILY = "pixel-policy"
"""The family by whose eyes clones see."""
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
    family_log_likelihood: float | None
    """Log-likelihood of the family before the fit, of the mean likelihood of people drawn from it. A clone has none."""
    frequencies_log_likelihood: float
    """Log-likelihood of guessing by how often each key was pressed."""
    families: dict[Text, float]
    """Log-likelihood, by family, of guessing by what its people press on the same frames, and how often the person then
    did what."""


class FittedFile(_Strict):
    """What every file of `racer driver fit` holds."""

    tasks: Annotated[tuple[Name, ...], Field(strict=False, min_length=1, max_length=10)]
    """Names of the tasks that it can do."""
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


class PersonFile(FittedFile):
    """A person of the family `pursuit`."""

    racer_person: Literal[1] = 1
    family: Literal["pursuit"] = "pursuit"
    traits: Traits
    reaction_low_ms: float
    """Reaction times that the recordings do not tell from the best (likelihood ratio, 95 %)."""
    reaction_high_ms: float


Row = Annotated[tuple[float, ...], Field(strict=False, min_length=1, max_length=200)]


class CloneFile(FittedFile):
    """A recurrent clone; see `racer.drivers.clone`. Numbers by the `F` features and `S` states of its network."""

    racer_clone: Literal[1] = 1
    eyes_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the network that it sees by."""
    reservoir: Annotated[int, Field(ge=0, le=2**32)]
    """Seed of the weights that are not fitted."""
    middle: Row
    """float[F]: of the features, taken off them."""
    spread: Annotated[tuple[Positive, ...], Field(strict=False, min_length=1, max_length=200)]
    """float[F]: what they are then divided by."""
    readout: Annotated[tuple[Row, ...], Field(strict=False, min_length=3, max_length=3)]
    """float[3, F + S + 4]: of each action, of features, states, the last action (one of three) and 1."""


_FILES: TypeAdapter[PersonFile | CloneFile] = TypeAdapter(PersonFile | CloneFile)


def is_clone(name: str) -> bool:
    """Return whether a driver's name is that of a file with a clone."""
    return name.endswith(CLONE_SUFFIX)


def fitted_family(name: str) -> str:
    """Return the family that the driver of a file counts as: whose decisions it has, or of a clone whose eyes.

    An agent counts as whom it learnt from, as its file says.
    """
    if name.endswith(AGENT_SUFFIX):
        from compression.fitting.fitted import drivers_of

        return next(iter(drivers_of(Path(name))), AGENT_FAMILY)
    return CLONE_FAMILY if is_clone(name) else FITTED_FAMILY


def is_fitted(name: str) -> bool:
    """Return whether a driver's name is that of a file."""
    return name.endswith((SUFFIX, AGENT_SUFFIX))


def read_fitted(path: Path) -> PersonFile | CloneFile:
    """Read a fitted person or clone, whatever the file is called.

    Raises:
        DriverError: If the file is none.
    """
    try:
        return _FILES.validate_json(read_plain(path, _MOST_BYTES))
    except FileNotFoundError as error:
        raise DriverError(f"there is no file {path}; make one with `racer driver fit`") from error
    except (OSError, ValueError, ValidationError) as error:
        raise DriverError(
            f"{path} was not made by `racer driver fit`, or is damaged; it was left as it is: fit it again"
        ) from error


def make_fitted(path: Path, task: Task, dice: int) -> Driver:
    """Return the fitted person, clone or agent, with dice of 0 or more.

    Raises:
        DriverError: If the file cannot be used, or the person cannot do this task.
    """
    if path.name.endswith(AGENT_SUFFIX):
        from racer.drivers.agent import make_agent

        return make_agent(path, task)
    from racer.drivers.families.pursuit import PURSUIT, Pursuit, eyes_for

    fitted, spec = read_fitted(path), task.spec
    if isinstance(fitted, CloneFile) != is_clone(path.name):  # by its name it is known whom it counts as
        kind = "holds a clone, and only a clone's" if isinstance(fitted, CloneFile) else "holds traits, and no such"
        raise DriverError(f"{path} {kind} name ends in {CLONE_SUFFIX}: name it as it was made")
    if spec.name not in fitted.tasks or spec.name not in PURSUIT.tasks:
        raise DriverError(f"{path} cannot do {spec.name}: it was fitted to {', '.join(fitted.tasks)[:200]}")
    if isinstance(fitted, PersonFile):
        return Pursuit(fitted.traits.at(spec.pace), dice, eyes_for(task))
    from racer.drivers.clone import Clone

    return Clone(fitted, spec.pace, dice, str(path))
