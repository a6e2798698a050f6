"""Markers: other devices are told what happens in a sitting, at the time at which it happens.

Lab Streaming Layer (labstreaminglayer.org) carries words, each with the time of the event on its own clock, whenever
they are sent. A serial line carries one byte for each event, so that the time is that of the byte. Neither carries what
somebody answers or writes: a stream is for everybody in the network to read. Tones tell whoever is in the room when a
round begins and ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from racer.errors import ConfigError
from racer.loop.patience import PatientRecorder, Status
from racer.sitting.answers import CONSENT, NOTE
from sessions import EpisodeInfo, Recorder, StorageWaitError
from sessions.extras import import_extra

STREAM = "Racer"
"""Name of the stream; its type is `Markers`, its source id `racer-` and the id of the session."""
CODES = {"episode_begin": 1, "episode_end": 2, "frame": 3, "key_down": 4, "key_up": 5, "answer": 6}
"""Byte sent to the serial port, by kind of event."""
OTHER_CODE = 7
"""Code of every event that has none of its own, such as a pause."""
SQUARE = (16, 400)
"""Least and most side of the photodiode's square, pixels."""
_BAUD = 115_200
_WRITE_S = 0.002
"""Seconds that a port may take to accept a byte, on Windows; one that takes longer has gone away."""
_BY_HAND = ("key_down", "key_up", "click")
_EXTRA = "racer[markers]"
_QUIET = "[log]\nlevel = -2\n"
"""So that liblsl says no more than what goes wrong."""


@dataclass(frozen=True)
class MarkersConfig:
    """What other devices are told, and shown."""

    lsl: bool = False
    """Whether events are a Lab Streaming Layer stream."""
    frames: bool = False
    """Whether every frame shown is an event too."""
    serial: str = ""
    """Serial port that gets a byte for every event, such as `/dev/ttyUSB0` or `COM3`; empty for none."""
    photodiode: int = 0
    """Side of a square in the upper right corner that is white with one frame and black with the next, pixels, 16 to
    400; 0 for none."""
    sounds: bool = False
    """Whether a short tone is played at the beginning and the end of every round."""

    def __post_init__(self) -> None:
        least, most = SQUARE
        if self.photodiode and not least <= self.photodiode <= most:
            raise ConfigError(
                f"the photodiode's square must have a side of {least} to {most} pixels, or 0 for none; got "
                f"{self.photodiode}"
            )
        if self.frames and not (self.lsl or self.serial):
            raise ConfigError("frames can only be marked on a stream or a serial port; name one of them too")

    @property
    def told(self) -> bool:
        """Whether any device is told anything."""
        return self.lsl or bool(self.serial) or self.sounds

    def require(self) -> None:
        """Make sure, before anything is written, that what is needed is installed.

        Raises:
            MissingPackageError: If it is not.
        """
        if self.lsl:
            import_extra("pylsl", _EXTRA, "a Lab Streaming Layer stream")
        if self.serial:
            import_extra("serial", _EXTRA, "a serial port")


class Markers:
    """Tells the devices.

    Args:
        config: Which ones.
        session_id: Of the recording.
        clock: That of the events, monotonic nanoseconds.

    Raises:
        MissingPackageError: If what it needs is not installed.
        ConfigError: If the serial port cannot be opened, or no sound can be played.
    """

    def __init__(self, config: MarkersConfig, session_id: str, clock: Callable[[], int] = time.monotonic_ns) -> None:
        config.require()
        self.frames = config.frames
        self._outlet: Any = None
        self._port: Any = None
        self._tones: Any = None
        if config.sounds:
            from racer.window.tones import Tones

            self._tones = Tones()
        if config.lsl:
            self._lsl = import_extra("pylsl", _EXTRA, "a Lab Streaming Layer stream")
            with suppress(RuntimeError, AttributeError):  # it takes that once, and in older versions never
                self._lsl.set_config_content(_QUIET)
            info = self._lsl.StreamInfo(
                STREAM, "Markers", 1, self._lsl.IRREGULAR_RATE, self._lsl.cf_string, f"racer-{session_id}"
            )
            try:
                self._outlet = self._lsl.StreamOutlet(info)
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:120]
                raise ConfigError(
                    f"a Lab Streaming Layer stream cannot be opened here: {reason}; nothing was recorded: leave it out"
                ) from error
            # Both clocks are steady: what lies between them stays.
            self._offset = self._lsl.local_clock() - clock() / 1e9
        if config.serial:
            serial = import_extra("serial", _EXTRA, "a serial port")
            try:
                self._port = serial.Serial(config.serial, _BAUD, write_timeout=_WRITE_S)
            except (OSError, ValueError) as error:  # pyserial's own errors are OSErrors
                number = error.errno if isinstance(error, OSError) else None
                reason = os.strerror(number) if number else " ".join(str(error).split())[:120]
                raise ConfigError(
                    f"the serial port {config.serial[:80]!r} cannot be opened: {reason}; nothing was recorded: plug in "
                    "the device, or leave it out"
                ) from error

    def tell(self, kind: str, detail: str, time_ns: int) -> bool:
        """Tell of an event; return whether a device was lost with it: it is told nothing more.

        Args:
            kind: What happened, a word.
            detail: More on it, words; empty for nothing.
            time_ns: When, on the clock of the recording.
        """
        if self._tones is not None:
            self._tones.tell(kind)
        if self._outlet is not None:
            self._outlet.push_sample([f"{kind} {detail}".rstrip()], time_ns / 1e9 + self._offset)
        if self._port is None:
            return False
        try:
            self._send(bytes([CODES.get(kind, OTHER_CODE)]))
        except OSError:
            self._port = None
            return True
        return False

    def _send(self, code: bytes) -> None:
        """Give a byte to the port, which takes it at once or has gone away.

        Past pyserial, where there is another way: it looks at the clock after the byte is taken, too, and calls it late
        where this process was kept waiting.
        """
        if os.name == "posix":
            os.write(self._port.fileno(), code)
        else:
            self._port.write(code)

    def close(self) -> None:
        """Give the devices back."""
        if self._port is not None:
            self._port.close()
        if self._tones is not None:
            self._tones.close()
        self._outlet = self._port = self._tones = None


class MarkedRecorder(PatientRecorder):
    """A patient recorder that tells of what it records.

    Args:
        recorder: Does the work.
        wait: See `PatientRecorder`.
        markers: Are told.
        clock: Monotonic nanoseconds.
    """

    def __init__(
        self,
        recorder: Recorder,
        wait: Callable[[StorageWaitError], None],
        markers: Markers,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        super().__init__(recorder, wait)
        self._markers, self._clock = markers, clock
        self._episode, self._driving = -1, False

    def begin_episode(self, info: EpisodeInfo) -> None:
        """See `Recorder.begin_episode`."""
        self._episode += 1
        self._driving = True
        self._tell("episode_begin", f"{self._episode} {info.phase} {info.condition} {info.seed}", info.started_ns)
        super().begin_episode(info)

    def end_episode(self, status: Status) -> None:
        """See `Recorder.end_episode`."""
        self._driving = False
        self._tell("episode_end", f"{self._episode} {status}", self._clock())
        super().end_episode(status)

    def event(self, kind: str, detail: str, time_ns: int, episode: int, step: int) -> None:
        """See `Recorder.event`; by which keys and clicks a question is answered is told nobody."""
        if self._driving or kind not in _BY_HAND:
            self._tell(kind, detail, time_ns)
        super().event(kind, detail, time_ns, episode, step)

    def answer(self, item: str, answer: str, time_ns: int) -> None:
        """See `Recorder.answer`; nobody is told what was answered, nor of a consent or a note."""
        if item not in (CONSENT, NOTE):
            self._tell("answer", item, time_ns)
        super().answer(item, answer, time_ns)

    def shown(self, step: int, time_ns: int) -> None:
        """Take note that the frame of a step is on the screen."""
        if self._markers.frames:
            self._tell("frame", str(step), time_ns, step)

    def _tell(self, kind: str, detail: str, time_ns: int, step: int = 0) -> None:
        if self._markers.tell(kind, detail, time_ns):
            super().event("markers_lost", "serial", self._clock(), max(self._episode, 0), step)
