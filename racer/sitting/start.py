"""One recorded sitting: resolve its configuration, take its place, open the record, drive, say how it went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import sessions
from compression.coders.packet import CHANNEL_FORMAT
from compression.fitting.fitted import FittedModel
from racer.drivers.driver import Driver, DriverError
from racer.drivers.keyboard import HeldKeys, check_bindings
from racer.drivers.registry import KEYBOARD, driver_seed
from racer.errors import ConfigError
from racer.loop.attended import EpisodeResult, Setup
from racer.loop.conditions import ChannelConfig, check_conditions
from racer.loop.display import Display, Page
from racer.loop.lockstep import Stepwise, alone
from racer.loop.pacing import Pacer, check_pace
from racer.loop.simulated_time import SimulatedClock, SimulatedDisplay
from racer.sitting.agenda import Screens, make_agenda, remaining
from racer.sitting.fitted import load_fitted, refuse_trainers
from racer.sitting.leases import Leases
from racer.sitting.markers import Markers, MarkersConfig
from racer.sitting.protocol import EpisodePlan, ProtocolConfig, balanced_rows, plan_episodes
from racer.sitting.resume import Earlier, find_earlier, fitted_hashes
from racer.sitting.run import SittingResult, SittingRun, SittingSetup
from racer.sitting.workstation import open_display, open_driver, require_display
from racer.software import software
from racer.tasks.latent_model import load_task_model
from racer.tasks.record import record_of
from racer.tasks.registry import make_task, task_settings
from racer.tasks.task import Task
from racer.window.lost_display import closing_first
from racer.window.texts import Language, english
from sessions.ledger import note_recorded
from sessions.maintenance.withdrawn import note_given
from sessions.names import PREFIXES

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel


@dataclass(frozen=True)
class StudyMark:
    """Which study file a sitting belongs to."""

    title: str
    sha256: str
    """SHA-256 of the study file."""
    settings_sha256: str
    """SHA-256 of the settings that decide how people are recorded."""
    settings: dict[str, Any]
    """All that the file says, JSON, but for the experimenter's code."""


@dataclass(frozen=True)
class SimulatedIdentity:
    """What names a recording of a simulated study, where a real one takes chance and the time."""

    session_id: str
    created: datetime


@dataclass(frozen=True)
class StartConfig:
    """Everything that `racer session start` can be told."""

    participant: str | None
    """None for the next name that nobody has had: `p01`, `p02`, ...; of pilots `pilot01`, of trial runs `trial01`."""
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    task: Task = field(default_factory=make_task)
    model: Path | None = None
    """Folder of the latent model; the one that comes with the task if None."""
    channel: ChannelConfig = field(default_factory=ChannelConfig)
    driver: str = KEYBOARD
    """`keyboard`, or what `racer.drivers.registry.make_driver` takes."""
    masks: tuple[Path, ...] = ()
    """Mask files; each serves the condition it was trained for. The shipped mask serves `pico` where none is given."""
    data: Path = Path("recordings")
    seed: int = 0
    """Seed of the study: seeds of trials follow from it and the participant's name."""
    pace: float | None = None
    """Steps per second, 1 to 50; as many as the task says if None. A task that waits for answers has no pace."""
    headless: bool = False
    """No window: a simulated participant drives as fast as the machine allows."""
    fullscreen: bool = False
    order: int | None = None
    """Which order of conditions to use; the one that fewest in the data folder have had if left out."""
    trial_run: bool = False
    """Marked on the screen and in the file, kept out of training and analysis."""
    resume: bool = False
    """Go on with the participant's unfinished session, or with the latest one where no participant is named."""
    screens: Screens = field(default_factory=Screens)
    language: Language = field(default_factory=english)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Keys of actions, by the action's name; those that are left out have the task's own."""
    countdown: int = 3
    """Seconds counted down before every drive, 0 to 10."""
    locked: bool = False
    """Whether only the experimenter's keys end the session."""
    code: str = ""
    """What the experimenter types to open the menu; empty for nothing. Not recorded."""
    font: str = ""
    """Name of an installed font to write the screens with; empty for none."""
    markers: MarkersConfig = field(default_factory=MarkersConfig)
    """What other devices are told, and shown; nothing in simulated time."""
    study: StudyMark | None = None
    simulated: SimulatedIdentity | None = None
    """Makes the recording repeat to the byte: simulated time, and no lease on the data folder."""

    def __post_init__(self) -> None:
        if self.participant is not None:
            sessions.check_name("participant", self.participant)
        check_pace(self.steps_per_second)
        check_bindings(self.task.spec, self.keys)
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more; got {self.seed}")
        if self.headless and self.driver == KEYBOARD:
            raise ConfigError("the keyboard driver needs a window: leave out --headless, or add --driver simulated")
        if self.protocol.probes and not self.task.spec.paced:
            raise ConfigError(f"{self.task.spec.name} waits for every answer, so nothing stops it: leave probes out")
        evaluating = self.protocol.protocol == "evaluation"
        check_conditions(self.protocol.conditions if evaluating else [self.protocol.explore], self.channel)
        if self.simulated and not (self.headless and self.participant and self.order is not None):
            raise ConfigError("a simulated study names each participant and order, and has no window")

    @property
    def steps_per_second(self) -> float:
        """The pace that is kept."""
        return self.task.spec.pace if self.pace is None else self.pace


@dataclass(frozen=True)
class Briefing:
    """Who sits down, and what is ahead of them."""

    participant: str
    conditions: tuple[str, ...]
    """In the order in which they are met; what is explored, of a pilot."""
    rounds: int
    """Rounds that are left."""
    minutes: float
    """Minutes that these take, without pages, questions and breaks; 0 where that is unknown."""
    resumed: bool

    def __str__(self) -> str:
        left = f"{self.rounds} round{'s' * (self.rounds != 1)}{' to go' if self.resumed else ''}"
        lasting = f", at least {max(round(self.minutes), 1)} min" if self.minutes else ""
        verb = "goes on" if self.resumed else "sits down"
        return f"{self.participant} {verb}: {'; '.join(filter(None, (', then '.join(self.conditions), left)))}{lasting}"


def start_session(
    config: StartConfig,
    on_briefing: Callable[[Briefing], None] = lambda briefing: None,
    on_ready: Callable[[Path, int], None] = lambda path, episodes: None,
    on_episode: Callable[[EpisodeResult], None] = lambda result: None,
    on_trouble: Callable[[str], None] = lambda line: None,
    who: Callable[[SimulatedClock], Driver] | None = None,
) -> SittingResult:
    """Run one sitting and return how it went.

    Args:
        config: What to run.
        on_briefing: Told who sits down, before anything is recorded.
        on_ready: Told the file being written and the number of episodes, before the first one.
        on_episode: Told of each finished episode.
        on_trouble: Told in one line what keeps nobody from taking part: a recording that is saved and not noted.
        who: Makes who answers in simulated time, in the place of the driver that is named.

    Raises:
        RacerError, CompressionError, RecordingError: If it cannot be run; whatever was recorded is safe.
    """
    load = partial(load_task_model, config.task.spec, config.model)
    if config.simulated:
        model = load()
        _use_one_thread()
        return alone(sit(config, model, on_briefing, on_ready, on_episode, on_trouble, who), model)
    config.markers.require()
    require_display(headless=config.headless, locked=config.locked)
    keys = HeldKeys(config.task.spec, config.keys)
    with closing(
        open_display(
            keys,
            config.language.texts,
            config.task.spec.text(config.language.code),
            headless=config.headless,
            fullscreen=config.fullscreen,
            countdown=config.countdown,
            locked=config.locked,
            code=config.code,
            font=config.font,
        )
    ) as display:
        model = display.load(load)  # brings torch, which takes longer than all else before the first page
        _use_one_thread()
        work = sit(config, model, on_briefing, on_ready, on_episode, on_trouble, who, at=(keys, display))
        return alone(work, model)


def _use_one_thread() -> None:
    from compression.model.latent_model import use_one_thread  # brings torch, which a look at a study can do without

    use_one_thread()


def sit(
    config: StartConfig,
    model: LatentModel,
    on_briefing: Callable[[Briefing], None] = lambda briefing: None,
    on_ready: Callable[[Path, int], None] = lambda path, episodes: None,
    on_episode: Callable[[EpisodeResult], None] = lambda result: None,
    on_trouble: Callable[[str], None] = lambda line: None,
    who: Callable[[SimulatedClock], Driver] | None = None,
    durable: bool = True,
    at: tuple[HeldKeys, Display] | None = None,
) -> Stepwise[SittingResult]:
    """Do the same with the latent model, as a generator whose caller encodes and decodes.

    `durable` is that of the recorder, in simulated time; `at` are the keys and the display, out of it.
    """
    fitted = load_fitted(config.protocol, config.channel, config.masks, model)
    if not plan_episodes(config.protocol, "", config.seed, 0):
        raise ConfigError("the protocol has no episodes; raise one of the episode counts")
    earlier = None
    if config.participant is not None:
        # What is wrong with a driver or a participant is said before anything is written or anybody sits down.
        refuse_trainers(config.protocol.protocol, config.participant, fitted, model)
    simulated_clock = SimulatedClock()
    keys, display = at or (HeldKeys(config.task.spec, config.keys), SimulatedDisplay(simulated_clock))
    driver = None
    if config.participant is not None and who is None:
        driver = open_driver(config.driver, config.task, driver_seed(config.participant), keys)
    if config.resume:
        earlier = find_earlier(config, resolved(config, 0), model, fitted)
        config = replace(config, participant=earlier.participant, order=earlier.order)
    clock: Callable[[], int] = time.monotonic_ns
    if config.simulated:
        clock = simulated_clock
        driver = who(simulated_clock) if who else driver
    with _place(config) as (session_id, participant, order):
        config = replace(config, participant=participant)
        refuse_trainers(config.protocol.protocol, participant, fitted, model)
        shunned = frozenset(seed for each in fitted.values() for seed in each.record.seeds)
        plans = plan_episodes(
            config.protocol, participant, config.seed, order, shunned, alone=not config.task.spec.paced
        )
        if earlier is not None:
            earlier.check_plan(plans)
        driver = driver or open_driver(config.driver, config.task, driver_seed(participant), keys)
        sitting = _sitting(config, participant, plans, model, fitted, earlier)
        info = _session_info(config, session_id, model, fitted, order, earlier)
        on_briefing(_briefing(config, participant, plans, earlier))
        markers = None
        try:
            marked = replace(config.markers, sounds=config.markers.sounds and not config.headless)
            if marked.told and not config.simulated:
                markers = Markers(marked, session_id, clock)
            if not config.simulated:
                note_given(config.data, [participant])  # before there is a recording that could be deleted
            # Simulated time would flush at every few steps, and a thread's commits come at no time that repeats.
            recorder = (
                sessions.Recorder(config.data, info, clock=lambda: 0, durable=durable)
                if config.simulated
                else sessions.Recorder(config.data, info, clock=clock, in_background=True, on_whole=_note_before)
            )
            on_ready(recorder.path, len(plans) - (earlier.done.episodes if earlier else 0))
            pacer = Pacer(config.steps_per_second, clock) if config.simulated or not config.headless else None
            try:
                with closing_first(lambda: _closed(recorder, config, on_trouble)):
                    run = SittingRun(sitting, driver, display, recorder, pacer, on_episode, clock, markers)
                    return (yield from run.go())
            except DriverError as error:
                raise DriverError(f"{error}; what was driven before is saved in {recorder.final_path}") from error
            finally:
                _note(recorder, config, on_trouble)
        finally:
            if markers is not None:
                markers.close()


def _briefing(config: StartConfig, participant: str, plans: list[EpisodePlan], earlier: Earlier | None) -> Briefing:
    left = plans[earlier.done.episodes :] if earlier else plans
    phase = "evaluation" if config.protocol.protocol == "evaluation" else "exploration"
    conditions = tuple(dict.fromkeys(plan.condition for plan in plans if plan.phase == phase))
    seconds = sum(plan.steps / config.steps_per_second + config.countdown for plan in left)
    timed = config.task.spec.paced and not config.headless
    return Briefing(participant, conditions, len(left), seconds / 60 if timed else 0.0, earlier is not None)


def _note_before(path: Path) -> None:
    """Note a whole recording before it gets its name: none has it unnoted then, wherever the process is killed."""
    with suppress(sessions.RecordingError):  # `_note` says so once it is saved
        note_recorded(path.parent, [path])


def _note(recorder: sessions.Recorder, config: StartConfig, on_trouble: Callable[[str], None]) -> None:
    """Note a recording in the ledger of its folder, if it has its name; a simulated study notes all of its own.

    The recording is saved whatever comes of this, and what ended the session is not to be hidden by it.
    """
    if not config.simulated and recorder.final_path.is_file():
        try:
            note_recorded(config.data, [recorder.final_path])
        except sessions.RecordingError as error:
            on_trouble(f"{recorder.final_path} is saved, and not noted yet: {error}; then run `racer study seal`")


def _closed(recorder: sessions.Recorder, config: StartConfig, on_trouble: Callable[[str], None]) -> str:
    """Close a recording whose session cannot go on, and say where it is."""
    path = recorder.close("aborted")
    _note(recorder, config, on_trouble)
    return f"what was recorded is saved in {path}: go on with --resume"


def resolved(config: StartConfig, order: int) -> dict[str, Any]:
    """Return the configuration as it is stored with the recording: what was run, not where its files lay."""
    return {
        "participant": config.participant,
        # What came after version 0.1.0 had been recorded without it stands there only where it is used.
        "protocol": {name: value for name, value in asdict(config.protocol).items() if value or name != "probes"},
        "task": {"name": config.task.spec.name, "settings": task_settings(config.task)},
        "channel": config.channel.recorded,
        "driver": config.driver,
        "masks": [path.name for path in config.masks],
        "seed": config.seed,
        "pace": config.steps_per_second,
        "headless": config.headless,
        "fullscreen": config.fullscreen,
        "order": order,
        "trial_run": config.trial_run,
        "keys": {name: list(keys) for name, keys in check_bindings(config.task.spec, config.keys).items()},
        "countdown": config.countdown,
        "study_sha256": config.study.sha256 if config.study else "",
        "study_settings_sha256": config.study.settings_sha256 if config.study else "",
        "study": config.study.settings if config.study else None,
        "simulated_time": config.simulated is not None,
        "channel_format": CHANNEL_FORMAT,
        # What was told or shown besides stands in a recording only where there was something.
        **({"markers": asdict(config.markers)} if config.markers != MarkersConfig() else {}),
    }


@contextmanager
def _place(config: StartConfig) -> Iterator[tuple[str, str, int]]:
    """Hold the session's place in the study while it runs: its id, the participant's name, the order of conditions."""
    protocol = config.protocol.protocol
    if config.simulated:
        assert config.participant is not None and config.order is not None
        yield config.simulated.session_id, config.participant, config.order
        return
    orders = len(balanced_rows(len(config.protocol.conditions))) if protocol == "evaluation" else 1
    session_id = sessions.new_session_id()
    with Leases(config.data).lease(
        session_id,
        config.participant,
        protocol,
        orders,
        order=config.order if protocol == "evaluation" else 0,
        trial_run=config.trial_run,
        prefix=PREFIXES["trial run" if config.trial_run else protocol],
    ) as lease:
        yield session_id, lease.participant, lease.order


def _sitting(
    config: StartConfig,
    participant: str,
    plans: list[EpisodePlan],
    model: LatentModel,
    fitted: dict[str, FittedModel],
    earlier: Earlier | None,
) -> SittingSetup:
    attended, texts = config.driver == KEYBOARD, config.language.texts
    text = config.task.spec.text(config.language.code)
    keys = check_bindings(config.task.spec, config.keys)
    alone, probes = not config.task.spec.paced, config.protocol.probes > 0
    agenda = make_agenda(plans, config.screens, texts, text, keys, attended, alone, probes)
    if earlier is not None:
        left = len(plans) - earlier.done.episodes
        lines = tuple(line.format(episodes=left) for line in texts.resumed_lines)
        welcome = Page(texts.resumed_title, lines, texts.press_space_to_begin, show_keys=bool(keys))
        agenda = remaining(agenda, earlier.done, welcome if attended else None)
    seed = driver_seed(f"{config.seed}/{participant}")
    setup = Setup(
        task=config.task,
        channel=config.channel,
        model=model,
        fitted=fitted,
        seed=seed,
        text=text,
        mark=texts.trial_run_mark if config.trial_run else "",
        photodiode=0 if config.headless else config.markers.photodiode,
        probes=config.protocol.probes,
    )
    respondent = None if attended else np.random.default_rng([seed, len(plans)])
    return SittingSetup(agenda, setup, texts, respondent, windowed=not config.headless)


def _session_info(
    config: StartConfig,
    session_id: str,
    model: LatentModel,
    fitted: dict[str, FittedModel],
    order: int,
    earlier: Earlier | None,
) -> sessions.SessionInfo:
    assert config.participant is not None
    created = config.simulated.created if config.simulated else datetime.now(UTC)
    return sessions.SessionInfo(
        session_id=session_id,
        participant=config.participant,
        protocol=config.protocol.protocol,
        study=config.study.title if config.study else "",
        trial_run=config.trial_run,
        config=resolved(config, order),
        created_utc=created.isoformat(timespec="seconds").replace("+00:00", "Z"),
        software=software(config.task.spec),
        model_sha256=model.sha256,
        fitted_sha256=fitted_hashes(fitted),
        driver=config.driver,
        task=record_of(config.task, model),
        resumes=earlier.session_id if earlier else "",
    )
