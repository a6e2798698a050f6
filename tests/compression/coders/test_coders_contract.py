"""What every built-in coder that codes latents must keep, at every rate it offers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from compression.coders.coder import (
    Coder,
    CoderSettings,
    LatentReceiver,
    LatentSender,
    find_coder,
    packet_from_value,
    value_from_packet,
)
from compression.errors import PacketError
from compression.model.latent_model import load_codec

NAMES = ["coarse", "pico-rate", "predictive", "rl-allocation", "hold-last"]
RATES = [1, 2, 3, 5, 6, 8, 12, 18, 27, 42, 64, 85, 128, 170]
STEPS = 40


@lru_cache(maxsize=1)
def drive() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A walk through latents, float32[40, 32], and actions."""
    rng = np.random.default_rng(5)
    latents = [load_codec().mean]
    for step in rng.normal(0, 0.2, (STEPS, 32)):
        latents.append(0.95 * latents[-1] + step)
    return np.stack(latents[1:]).astype(np.float32), rng.integers(-1, 2, STEPS)


def settings(coder: Coder, bits: int) -> CoderSettings:
    codec = load_codec()
    model = coder.load(coder.shipped, codec.sha256) if coder.load and coder.shipped else None
    return CoderSettings(bits, "episode", "hold", np.random.default_rng(0), model)


def ends(name: str, bits: int) -> tuple[LatentSender, LatentReceiver]:
    coder = find_coder(name)
    chosen = settings(coder, bits)
    sender, receiver = coder.sender(load_codec(), chosen), coder.receiver(load_codec(), chosen)
    assert isinstance(sender, LatentSender) and isinstance(receiver, LatentReceiver)
    return sender, receiver


def run(name: str, bits: int) -> tuple[list[bytes], NDArray[np.float32]]:
    sender, receiver = ends(name, bits)
    sender.reset()
    receiver.reset()
    packets, shown, action = [], [], 0
    for latent, then in zip(*drive(), strict=True):
        packets.append(sender.send(latent, action))
        shown.append(receiver.take(packets[-1], action))
        action = int(then)
    return packets, np.stack(shown)


def usable(name: str, bits: int) -> bool:
    return bits >= find_coder(name).least_bits


@pytest.mark.parametrize("name", NAMES)
def test_no_packet_exceeds_its_slot(name: str) -> None:
    for bits in filter(lambda bits: usable(name, bits), RATES):
        for packet in run(name, bits)[0]:
            assert value_from_packet(packet, bits) < 2**bits


@pytest.mark.parametrize("name", NAMES)
def test_packets_and_actions_alone_give_what_was_shown(name: str) -> None:
    for bits in (6, 12, 85):
        packets, shown = run(name, bits)
        _, receiver = ends(name, bits)
        receiver.reset()
        action = 0
        for packet, expected, then in zip(packets, shown, drive()[1], strict=True):
            assert receiver.take(packet, action).tobytes() == expected.tobytes()
            action = int(then)


@pytest.mark.parametrize("name", NAMES)
def test_reset_forgets_the_last_episode(name: str) -> None:
    sender, receiver = ends(name, 12)

    def episode() -> list[bytes]:
        sender.reset()
        receiver.reset()
        return [bytes(receiver.take(sender.send(latent, 0), 0)) for latent in drive()[0][:12]]

    assert episode() == episode()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_is_not_changed_afterwards(name: str) -> None:
    sender, receiver = ends(name, 12)
    first = receiver.take(sender.send(drive()[0][0], 0), 0)
    kept = first.copy()
    for latent in drive()[0][1:8]:
        receiver.take(sender.send(latent, 1), 1)
    assert (first == kept).all()


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_concealed_and_carry_no_block(name: str) -> None:
    sender, receiver = ends(name, 12)
    for step, latent in enumerate(drive()[0]):
        packet = sender.send(latent, 0)
        shown = receiver.take(None if step % 3 == 1 else packet, 0)
        assert np.isfinite(shown).all() and shown.shape == (32,)
        if step % 3 == 1:
            assert not receiver.mask.any()


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_before_anything_arrived_is_concealed(name: str) -> None:
    _, receiver = ends(name, 12)
    assert np.isfinite(receiver.take(None, 0)).all()


def shown_by(receiver: LatentReceiver, packet: bytes) -> bytes | None:
    """Return the latent that a receiver shows after a packet, None if it refuses it."""
    try:
        return receiver.take(packet, 0).tobytes()
    except PacketError:
        return None


@pytest.mark.parametrize("name", NAMES)
def test_bytes_that_are_no_packet_change_nothing(name: str) -> None:
    sender, receiver = ends(name, 12)
    untouched_sender, untouched = ends(name, 12)
    for latent in drive()[0][:6]:
        for bad in (b"", b"\0" * 3, b"\xff\xff"):
            with pytest.raises(PacketError):
                receiver.take(bad, 0)
        for value in (4095, 4000, 3000):  # in the slot; a message of some coders
            packet = packet_from_value(value, 12)
            shown = shown_by(receiver, packet)
            assert shown is None or shown == shown_by(untouched, packet)
        # What was slipped in may make the sound packets after it none, but to both.
        assert shown_by(receiver, sender.send(latent, 0)) == shown_by(untouched, untouched_sender.send(latent, 0))


@pytest.mark.parametrize("name", ["coarse", "pico-rate", "predictive"])  # the agent minds the road, not the latent
def test_more_bits_bring_what_is_shown_nearer(name: str) -> None:
    errors = [float(((run(name, bits)[1] - drive()[0])[5:] ** 2).mean()) for bits in (12, 42, 170)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < errors[0] / 3
