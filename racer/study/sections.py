"""The sections of a study file: one model each, every field with its unit, its range and its default.

Limits that another module knows are asked of it, so that a study is refused for the same reasons, in the same words, as
the command line's options.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from compression.errors import TrainingError
from compression.fill import FillName
from compression.fitting.config import Labels, config_of
from compression.masks import MaskInterval
from compression.noise import NoiseName, check_noise
from racer.loop.conditions import ChannelConfig
from racer.loop.pacing import check_pace
from racer.sitting.markers import MarkersConfig
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.questionnaires import Item, Kind, Questionnaire
from racer.tasks.registry import DEFAULT_TASK

PILOT, SHIPPED = "pilot", "shipped"
_SERIAL_PORT = re.compile(
    r"COM[0-9]{1,3}|/dev/(tty(USB|ACM|AMA|S)[0-9]{1,3}|cu\.[A-Za-z0-9_-]{1,64}|serial/by-id/[\w.:+-]{1,128})"
)
"""What a study file may name."""
"""Where a mask comes from, if not from a file in the study's folder."""
MASK_SUFFIX = ".safetensors"
_CODE = re.compile(r"[A-Za-z0-9]{4,32}", re.ASCII)
MOST_INTEGER = 2**63 - 1
"""TOML's own limit."""


def _page(text: str) -> str:
    """Allow line breaks and tabs, which a page can show, and no other control characters."""
    if any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in text):
        raise ValueError("holds a control character that cannot be shown; type the text anew")
    return text


def _line(text: str) -> str:
    if text and (not text.strip() or any(unicodedata.category(character) == "Cc" for character in text)):
        raise ValueError("must be one line of text")
    return text


def in_the_folder(name: str) -> str:
    """Return a name of something in the study's folder. Raises ValueError if it leads out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or set(name) & set("\\:\0"):
        raise ValueError(f"must lie in the study's folder: no leading /, no .., \\ or :; got {name[:80]!r}")
    return name


def _once_each(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"names {twice[0][:80]!r} twice; once is enough")
    return names


def _within_bounds(value: Any) -> Any:
    """Refuse numbers that TOML cannot hold and nothing can print, wherever they stand."""
    if isinstance(value, int) and abs(value) > MOST_INTEGER:
        raise ValueError("is, or contains, a number that is too large")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _within_bounds(inner)
    return value


PageText = Annotated[str, Field(max_length=20_000), AfterValidator(_page)]
Line = Annotated[str, Field(max_length=200), AfterValidator(_line)]
Title = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_line)]
Name = Annotated[str, Field(max_length=200)]
"""Name of a file, or of something built in."""
Question = Annotated[str, Field(max_length=500), AfterValidator(_page)]
Integer = Annotated[int, Field(ge=-MOST_INTEGER, le=MOST_INTEGER)]
# TOML has lists where the models have tuples: only the container is converted, never what it holds.
Names = Annotated[tuple[str, ...], Field(strict=False, max_length=20)]
VARIED_TAG, LIST_TAG = "<varied>", "<list>"
"""What pydantic puts into the place of an error, behind `seeds`."""
Seeds = Annotated[
    Annotated[Literal["varied"], Tag(VARIED_TAG)]
    | Annotated[tuple[Integer, ...], Field(strict=False, min_length=1, max_length=1000), Tag(LIST_TAG)],
    Discriminator(
        lambda value: LIST_TAG if isinstance(value, list | tuple) else VARIED_TAG if value == "varied" else None,
        custom_error_type="seeds",
        custom_error_message='must be "varied" or a list of whole numbers, as in [42, 7]',
    ),
]


class Section(BaseModel):
    """Immutable; knows its keys and refuses others; converts nothing except whole numbers to floats."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class TaskSection(BaseModel):
    """What people do: a task, and its settings as keys of their own."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False, defer_build=True)

    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_within_bounds)]]

    name: Name = DEFAULT_TASK
    """A task of `racer task list`. Its settings follow, as `racer task show NAME` lists them."""
    model: Name = ""
    """Folder, within the study's, of a latent model made by `racer model train`; empty: the one that comes with the
    task."""

    @field_validator("model")
    @classmethod
    def _inside(cls, value: str) -> str:
        return in_the_folder(value) if value else value

    @property
    def settings(self) -> dict[str, Any]:
        """Those that the file names."""
        return dict(self.model_extra or {})


class EpisodesSection(Section):
    """How many rounds, how long, and how fast."""

    practice: Integer = ProtocolConfig.practice
    """Practice rounds at the start of every sitting, shown `full`, 0 to 1000."""
    calibration: Integer = ProtocolConfig.calibration
    """Rounds in which a pilot is shown `full`, from which it is learnt what people do, 0 to 1000."""
    exploration: Integer = ProtocolConfig.exploration
    """Rounds in which a pilot is shown `explore`, 0 to 1000."""
    explore: str = ProtocolConfig.explore
    """Condition of the exploration: `random`; in a second round of training `pico` or `perceptual`."""
    mixed: bool = ProtocolConfig.mixed
    """Whether chance decides round by round what a pilot is shown, instead of calibration before exploration, so that
    learning and fatigue cannot pass for the effect of what was shown. Always so where trials stand alone."""
    evaluation: Integer = ProtocolConfig.evaluation
    """Rounds per condition of an evaluated participant, 0 to 1000."""
    catch: Integer = ProtocolConfig.catch
    """In tasks that wait for answers, single originals that an evaluated participant meets at chance places, 0 to 1000;
    the report says how many were answered correctly."""
    repeats: Integer = ProtocolConfig.repeats
    """In tasks that wait for answers, pictures met under `raw` that an evaluated participant meets once more, 0 to
    1000; the report says how many were answered alike."""
    probes: Integer = ProtocolConfig.probes
    """In tasks that move on by themselves, how often an evaluated participant's round stops, shows the frame that is
    due or its original, and records what would be done now; fewer than its steps. The report compares the answers."""
    steps: Integer | None = None
    """Steps per round, 1 to 100,000; as many as the task says if left out. Divided by the pace, seconds."""
    pace: float | None = None
    """Steps per second, 1 to 50; as many as the task says if left out."""
    seeds: Seeds = "varied"
    """`varied`: other seeds, such as other tracks, for every participant. Or 1 to 1000 seeds, 0 to 2^31 - 1, gone
    through in turn."""

    @field_validator("practice", "calibration", "exploration", "explore", "evaluation", "catch", "steps")
    @classmethod
    def _as_a_protocol(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None:
            ProtocolConfig(**{str(info.field_name): value})
        return value

    @field_validator("pace")
    @classmethod
    def _a_window_can_keep_it(cls, value: float | None) -> float | None:
        if value is not None:
            check_pace(value)
        return value

    @field_validator("seeds")
    @classmethod
    def _exist(cls, value: str | tuple[int, ...]) -> str | tuple[int, ...]:
        if not isinstance(value, str):
            ProtocolConfig(seeds=value)
        return value


class ChannelSection(Section):
    """What crosses from the game to the eye."""

    bits: Integer = ChannelConfig.bits
    """Slot: the most bits that may cross per step, 1 to 4096; some coders need a few.
    `full` has two slots of 85 whatever this says."""
    mask_interval: MaskInterval = ChannelConfig.mask_interval
    """`episode`: one mask per episode. `step`: a new one every step."""
    fill: FillName = ChannelConfig.fill
    """Where features that are not sent come from: `hold`, `prior` or `predict`."""
    noise: NoiseName = ChannelConfig.noise
    """What happens on the way: `none`, `flips` of bits, `erasures` of packets, `gaussian` noise on the bits."""
    noise_rate: float = ChannelConfig.noise_rate
    """Probability of a flip or of an erasure, 0 to 1; of `gaussian`, its standard deviation beside bits of +1 and -1, 0
    to 100. 0 where there is none."""
    action_delay: Integer = ChannelConfig.action_delay
    """Steps after which the sender learns of an action, 0 to 5; the task and the receiver know at once."""
    action_loss: float = ChannelConfig.action_loss
    """Probability of an action never to reach the sender, 0 to 1; at 1 it is told of none."""

    @field_validator("bits", "mask_interval", "fill", "action_delay", "action_loss")
    @classmethod
    def _as_a_channel(cls, value: Any, info: ValidationInfo) -> Any:
        ChannelConfig(**{str(info.field_name): value})
        return value

    @field_validator("noise_rate")
    @classmethod
    def _as_a_noise(cls, value: float, info: ValidationInfo) -> float:
        check_noise(info.data.get("noise", "gaussian"), value)
        return value


class MasksSection(Section):
    """Where the fitted masks come from: this study's pilots, the package, or a file in the study's folder."""

    pico: Name = PILOT
    """`pilot`, `shipped`, or the name of a `.safetensors` file."""
    perceptual: Name = PILOT
    """`pilot`, or the name of a `.safetensors` file."""
    pico_rate: Name = PILOT
    """`pilot`, `shipped`, or the name of a `.safetensors` file."""
    pico_transform: Name = PILOT
    """`pilot`, `shipped`, or the name of a `.safetensors` file."""

    def source(self, condition: str) -> str:
        """Return where the file of one of MASKED_CONDITIONS comes from."""
        source: str = getattr(self, self.key(condition))
        return source

    @staticmethod
    def key(condition: str) -> str:
        """Return the key of a condition in this section."""
        return condition.replace("-", "_")

    @field_validator("*")
    @classmethod
    def _a_source(cls, value: str, info: ValidationInfo) -> str:
        sources = (PILOT,) if info.field_name == "perceptual" else (PILOT, SHIPPED)
        if value == SHIPPED and value not in sources:
            raise ValueError('no such mask is shipped; use "pilot", or a .safetensors file in the study\'s folder')
        if value not in sources and not value.endswith(MASK_SUFFIX):
            known = " or ".join(f'"{source}"' for source in sources)
            raise ValueError(f"must be {known}, or a {MASK_SUFFIX} file in the study's folder; got {value[:80]!r}")
        return in_the_folder(value)


class TrainingSection(Section):
    """How `pico`'s mask is trained from this study's pilots."""

    constants: Literal["racer", "digits", "cars", "faces", "driving"] = "racer"
    """`racer`, or those of the released code's notebooks: one network of 10,000 steps of 32, no imagined exploration,
    and their label of negatives."""
    labels: Labels = "released"
    """What the action discriminator learns. `released`: was this done on seeing the original? `paper`: p(T = 1 | a, x),
    was it the original that was seen?"""
    negative_label: float | None = None
    """Label of what was done on seeing something else, 0 to 1, with labels `released` alone; that of the constants if
    left out."""

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        try:
            config_of(**self.model_dump())
        except TrainingError as error:
            raise ValueError(str(error)) from error
        return self


class KeysSection(BaseModel):
    """The keys of the task's actions, by pygame's names: for each action a list, as in `left = ["left", "a"]`."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    __pydantic_extra__: dict[str, Names]

    @property
    def given(self) -> dict[str, tuple[str, ...]]:
        """The keys that the file names, by action."""
        return dict(self.__pydantic_extra__ or {})


class ScreensSection(Section):
    """What a participant sees besides the drives."""

    consent: PageText = ""
    """Text that is agreed to before anything is recorded, up to 20,000 characters; empty: no such page."""
    instructions: PageText = ""
    """Text of the first page, up to 20,000 characters; empty: the built-in one."""
    key_test: bool = True
    """Whether a key of every action must be pressed once before the first round."""
    break_every: Annotated[int, Field(ge=0, le=1000)] = 15
    """Episodes between two breaks, 0 to 1000; 0: no breaks."""
    break_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """The least that a break lasts, seconds, 0 to 3600."""
    countdown: Annotated[int, Field(ge=0, le=10)] = 3
    """Countdown before every episode, seconds, 0 to 10."""


class CustomItem(Section):
    """One question: rated, chosen, counted or answered in words."""

    id: str
    """Names the answer in the recording: 1 to 40 of a-z, 0-9, `_`, `-`."""
    text: Question
    """The question, 1 to 500 characters."""
    kind: Kind = "scale"
    """`scale`; `choice`: one of the options; `choices`: one or more of them; `picture`: one of 2 to 9 pictures;
    `number`; `line`: one line of words, up to 200 characters; `text`: up to 1000."""
    low: Line = ""
    """What the scale's first point means, up to 200 characters."""
    high: Line = ""
    """What its last point means, up to 200 characters."""
    points: Integer | None = None
    """Points of the scale, 2 to 21; 7 if left out."""
    options: dict[str, Title] = Field(default={}, max_length=1000)
    """Options of a choice, 2 to 20, as in `options.daily = "Every day"`: what is recorded, a letter and then up to 39
    of a-z, 0-9, `_`, `-`, and the words shown; of pictures the name of a file in the study's folder, as in
    `options.sharp = "sharp.png"`."""
    least: float | None = None
    """Smallest number accepted, from -10^9."""
    most: float | None = None
    """Largest number accepted, up to 10^9."""
    decimals: Integer = 0
    """Most decimals of a number, 0 to 6."""
    required: bool | None = None
    """Whether nobody can go on without an answer; if left out, all but those of kind `text` are."""

    @model_validator(mode="before")
    @classmethod
    def _as_written_before(cls, value: Any) -> Any:
        """Read `free = true`, by which studies of version 0.1.0 ask for words."""
        if not isinstance(value, dict) or type(value.get("free")) is not bool:
            return value
        rest = {name: each for name, each in value.items() if name != "free"}
        if not value["free"]:
            return rest
        if rest.setdefault("kind", "text") != "text":
            raise ValueError(f"free = true asks for words, and its kind is {rest['kind']}; leave one of them out")
        return {name: each for name, each in rest.items() if name not in ("low", "high")}  # had no meaning there

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.kind != "scale" and (self.points is not None or self.low or self.high):
            raise ValueError(f"points, low and high are for a scale; its kind is {self.kind}; leave them out")
        self.item()
        return self

    def item(self) -> Item:
        """Return the question."""
        given = self.model_dump(exclude={"points"})
        return Item(points=Item.points if self.points is None else self.points, **given)


class CustomQuestionnaire(Section):
    """A questionnaire of the study's own."""

    name: str
    """1 to 40 of a-z, 0-9, `_`, `-`; none of the built-in names."""
    per_page: Integer = Questionnaire.per_page
    """Questions on a page, 1 to 10."""
    items: Annotated[tuple[CustomItem, ...], Field(strict=False, max_length=100)]
    """Its questions in order, 1 to 100."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        self.questionnaire()
        return self

    def questionnaire(self) -> Questionnaire:
        """Return it as the session asks it."""
        return Questionnaire(self.name, tuple(item.item() for item in self.items), self.per_page)


class QuestionnairesSection(Section):
    """What is asked, and when: names of built-in or custom questionnaires, up to 20 each time."""

    start: Annotated[Names, AfterValidator(_once_each)] = ()
    """Asked before the first drive."""
    after_condition: Annotated[Names, AfterValidator(_once_each)] = ("driving",)
    """Asked after the rounds of each condition. Other tasks have defaults of their own: `nasa-tlx`, or none for
    pictures."""
    end: Annotated[Names, AfterValidator(_once_each)] = ()
    """Asked after the last drive."""
    custom: Annotated[tuple[CustomQuestionnaire, ...], Field(strict=False, max_length=100)] = ()
    """Questionnaires of the study's own, up to 100."""

    @field_validator("custom")
    @classmethod
    def _named_once(cls, value: tuple[CustomQuestionnaire, ...]) -> tuple[CustomQuestionnaire, ...]:
        _once_each(tuple(questionnaire.name for questionnaire in value))
        return value


class MarkersSection(Section):
    """What other devices are told while somebody takes part, and shown."""

    lsl: bool = False
    """Whether events are a Lab Streaming Layer stream, `Racer`, in the lab's network: rounds, keys, answered
    questions, never the answers."""
    frames: bool = False
    """Whether every frame shown is an event too."""
    serial: Line = ""
    """Serial port that gets a byte for every event, such as `/dev/ttyUSB0` or `COM3`; empty for none."""
    photodiode: Integer = 0
    """Side of a square in the upper right corner that is white with one frame and black with the next, pixels, 16 to
    400; 0 for none."""
    sounds: bool = False
    """Whether a short tone is played at the beginning and the end of every round."""

    @field_validator("serial")
    @classmethod
    def _a_serial_port(cls, value: str) -> str:
        # A study file may come from somebody else, and must not have any device written to.
        if value and not _SERIAL_PORT.fullmatch(value):
            raise ValueError(
                f'must be a serial port, such as "/dev/ttyUSB0", "/dev/cu.usbserial-1" or "COM3"; got {value[:80]!r}. '
                "Another one can be named by --serial"
            )
        return value

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        self.config()
        return self

    def config(self) -> MarkersConfig:
        """Return it as a sitting takes it."""
        return MarkersConfig(**self.model_dump())


class ExperimenterSection(Section):
    """What the experimenter can do at the participant's machine."""

    code: str = ""
    """Code typed to leave full screen or open the experimenter's menu: 4 to 32 letters and digits; empty: no code."""
    fullscreen: bool = True
    """Whether the window fills the screen."""

    @field_validator("code")
    @classmethod
    def _can_be_typed(cls, value: str) -> str:
        if value and not _CODE.fullmatch(value):
            raise ValueError("must be 4 to 32 letters (a to z) and digits, or empty for none")
        return value
