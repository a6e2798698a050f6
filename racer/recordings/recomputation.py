"""Checks of a recording that need its latent model or its task: what it holds must come out again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import NDArray

from compression.coders.packet import CHANNEL_FORMAT
from compression.coders.packing import value_from_packet
from compression.errors import CompressionError, PacketError
from compression.masks import features_of, mask_table
from compression.model.latent_model import LatentModel
from compression.uplink import uplink_bits
from racer.loop.conditions import condition_names
from racer.recordings.expectation import ModelCheck
from racer.recordings.models import NotHereError, find_model, find_task
from racer.recordings.receiving import (
    NoReceiverError,
    PacketFormat,
    downlinks,
    packet_format,
    receiver_end,
    recorded_sizes,
)
from racer.recordings.rerun import applied_actions, first_difference, rerun_episode
from racer.software import software
from racer.tasks.registry import TaskError
from racer.tasks.task import Task
from sessions import Episode, Session
from sessions.verify import Check, Columns, Finding

_ARITHMETIC = ("torch", "numpy")
"""Software that the fills `prior` and `predict` depend on."""
_ROUNDING = 1e-3
"""Most by which their latents may differ between machines."""
_OTHER_FORMAT = f"recorded with another packet format than this version's {CHANNEL_FORMAT}"


class PacketsCheck(ModelCheck):
    """Each packet decodes, costs what was charged and no more than its slots, and holds what the sender saw."""

    name = "packets"

    def session(self, session: Session) -> Iterator[Finding]:
        """Find the latent model; without it, packets are still unpacked."""
        self._task = session.info.task
        self._model: LatentModel | None = None
        with suppress(NotHereError):  # which the check of weights tells of
            self._model = find_model(session.info, self.folder)
        self._known = session.info.config.get("channel_format") == CHANNEL_FORMAT
        if not self._known:
            yield self.found("skipped", _OTHER_FORMAT)

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Unpack every packet of an episode."""
        info = episode.info
        if not self._known:
            return
        up = uplink_bits(len(self._task.actions))
        if len(uncharged := np.flatnonzero(columns["uplink_bits"] != up)):
            yield self.failed(episode, f"uplink_bits at step {uncharged[0]} are not the {up} that an action takes")
        if not info.noisy and len(lost := np.flatnonzero(~columns["arrived"])):
            yield self.failed(episode, f"arrived is false at step {lost[0]} of an episode without noise")
        if info.condition not in condition_names():
            yield self.found("skipped", f"episode {episode.index}: condition {info.condition!r} is not known here")
            return
        if info.condition == "raw":
            if info.bits_per_step or columns["bits"].any():
                yield self.failed(episode, "bits are charged in condition raw")
            return
        try:
            expected = packet_format(info, recorded_sizes(self._task))
        except CompressionError as error:
            yield self.failed(episode, str(error))
            return
        if (info.bits_per_step, info.packet_bytes) != (expected.bits, expected.width):
            yield self.failed(
                episode,
                f"a packet has {info.packet_bytes} bytes and costs {info.bits_per_step} bits "
                f"where {expected.width} and {expected.bits} are due",
            )
            return
        charged = np.flatnonzero(columns["bits"] != expected.bits)
        if expected.hard and len(charged):
            yield self.failed(episode, f"bits at step {charged[0]} are not the {expected.bits} that its slots cost")
        yield from self._unpack(episode, columns, expected)

    def _unpack(self, episode: Episode, columns: Columns, expected: PacketFormat) -> Iterator[Finding]:
        rows = zip(columns["packet"], columns["mask"], columns["latent"], columns["bits"].tolist(), strict=True)
        for step, (packet, mask, latent, bits) in enumerate(rows):
            if not columns["arrived"][step]:
                continue
            try:
                wrong = self._wrong(packet.tobytes(), mask, latent, bits, expected, episode.info.noisy)
            except PacketError as error:
                wrong = f"packet at step {step}: {error}"
            if wrong:
                yield self.failed(episode, wrong.format(step=step))
                return

    def _wrong(
        self,
        packet: bytes,
        mask: NDArray[np.bool_],
        latent: NDArray[np.float32],
        bits: int,
        expected: PacketFormat,
        noisy: bool,
    ) -> str:
        """Return what is wrong with a packet that arrived, which noise may have changed into anything.

        Raises:
            PacketError: If it is none, and no noise can have been the reason.
        """
        if not expected.hard:
            padded = bits % 8 == 0 and not any(packet[bits // 8 :])
            return "" if padded else "packet at step {step} is longer than the bits that were charged for it"
        layout = expected.layout
        if layout is None:
            value_from_packet(packet, expected.slot_bits)
            return ""
        try:
            index, symbols = layout.unpack(packet)
        except PacketError:
            if noisy:
                return ""
            raise
        if mask_table(layout.blocks, layout.sent)[index].tobytes() != mask.tobytes():
            return "mask at step {step} is not the one in the packet"
        if self._model is None or noisy:
            return ""
        features = np.flatnonzero(features_of(mask, self._task.block_size))
        if symbols != self._model.quantizer.encode(latent, features, layout.levels):
            return "packet at step {step} does not hold the latent that was encoded"
        return ""


class ReceivedCheck(ModelCheck):
    """The receiver's latents come out of packets and actions alone, bit for bit."""

    name = "received"

    def session(self, session: Session) -> Iterator[Finding]:
        """Find the latent model."""
        self._info, self._path = session.info, session.path
        self._model: LatentModel | None = None
        try:
            if session.info.config.get("channel_format") != CHANNEL_FORMAT:
                raise NotHereError(_OTHER_FORMAT)
            self._model = find_model(session.info, self.folder)
        except NotHereError as error:
            yield self.found("skipped", str(error))
            return
        self._elsewhere = _differences(session.info.software, _ARITHMETIC) or (
            "another machine" if session.info.software.get("platform") != _software()["platform"] else ""
        )

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Receive every packet of an episode again."""
        info = episode.info
        if self._model is None or info.condition == "raw" or info.condition not in condition_names():
            return
        if applied_actions(info, columns).max(initial=0) >= len(self._info.task.actions):
            return  # as the check of values says
        latents, masks = [], []
        try:
            end = receiver_end(self._info, info, self._model, self._path)
            for downlink in downlinks(self._info, info, columns):
                if downlink.step == 0:
                    end.reset()
                received = end.take(downlink)
                latents.append(received.latent)
                masks.append(received.mask)
        except NoReceiverError as error:
            yield self.found("skipped", f"episode {episode.index}: {error}")
            return
        except (CompressionError, ValueError) as error:
            yield self.failed(episode, f"received cannot be recomputed: {error}")
            return
        if not latents:
            return
        if (step := first_difference(np.array(masks), columns["mask"])) is not None:
            yield self.failed(episode, f"mask at step {step} does not follow from the packets")
        yield from self._compare(episode, np.array(latents, np.float32), columns["received"])

    def _compare(
        self, episode: Episode, expected: NDArray[np.float32], received: NDArray[np.float32]
    ) -> Iterator[Finding]:
        step = first_difference(expected, received)
        if step is None:
            return
        largest = float(np.abs(expected - received).max())
        detail = f"received at step {step} does not follow from the packets"
        if episode.info.fill != "hold" and self._elsewhere and largest <= _ROUNDING:
            remark = f"exactly ({self._elsewhere}; {largest:.1g} off)"
            yield self.found("warn", f"episode {episode.index}: {detail} {remark}")
        else:
            yield self.failed(episode, detail)


class ReplayCheck(Check):
    """The metrics of every step come out again when its episode is done again, without drawing it."""

    name = "replay"

    def session(self, session: Session) -> Iterator[Finding]:
        """See whether the task and the same software are installed."""
        self._task: Task | None = None
        try:
            task = find_task(session.info, session.path)
        except NotHereError as error:
            yield self.found("skipped", str(error))
            return
        if reason := _differences(session.info.software, task.spec.software):
            yield self.found("skipped", f"recorded with other software ({reason})")
            return
        self._other_racer = _differences(session.info.software, ("racer",))
        self._task = task

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Do an episode again."""
        if self._task is None:
            return
        try:
            again = rerun_episode(self._task, episode.info, columns)
        except TaskError as error:
            yield self.found("skipped", f"episode {episode.index}: {error}")
            return
        if again.difference and self._other_racer:
            yield self.found("warn", f"episode {episode.index}: {again.difference} ({self._other_racer})")
        elif again.difference:
            yield self.failed(episode, again.difference)


def _differences(recorded: dict[str, str], names: Iterable[str]) -> str:
    """Return in which of these programs, and in what kind of machine, a recording's software differs from this one."""
    here = _software()
    different = [
        f"{name} {recorded.get(name, '?')[:40]}, here {installed}"
        for name in names
        if recorded.get(name) != (installed := here.get(name) or _installed(name))
    ]
    if _kind(recorded.get("platform", "")) != _kind(here["platform"]):
        different.append(f"{recorded.get('platform', '?')[:80]}, here {here['platform']}")
    return "; ".join(different)


def _kind(platform: str) -> tuple[str, str, str]:
    """Return system, processor and C library of a platform such as `Linux-6.1.0-x86_64-with-glibc2.36`."""
    processor = re.search(r"x86_64|AMD64|arm64|aarch64|ARM64", platform)
    return platform.partition("-")[0], processor[0] if processor else "", platform.partition("-with-")[2]


@lru_cache(maxsize=1)
def _software() -> dict[str, str]:
    return software()


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
