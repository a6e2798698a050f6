"""Going on after an interruption: which session is unfinished, what of it is done, and whether it may be continued."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sessions
from compression.fitting.fitted import FittedModel
from racer import __version__
from racer.errors import RacerError
from racer.sitting.agenda import Done
from racer.sitting.answers import declined
from racer.sitting.leases import Leases
from racer.sitting.protocol import EpisodePlan

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel
    from racer.sitting.start import StartConfig

_MUST_AGREE = {
    "protocol": "protocol",
    "task": "task",
    "channel": "use of the channel",
    "seed": "seed",
    "pace": "pace",
    "driver": "driver",
    "trial_run": "mark as a trial run",
    "keys": "keys",
    "study_settings_sha256": "study file",
    "channel_format": "packet format",
}
"""Settings of the stored configuration that an interruption must not change, by their name for people."""


class ResumeError(RacerError):
    """A session cannot be continued. Nothing was changed, and what was recorded is as it was."""


@dataclass(frozen=True)
class Earlier:
    """An unfinished sitting that can be continued."""

    session_id: str
    """Session id of its last recording."""
    participant: str
    order: int
    """Number of the participant's order of conditions."""
    done: Done
    driven: tuple[tuple[str, str, int], ...]
    """Phase, condition and seed of the accepted episodes, in order."""

    def check_plan(self, plans: Sequence[EpisodePlan]) -> None:
        """Raise ResumeError unless the accepted episodes are the first ones of the plan."""
        planned = tuple((plan.phase, plan.condition, plan.seed) for plan in plans)
        if planned[: len(self.driven)] != self.driven:
            raise ResumeError(
                f"the session of {self.participant} cannot be continued: its episodes are not those of this plan "
                "(other seeds or another order); nothing was changed: start a new session under another name"
            )


def unfinished(
    sittings: Sequence[sessions.Sitting], protocol: str | None, participant: str | None
) -> list[sessions.Sitting]:
    """Return the sittings that could be continued, oldest first: neither completed nor declined.

    Args:
        sittings: All sittings of a data folder.
        protocol: Only those of this protocol; None for any.
        participant: Only this one's; None for anybody's.
    """
    return [
        sitting
        for sitting in sittings
        if sitting.status != "complete"
        and protocol in (None, sitting.info.protocol)
        and participant in (None, sitting.info.participant)
        and not _declined(sitting)
    ]


def to_resume(
    sittings: Sequence[sessions.Sitting],
    protocol: str | None,
    participant: str | None,
    trial_run: bool,
    running: Collection[str],
) -> sessions.Sitting | None:
    """Return the unfinished sitting that is meant: the latest of those that may be resumed, or else of all.

    Args:
        sittings: All sittings of a data folder.
        protocol: Only those of this protocol; None for any.
        participant: Only this one's; None for anybody's.
        trial_run: Whether one is meant.
        running: Ids of the sessions that still run.
    """
    found = unfinished(sittings, protocol, participant)
    found = [sitting for sitting in found if sitting.info.trial_run == trial_run] or found
    found = [sitting for sitting in found if sitting.infos[-1].session_id not in running] or found
    return max(found, key=lambda sitting: sitting.infos[-1].created_utc, default=None)


def running_sessions(data: Path) -> frozenset[str]:
    """Return the ids of the sessions that are recorded into a folder right now, on whatever desk."""
    return frozenset(lease.session_id for lease in Leases(data).live())


def find_earlier(
    config: StartConfig, settings: dict[str, Any], model: LatentModel, fitted: dict[str, FittedModel]
) -> Earlier:
    """Return the unfinished sitting that `--resume` means: the participant's, or the latest of all.

    Args:
        config: The sitting to continue it with.
        settings: Its resolved configuration.
        model: Its weights.
        fitted: What was fitted for it, by condition.

    Raises:
        ResumeError: If there is none, it still runs, or it was begun with other weights, masks, settings or versions.
        RecordingError: If the folder or the recording cannot be read.
    """
    protocol = config.protocol.protocol
    running = running_sessions(config.data)
    sittings, _ = sessions.find_sittings(sessions.find_recordings(config.data))
    sitting = to_resume(sittings, protocol, config.participant, config.trial_run, running)
    if sitting is None:
        whose = f" of {config.participant}" if config.participant else ""
        raise ResumeError(
            f"there is no unfinished {protocol} session{whose} in {config.data}; nothing was changed: "
            "leave out --resume to start a new one"
        )
    first, last = sitting.info, sitting.infos[-1]
    if last.session_id in running:
        raise ResumeError(f"the session of {first.participant} is still running; nothing was changed: wait for its end")
    if difference := _difference(first, settings, model, fitted):
        raise ResumeError(
            f"the session of {first.participant} cannot be continued: {difference}; nothing was changed: "
            "start it with what it was begun with, or start a new session under another name"
        )
    order = first.config.get("order")
    if not isinstance(order, int):
        raise ResumeError(
            f"the session of {first.participant} cannot be continued: it does not say which order of conditions it has"
        )
    driven: list[tuple[str, str, int]] = []
    answered: set[str] = set()
    for path in sitting.paths:
        with sessions.open(path) as session:
            answered |= {answer.item for answer in session.answers()}
            driven += [
                (episode.info.phase, episode.info.condition, episode.info.seed)
                for episode in session.episodes
                if episode.accepted
            ]
    return Earlier(last.session_id, first.participant, order, Done(len(driven), frozenset(answered)), tuple(driven))


def fitted_hashes(fitted: dict[str, FittedModel]) -> str:
    """Return the hashes of what was fitted as they are stored with a recording."""
    return " ".join(each.sha256 for each in fitted.values())


def _difference(
    begun: sessions.SessionInfo, settings: dict[str, Any], model: LatentModel, fitted: dict[str, FittedModel]
) -> str | None:
    """Return what is not as it was when the session was begun; None where all is."""
    if begun.software.get("racer") != __version__:
        return f"it was begun with Racer {begun.software.get('racer', '?')[:20]} and this is {__version__}"
    if begun.model_sha256 != model.sha256:
        return f"it was begun with other weights ({begun.model_sha256[:12]}, and these are {model.sha256[:12]})"
    if begun.fitted_sha256 != fitted_hashes(fitted):
        return "it was begun with another mask file"
    for key, name in _MUST_AGREE.items():
        then, now = begun.config.get(key), _plain(settings[key])
        if key == "trial_run" and then != now:
            return "it is a trial run: add --trial" if then else "it is not a trial run: leave out --trial"
        if then != now:
            while isinstance(then, dict) and isinstance(now, dict):
                key = next(key for key in {**now, **then} if then.get(key) != now.get(key))
                name, then, now = f"{name}, {key}", then.get(key), now.get(key)
            return f"it differs in {name} ({str(then)[:60]} then, {str(now)[:60]} now)"
    return None


def _plain(value: Any) -> Any:
    """Return a value as it comes back from JSON."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _declined(sitting: sessions.Sitting) -> bool:
    """Return whether the participant chose not to take part, or nobody can tell."""
    try:
        with sessions.open(sitting.paths[-1]) as session:
            return declined(session.answers())
    except sessions.RecordingError:
        return True
