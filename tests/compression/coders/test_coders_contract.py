"""What every built-in coder that codes latents must keep, at every rate it offers and with models of any sizes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from compression.coders.coder import CoderSettings, LatentReceiver, LatentSender, find_coder
from compression.coders.packing import packet_from_value, value_from_packet
from compression.errors import PacketError
from compression.model.latent_model import LatentModel

NAMES = ["coarse", "pico-rate", "pico-transform", "predictive", "rl-allocation", "hold-last"]
RATES = [1, 2, 3, 5, 6, 8, 12, 18, 27, 42, 64, 85, 128, 170]
STEPS = 40


class Case:
    """A coder, and a walk through a model's latents."""

    def __init__(self, name: str, model: LatentModel) -> None:
        self.name, self.coder, self.model = name, find_coder(name), model
        rng = np.random.default_rng(5)
        latents = [model.mean]
        for step in rng.normal(0, 0.2, (STEPS, model.sizes.latents)):
            latents.append(0.95 * latents[-1] + step)
        self.latents = np.stack(latents[1:]).astype(np.float32)
        """float32[40, latents]"""
        self.actions: list[int] = rng.integers(model.sizes.actions, size=STEPS).tolist()

    def ends(self, bits: int) -> tuple[LatentSender, LatentReceiver]:
        fitted = self.coder.read_shipped(self.model)
        settings = CoderSettings(bits, "episode", "hold", np.random.default_rng(0), fitted)
        sender, receiver = self.coder.sender(self.model, settings), self.coder.receiver(self.model, settings)
        assert isinstance(sender, LatentSender) and isinstance(receiver, LatentReceiver)
        return sender, receiver

    def run(self, bits: int) -> tuple[list[bytes], NDArray[np.float32]]:
        sender, receiver = self.ends(bits)
        sender.reset()
        receiver.reset()
        packets, shown, action = [], [], 1
        for latent, then in zip(self.latents, self.actions, strict=True):
            packets.append(sender.send(latent, action))
            shown.append(receiver.take(packets[-1], action))
            action = then
        return packets, np.stack(shown)

    @property
    def rates(self) -> list[int]:
        return [bits for bits in RATES if bits >= self.coder.least_bits(self.model.sizes)]


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest, any_model: LatentModel) -> Case:
    if request.param == "predictive" and not any_model.sizes.hidden:
        pytest.skip("this model has no world model")
    return Case(request.param, any_model)


def test_no_packet_exceeds_its_slot(case: Case) -> None:
    for bits in case.rates:
        for packet in case.run(bits)[0]:
            assert value_from_packet(packet, bits) < 2**bits


def test_packets_and_actions_alone_give_what_was_shown(case: Case) -> None:
    for bits in (6, 12, 85):
        packets, shown = case.run(bits)
        _, receiver = case.ends(bits)
        receiver.reset()
        action = 1
        for packet, expected, then in zip(packets, shown, case.actions, strict=True):
            assert receiver.take(packet, action).tobytes() == expected.tobytes()
            action = then


def test_reset_forgets_the_last_episode(case: Case) -> None:
    sender, receiver = case.ends(12)

    def episode() -> list[bytes]:
        sender.reset()
        receiver.reset()
        return [bytes(receiver.take(sender.send(latent, 1), 1)) for latent in case.latents[:12]]

    assert episode() == episode()


def test_what_is_shown_is_not_changed_afterwards(case: Case) -> None:
    sender, receiver = case.ends(12)
    first = receiver.take(sender.send(case.latents[0], 1), 1)
    kept = first.copy()
    for latent in case.latents[1:8]:
        receiver.take(sender.send(latent, 2), 2)
    assert (first == kept).all()


def test_losses_are_concealed_and_carry_no_block(case: Case) -> None:
    sender, receiver = case.ends(12)
    for step, latent in enumerate(case.latents):
        packet = sender.send(latent, 1)
        shown = receiver.take(None if step % 3 == 1 else packet, 1)
        assert np.isfinite(shown).all() and shown.shape == case.model.mean.shape
        if step % 3 == 1:
            assert not receiver.mask.any()


def test_a_loss_before_anything_arrived_is_concealed(case: Case) -> None:
    _, receiver = case.ends(12)
    assert np.isfinite(receiver.take(None, 1)).all()


def shown_by(receiver: LatentReceiver, packet: bytes) -> bytes | None:
    """Return the latent that a receiver shows after a packet, None if it refuses it."""
    try:
        return receiver.take(packet, 1).tobytes()
    except PacketError:
        return None


def test_bytes_that_are_no_packet_change_nothing(case: Case) -> None:
    sender, receiver = case.ends(12)
    untouched_sender, untouched = case.ends(12)
    for latent in case.latents[:6]:
        for bad in (b"", b"\0" * 3, b"\xff\xff"):
            with pytest.raises(PacketError):
                receiver.take(bad, 1)
        for value in (4095, 4000, 3000):  # in the slot; a message of some coders
            packet = packet_from_value(value, 12)
            shown = shown_by(receiver, packet)
            assert shown is None or shown == shown_by(untouched, packet)
        # What was slipped in may make the sound packets after it none, but to both.
        assert shown_by(receiver, sender.send(latent, 1)) == shown_by(untouched, untouched_sender.send(latent, 1))


@pytest.mark.parametrize(
    "name", ["coarse", "pico-rate", "pico-transform", "predictive"]
)  # the agent minds the road, not the latent
def test_more_bits_bring_what_is_shown_nearer(name: str, model: LatentModel) -> None:
    case = Case(name, model)
    errors = [float(((case.run(bits)[1] - case.latents)[5:] ** 2).mean()) for bits in (12, 42, 170)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < errors[0] / 3
