"""Checks of a recording that need the codec or the game: what it holds must come out again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression.channel import arrived, receive_again
from compression.coders.coder import value_from_packet
from compression.coders.packet import CHANNEL_FORMAT
from compression.errors import CompressionError, PacketError
from compression.masks import features_of, mask_table
from compression.model.latent_model import Codec, load_codec
from racer.errors import ConfigError
from racer.loop.conditions import condition_names
from racer.recordings.expectation import config_part, foreign_weights
from racer.recordings.far_end import FarEndError, Wire, is_noisy, receiver_of, wire_of
from racer.software import software
from racer.tasks.car_racing.track import Track, TrackConfig
from sessions import Episode, Session
from sessions.verify import Check, Columns, Finding

PHYSICS = ("racer", "gymnasium", "box2d", "numpy")
"""Software that the progress of a drive depends on."""
_ARITHMETIC = ("torch", "numpy")
"""Software that the fills `prior` and `predict` depend on."""
_ROUNDING = 1e-3
"""Most by which their latents may differ between machines."""
_OTHER_FORMAT = f"recorded with another packet format than this version's {CHANNEL_FORMAT}"


class Packets(Check):
    """Each packet decodes, costs what was charged and no more than its slots, and holds what the sender saw."""

    name = "packets"

    def session(self, session: Session) -> Iterator[Finding]:
        """Find the codec; without it, packets are still unpacked."""
        self._info = session.info
        self._reason = foreign_weights(session)
        self._codec = None if self._reason else load_codec()
        self._known = session.info.config.get("channel_format") == CHANNEL_FORMAT
        if not self._known:
            yield self.found("skipped", _OTHER_FORMAT)

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Unpack every packet of an episode."""
        info = episode.info
        if not self._known:
            return
        if info.condition not in condition_names():
            yield self.found("skipped", f"episode {episode.index}: condition {info.condition!r} is not known here")
            return
        if info.condition == "raw":
            if info.bits_per_step or columns["bits"].any():
                yield self.failed(episode, "bits are charged in condition raw")
            return
        try:
            wire = wire_of(self._info, info)
        except CompressionError as error:
            yield self.failed(episode, str(error))
            return
        if (info.bits_per_step, info.packet_bytes) != (wire.bits, wire.recorded_bytes):
            yield self.failed(
                episode,
                f"a packet has {info.packet_bytes} bytes and costs {info.bits_per_step} bits "
                f"where {wire.recorded_bytes} and {wire.bits} are due",
            )
            return
        charged = np.flatnonzero(columns["bits"] != wire.bits)
        if wire.hard and len(charged):
            yield self.failed(episode, f"bits at step {charged[0]} are not the {wire.bits} that its slots cost")
        yield from self._unpack(episode, columns, wire)

    def _unpack(self, episode: Episode, columns: Columns, wire: Wire) -> Iterator[Finding]:
        rows = zip(columns["packet"], columns["mask"], columns["latent"], columns["bits"].tolist(), strict=True)
        for step, (recorded, mask, latent, bits) in enumerate(rows):
            try:
                packet = arrived(recorded.tobytes(), wire.noisy)
                wrong = "" if packet is None else self._wrong(packet, mask, latent, bits, wire)
            except PacketError as error:
                wrong = f"packet at step {step}: {error}"
            if wrong:
                yield self.failed(episode, wrong.format(step=step))
                return

    def _wrong(self, packet: bytes, mask: NDArray[np.bool_], latent: NDArray[np.float32], bits: int, wire: Wire) -> str:
        """Return what is wrong with a packet that arrived, which noise may have changed into anything.

        Raises:
            PacketError: If it is none, and no noise can have been the reason.
        """
        if not wire.hard:
            padded = bits % 8 == 0 and not any(packet[bits // 8 :])
            return "" if padded else "packet at step {step} is longer than the bits that were charged for it"
        if wire.layout is None:
            value_from_packet(packet, wire.slot_bits)
            return ""
        try:
            index, symbols = wire.layout.unpack(packet)
        except PacketError:
            if wire.noisy:
                return ""
            raise
        if mask_table(wire.layout.blocks)[index].tobytes() != mask.tobytes():
            return "mask at step {step} is not the one in the packet"
        if self._codec is None or wire.noisy:
            return ""
        features = np.flatnonzero(features_of(mask))
        if symbols != self._codec.quantizer.encode(latent, features, wire.layout.levels):
            return "packet at step {step} does not hold the latent that was encoded"
        return ""


class Received(Check):
    """The receiver's latents come out of packets and actions alone, bit for bit."""

    name = "received"

    def session(self, session: Session) -> Iterator[Finding]:
        """Find the codec."""
        self._info, self._path = session.info, session.path
        self._codec: Codec | None = None
        known = session.info.config.get("channel_format") == CHANNEL_FORMAT
        if reason := foreign_weights(session) or ("" if known else _OTHER_FORMAT):
            yield self.found("skipped", reason)
            return
        self._codec = load_codec()
        self._elsewhere = _differences(session.info.software, _ARITHMETIC) or (
            "another machine" if session.info.software.get("platform") != _installed()["platform"] else ""
        )

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Receive every packet of an episode again."""
        info = episode.info
        actions = columns["action"]
        if (
            self._codec is None
            or info.condition not in condition_names()
            or info.condition == "raw"
            or not len(actions)
        ):
            return
        if (np.abs(actions) > 1).any():
            return  # as the check of values says
        before = [0, *actions[:-1].tolist()]
        noisy = is_noisy(self._info)
        again, masks = [], []
        try:
            receiver = receiver_of(self._info, info, self._codec, self._path)
            for packet, action in zip(columns["packet"], before, strict=True):
                receive_again(receiver, arrived(packet.tobytes(), noisy), action, noisy)
                again.append(receiver.latent)
                masks.append(receiver.mask)
        except FarEndError as error:
            yield self.found("skipped", f"episode {episode.index}: {error}")
            return
        except (CompressionError, ValueError) as error:
            yield self.failed(episode, f"received cannot be recomputed: {error}")
            return
        if (step := _first_difference(np.array(masks), columns["mask"])) is not None:
            yield self.failed(episode, f"mask at step {step} does not come out of the packets")
        expected, received = np.array(again, np.float32), columns["received"]
        step = _first_difference(expected, received)
        if step is None:
            return
        largest = float(np.abs(expected - received).max())
        detail = f"received at step {step} does not come out of the packets"
        if info.fill != "hold" and self._elsewhere and largest <= _ROUNDING:
            yield self.found(
                "warn", f"episode {episode.index}: {detail} exactly ({self._elsewhere}; {largest:.1g} off)"
            )
        else:
            yield self.failed(episode, detail)


class Replay(Check):
    """The outcome of every step comes out again when its episode is driven again, without drawing it."""

    name = "replay"
    _COLUMNS = ("control", "progress", "off_road", "speed", "reward")

    def session(self, session: Session) -> Iterator[Finding]:
        """See whether the same software is installed."""
        self._config: TrackConfig | None = None
        if reason := _differences(session.info.software, PHYSICS):
            yield self.found("skipped", f"recorded with other software ({reason})")
            return
        try:
            self._config = TrackConfig(**config_part(session, "track"))
        except (ConfigError, TypeError) as error:
            yield self.found("fail", f"the configuration's track cannot be used: {error}")

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Drive an episode again."""
        if self._config is None:
            return
        again: dict[str, list[Any]] = {name: [] for name in self._COLUMNS}
        with closing(Track(self._config, episode.info.track_seed)) as track:
            if track.road_patches != episode.info.road_patches:
                yield self.failed(episode, f"road_patches are {episode.info.road_patches} of {track.road_patches}")
                return
            for step, action in enumerate(columns["action"].tolist()):
                if action not in (-1, 0, 1):
                    return  # as the check of values says
                outcome = track.step(action)
                for name, values in again.items():
                    values.append(getattr(outcome, name))
                if outcome.over and step < episode.n_steps - 1:
                    yield self.failed(episode, f"it goes on after its end at step {step} (action)")
                    return
        for name, values in again.items():
            expected = np.array(values, columns[name].dtype).reshape(columns[name].shape)
            if (wrong := _first_difference(expected, columns[name])) is not None:
                yield self.failed(episode, f"{name} at step {wrong} does not follow from track and actions")


def _first_difference(expected: NDArray[Any], found: NDArray[Any]) -> int | None:
    """Return the first row in which two columns differ in any bit; None where there is none."""
    rows = len(expected)
    if not rows:
        return None
    one, other = (np.ascontiguousarray(values).view(np.uint8).reshape(rows, -1) for values in (expected, found))
    wrong = np.flatnonzero((one != other).any(axis=1))
    return int(wrong[0]) if len(wrong) else None


def _differences(recorded: dict[str, str], names: tuple[str, ...]) -> str:
    """Return in which of these programs, and in what kind of machine, a recording's software differs from this one."""
    here = _installed()
    different = [
        f"{name} {recorded.get(name, '?')[:40]}, here {here[name]}"
        for name in names
        if recorded.get(name) != here[name]
    ]
    if _kind(recorded.get("platform", "")) != _kind(here["platform"]):
        different.append(f"{recorded.get('platform', '?')[:80]}, here {here['platform']}")
    return "; ".join(different)


def _kind(platform: str) -> tuple[str, str, str]:
    """Return system, processor and C library of a platform such as `Linux-6.1.0-x86_64-with-glibc2.36`."""
    processor = re.search(r"x86_64|AMD64|arm64|aarch64|ARM64", platform)
    return platform.partition("-")[0], processor[0] if processor else "", platform.partition("-with-")[2]


@lru_cache(maxsize=1)
def _installed() -> dict[str, str]:
    return software()
