"""Spoilt packets for `fuzz_inputs.py`: every receiver must show something finite, or refuse them and be as it was."""

from __future__ import annotations

import random
from functools import cache
from typing import Any, get_args

import numpy as np
import torch
from fuzz_cases import spoil_bytes  # type: ignore[import-not-found]
from numpy.typing import NDArray

from compression.coders.blocks import BlockReceiver, full_layout
from compression.coders.coder import CoderSettings, LatentReceiver, LatentSender, Receiver, find_coder
from compression.coders.packet import Layout, layout_for, least_bits
from compression.errors import PacketError
from compression.fill import FillName
from compression.fitting.fitted import FittedModel, FittedRecord
from compression.model.latent_model import LatentModel
from compression.rl_asc.codec import check_rl_asc
from compression.rl_asc.concepts import table_shapes, whole_counts
from compression.rl_asc.networks import Design, System

PACKETS_PER_CASE = 600
MOST_BITS = 170
CODERS = ("coarse", "hold-last", "pico-rate", "pico-transform", "predictive", "rl-allocation", "jpeg", "webp")
"""All that are not of masks."""


def mask_packets(model: LatentModel, rng: random.Random) -> str:
    """Unpack 600 packets of one layout and give them to its receivers; returns `read`, or `refused` if all were."""
    sizes = model.sizes
    slot = rng.randint(least_bits(sizes.blocks), MOST_BITS + 1)
    layout = full_layout(sizes) if slot > MOST_BITS else layout_for(slot, sizes)
    receivers = [BlockReceiver(model, layout, fill) for fill in ("hold", "prior", "predict")]
    refused = 0
    for number in range(PACKETS_PER_CASE):
        packet = _spoilt_packet(layout, rng)
        receiver = receivers[0 if number % 20 else rng.randrange(3)]
        before = receiver.latent
        try:
            index, symbols = layout.unpack(packet)
            if layout.pack(index, symbols) != packet:
                raise AssertionError(f"packet {packet.hex()} of {slot} bits is no one's own")
            if not np.isfinite(receiver.take(packet, rng.randrange(sizes.actions))).all():
                raise AssertionError(f"packet {packet.hex()} of {slot} bits decodes to what is not finite")
        except PacketError:
            refused += 1
            try:
                receiver.take(packet, 0)
            except PacketError:
                pass
            else:
                raise AssertionError(f"packet {packet.hex()} of {slot} bits is refused and received") from None
            if receiver.latent is not before:
                raise AssertionError(
                    f"packet {packet.hex()} of {slot} bits is refused and changes the latent"
                ) from None
    return "refused" if refused == PACKETS_PER_CASE else "read"


def coder_packets(model: LatentModel, rng: random.Random, coders: tuple[str, ...] = CODERS) -> str:
    """Give 600 packets to the receiver of one of the other coders, some lost; returns as `mask_packets`."""
    coder = find_coder(rng.choice(coders))
    bits = rng.randint(coder.least_bits(model.sizes), MOST_BITS)
    fitted = coder.read_shipped(model) or (untrained_concepts(model) if coder.name == "rl-asc" else None)
    numbers = np.random.default_rng(rng.randrange(2**63))
    settings = CoderSettings(bits, "episode", rng.choice(get_args(FillName)), numbers, fitted)
    sender = coder.sender(model, settings)
    receiver, twin = coder.receiver(model, settings), coder.receiver(model, settings)
    refused, action = 0, 0
    for _ in range(PACKETS_PER_CASE):
        latent = numbers.standard_normal(model.mean.shape).astype(np.float32)
        if isinstance(sender, LatentSender):
            sound = sender.send(latent, action)
        else:
            sound = sender.encode(model.decode_latent(latent), action)
        packet = None if rng.random() < 0.1 else _spoilt(sound, rng)
        named = f"packet {packet.hex() if packet else packet} of {bits} bits, {coder.name},"
        try:
            shown = _received(receiver, packet, action)
        except PacketError:
            refused += 1
            continue  # the twin never saw it
        if not (np.isfinite(shown).all() and np.isfinite(receiver.latent).all()):
            raise AssertionError(f"{named} decodes to what is not finite")
        if not np.array_equal(shown, _received(twin, packet, action)):
            raise AssertionError(f"before {named} a packet was refused and changed the receiver")
        action = rng.randrange(model.sizes.actions)
    return "refused" if refused == PACKETS_PER_CASE else "read"


@cache
def untrained_concepts(model: LatentModel) -> FittedModel:
    """Return what a file of coder rl-asc would hold: networks that nobody trained, and any tables."""
    design, numbers = Design(model.sizes.frame, 5, 4), np.random.default_rng(0)
    torch.manual_seed(0)
    tensors = {f"system.{name}": value.numpy() for name, value in System(design).state_dict().items()}
    for name, shape in table_shapes(design).items():
        tensors[name] = whole_counts(numbers.exponential(size=shape) ** 4)
    tensors |= {"cell.weights": np.ones(5, np.float32), "prices": np.array([1e-4, 1e-2], np.float32)}
    record = FittedRecord("rl-asc", model.sha256, (), (), (), {"parts": list("abcde"), "channels": 4})
    fitted = FittedModel(tensors, record, "untrained")
    check_rl_asc(fitted, model.sizes)
    return fitted


def _received(receiver: Receiver, packet: bytes | None, action: int) -> NDArray[Any]:
    """Return what a receiver makes of a packet; of one that receives latents without decoding the frame."""
    return receiver.take(packet, action) if isinstance(receiver, LatentReceiver) else receiver.decode(packet, action)


def _spoilt_packet(layout: Layout, rng: random.Random) -> bytes:
    return _spoilt(layout.pack(rng.randrange(layout.masks), [rng.randrange(levels) for levels in layout.levels]), rng)


def _spoilt(packet: bytes, rng: random.Random) -> bytes:
    """Return the packet itself, other bytes of its length, or a spoilt one."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(len(packet))
    return packet if kind == 1 else bytes(spoil_bytes(packet, b"\xff" * 8, rng))
