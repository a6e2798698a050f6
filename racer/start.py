"""One recorded sitting: resolve its configuration, check it, open the record, drive, say how it went."""

from __future__ import annotations

import platform
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import sessions
from compression.codec import Codec, load_codec, use_one_thread
from compression.mask_file import LearnedMask
from compression.packet import CHANNEL_FORMAT
from racer import __version__
from racer.conditions import CONDITIONS, ChannelConfig, load_masks
from racer.display import Display, NoDisplay, Page
from racer.drivers import KEYBOARD, Driver, DriverError, driver_seed, make_driver
from racer.errors import ConfigError
from racer.pacing import Pacer
from racer.protocol import ProtocolConfig, balanced_rows, plan_episodes
from racer.session import EpisodeResult, Sitting, SittingResult, SittingRun
from racer.track import TrackConfig

SLOWEST, FASTEST = 1.0, 50.0
"""Steps per second that a session may be paced at."""

_STILL_RUNNING_S = 1800
"""Seconds without a write after which a session that never ended counts as killed."""

THANKS = Page("Thank you", ("That was the last drive. Everything is saved.",), "Press SPACE to close")


@dataclass(frozen=True)
class StartConfig:
    """Everything that `racer session start` can be told."""

    participant: str
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    channel: ChannelConfig = field(default_factory=ChannelConfig)
    driver: str = KEYBOARD
    """`keyboard`, `simulated`, or `package.module:factory`."""
    masks: tuple[Path, ...] = ()
    """Mask files; each serves the condition it was trained for. The shipped mask serves `pico` where none is given."""
    data: Path = Path("recordings")
    seed: int = 0
    """Of the study: tracks follow from it and the participant's name."""
    pace: float = 10.0
    """Steps per second, 1 to 50."""
    headless: bool = False
    """No window: a simulated participant drives as fast as the machine allows."""
    fullscreen: bool = False
    order: int | None = None
    """Which order of conditions to use; the one that fewest in the data folder have had if left out."""
    pilot: bool = False
    """A trial run: marked on the screen and in the file, kept out of training and analysis."""

    def __post_init__(self) -> None:
        sessions.check_name("participant", self.participant)
        check_pace(self.pace)
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more; got {self.seed}")
        if self.headless and self.driver == KEYBOARD:
            raise ConfigError("the keyboard driver needs a window: leave out --headless, or add --driver simulated")
        unknown = [name for name in self.protocol.conditions if name not in CONDITIONS]
        if unknown:
            raise ConfigError(f"unknown condition {unknown[0]!r}; choose from {', '.join(CONDITIONS)}")


def check_pace(pace: float) -> None:
    """Raise ConfigError unless a window can keep this many steps a second."""
    if not SLOWEST <= pace <= FASTEST:
        raise ConfigError(f"pace must lie between {SLOWEST:g} and {FASTEST:g} steps a second; got {pace:g}")


def start_session(
    config: StartConfig,
    on_ready: Callable[[Path, int], None] = lambda path, episodes: None,
    on_episode: Callable[[EpisodeResult], None] = lambda result: None,
) -> SittingResult:
    """Run one sitting and return how it went.

    Args:
        config: What to run.
        on_ready: Told the file being written and the number of episodes, before the first one.
        on_episode: Told of each finished episode.

    Raises:
        RacerError, CompressionError, RecordingError: If it cannot be run; whatever was recorded is safe.
    """
    use_one_thread()
    codec = load_codec()
    masks = _load_masks(config, codec)
    order = _next_order(config)
    shunned = frozenset(track for mask in masks.values() for track in mask.record.track_seeds)
    episodes = plan_episodes(config.protocol, config.participant, config.seed, order, shunned)
    if not episodes:
        raise ConfigError("the protocol has no episodes; raise one of the episode counts")
    attended = config.driver == KEYBOARD
    driver, display = open_driver(config.driver, driver_seed(config.participant), config.headless, config.fullscreen)
    try:
        recorder = sessions.Recorder(config.data, _session_info(config, codec, masks, order))
        on_ready(recorder.path, len(episodes))
        sitting = Sitting(
            episodes=episodes,
            track=config.track,
            channel=config.channel,
            codec=codec,
            masks=masks,
            seed=driver_seed(f"{config.seed}/{config.participant}"),
            mark="PILOT RUN" if config.pilot else "",
            instructions=instructions(len(episodes)) if attended else None,
            thanks=THANKS if attended else None,
        )
        pacer = None if config.headless else Pacer(config.pace, time.monotonic_ns)
        try:
            return SittingRun(sitting, driver, display, recorder, pacer, on_episode).run()
        except DriverError as error:
            raise DriverError(f"{error}; what was driven before is saved in {recorder.final_path}") from error
    finally:
        display.close()


def open_driver(
    name: str, seed: int, headless: bool, fullscreen: bool, recorded: bool = True
) -> tuple[Driver, Display]:
    """Return a driver and the display it goes with; the keyboard shares its keys with the window.

    Args:
        name: `keyboard`, or what `make_driver` takes.
        seed: Identity of the driver.
        headless: Whether to do without a window.
        fullscreen: Whether the window fills the screen.
        recorded: Whether the window may promise that everything is saved.

    Raises:
        NoDisplayError: If a window is needed and none can be opened.
        DriverError: If there is no such driver.
    """
    if headless:
        return make_driver(name, seed), NoDisplay()
    from racer.keys import HeldKeys, KeyboardDriver
    from racer.texts import ENGLISH
    from racer.window import Window

    keys = HeldKeys()
    driver: Driver = KeyboardDriver(keys) if name == KEYBOARD else make_driver(name, seed)
    texts = ENGLISH if recorded else replace(ENGLISH, end_answer="Nothing is being recorded.")
    return driver, Window(fullscreen=fullscreen, keys=keys, texts=texts)


def instructions(episodes: int) -> Page:
    """Return the page a participant reads first."""
    return Page(
        "Keep the car on the road",
        (
            "Steer with the left and right arrow keys, or with A and D. The car drives by itself.",
            f"There are {episodes} short drives. The picture may be blurred or partly wrong: "
            "drive as well as you can by what you see.",
            "Esc pauses at any time.",
        ),
        "Press SPACE to begin",
        show_keys=True,
    )


def software() -> dict[str, str]:
    """Return what this session runs on: versions, git commit of a checkout, platform."""
    names = ("torch", "numpy", "gymnasium", "box2d", "pygame-ce", "h5py", "safetensors")
    found = {"racer": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    found["git_commit"] = _git_commit()
    return found


def resolved(config: StartConfig, order: int) -> dict[str, Any]:
    """Return the configuration as it is stored with the recording."""
    fields = asdict(config)
    fields["masks"] = [str(path) for path in config.masks]
    fields["data"] = str(config.data)
    fields["order"] = order
    fields["channel_format"] = CHANNEL_FORMAT
    return fields


def _session_info(config: StartConfig, codec: Codec, masks: dict[str, LearnedMask], order: int) -> sessions.SessionInfo:
    return sessions.SessionInfo(
        session_id=sessions.new_session_id(),
        participant=config.participant,
        protocol=config.protocol.protocol,
        study="",
        pilot=config.pilot,
        config=resolved(config, order),
        created_utc=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        software=software(),
        codec_sha256=codec.sha256,
        mask_sha256=" ".join(mask.sha256 for mask in masks.values()),
        driver=config.driver,
    )


def _load_masks(config: StartConfig, codec: Codec) -> dict[str, LearnedMask]:
    """Return the masks that the protocol's conditions need, by condition.

    Raises:
        ConfigError: If one is missing, of no use, fitted to another use of the channel, or to this very participant.
        MaskError: If a file cannot be used.
    """
    evaluating = config.protocol.protocol == "evaluation"
    masks = load_masks(config.protocol.conditions if evaluating else [config.protocol.explore], config.masks, codec)
    for condition, mask in masks.items():
        trained, used = (mask.record.interval, mask.record.fill), (config.channel.mask_interval, config.channel.fill)
        if trained != used:
            raise ConfigError(
                f"the {condition} mask was trained with a mask per {trained[0]} and {trained[1]} fill, and this "
                f"session has a mask per {used[0]} and {used[1]} fill; nothing was recorded: train one for it, "
                f"or use --mask-interval {trained[0]} --fill {trained[1]}"
            )
        if evaluating and config.participant in mask.record.participants:
            raise ConfigError(
                f"{config.participant} took part in training this mask and must not evaluate it; nothing was recorded: "
                f"use another participant, or a mask trained on others"
            )
    return masks


def _next_order(config: StartConfig) -> int:
    """Return the order of conditions that fewest participants in the data folder have completed or are driving."""
    if config.protocol.protocol != "evaluation":
        return 0
    if config.order is not None:
        return config.order
    given: Counter[int] = Counter()
    for path in sessions.find_recordings(config.data):
        try:
            with sessions.open(path) as session:
                info, order = session.info, session.info.config.get("order")
                counts = session.status == "complete" or (session.status == "running" and _just_written(path))
                others = info.participant != config.participant and not info.pilot
                if info.protocol == "evaluation" and counts and others and isinstance(order, int):
                    given[order] += 1
        except sessions.RecordingError:
            continue
    orders = len(balanced_rows(len(config.protocol.conditions)))
    return min(range(orders), key=lambda order: (given[order], order))


def _just_written(path: Path) -> bool:
    """Return whether a session may still be running: a killed one gives its place back."""
    try:
        return time.time() - path.stat().st_mtime < _STILL_RUNNING_S
    except OSError:
        return False


def _git_commit() -> str:
    folder = Path(__file__).parent
    if not (folder.parent / ".git").exists():
        return ""
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip()
