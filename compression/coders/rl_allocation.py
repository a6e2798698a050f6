"""The rl-allocation coder: an agent allots quantiser levels to one block of features after the other.

After RL-ASC (Huang, Gao, Tao, Du and Lu, "Towards semantic communications: deep learning-based image semantic coding",
arXiv 2208.04094): a policy network goes through the semantic concepts of an image in turn and picks one of Q
quantisation levels for each, trained by policy gradient on the decrease of lambda * rate + semantic loss + eta *
perceptual loss.

What differs: concepts are the codec's 8 blocks of 4 latents, not regions of a segmentation map. The decoder is the
codec's, not a GAN. The slot is hard: levels that no longer fit are never picked, and the levels picked are part of the
packet (there: Huffman codes of any length). As a stream's next frame is much like its last, the agent also sees how far
each feature is from what the receiver shows already, and a block at one level keeps that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from compression.codec import Codec
from compression.coders.model_file import WEIGHTS, FittedCoder, load_coder
from compression.coding import (
    Coder,
    CoderSettings,
    LatentReceiver,
    LatentSender,
    packet_from_value,
    value_from_packet,
)
from compression.errors import CoderError, PacketError, SlotError
from compression.fill import Fill
from compression.masks import BLOCK_SIZE, BLOCKS, LATENTS

NAME = "rl-allocation"
LEAST_BITS = 6
"""Naming the level of a block takes 2 bits, and two levels of its 4 features 4."""
CHOICES = 4
"""Q, the levels that the agent picks from."""
_NAMING = 2
"""Bits that name a choice."""
_BITS_PER_BLOCK = 6
"""A block is considered for every so many bits, the most informative first."""
STATE = 2 * LATENTS + 2 * BLOCKS + 2
UNITS = 64
SHAPES = {
    "policy.0.bias": (UNITS,),
    "policy.0.weight": (UNITS, STATE),
    "policy.2.bias": (UNITS,),
    "policy.2.weight": (UNITS, UNITS),
    "policy.4.bias": (CHOICES,),
    "policy.4.weight": (CHOICES, UNITS),
}
load_rl_allocation = partial(load_coder, objective=NAME, shapes=SHAPES)


@dataclass(frozen=True)
class Menu:
    """What a slot allows. Raises SlotError if that is nothing."""

    bits: int
    """Slot."""

    def __post_init__(self) -> None:
        if self.bits < LEAST_BITS:
            raise SlotError(f"rl-allocation needs {LEAST_BITS} bits per step or more; got {self.bits}")

    @property
    def blocks(self) -> int:
        """Blocks that are considered, from the first on."""
        return min(self.bits // _BITS_PER_BLOCK, BLOCKS)

    @property
    def depths(self) -> tuple[int, ...]:
        """Bits per feature of each choice, ascending; 0: the block is not sent."""
        return (0, 1, 2, 3) if self.bits < 64 else (0, 2, 3, 4) if self.bits < 128 else (0, 3, 4, 5)

    @property
    def payload(self) -> int:
        """Bits left for the features after naming the choices."""
        return self.bits - _NAMING * self.blocks

    def fitting(self, left: int) -> int:
        """Return how many of the choices, from the first on, fit into so many bits; 1 at least."""
        return sum(BLOCK_SIZE * depth <= left for depth in self.depths)

    def state(
        self, latent: NDArray[np.float32], shown: NDArray[np.float32], chosen: list[int], left: int
    ) -> NDArray[np.float32]:
        """Return what the agent sees, float32[82]: latent, error shown, block, depths so far, bits left, slot."""
        state = np.zeros(STATE, np.float32)
        state[:LATENTS] = latent
        state[LATENTS : 2 * LATENTS] = latent - shown
        state[2 * LATENTS + len(chosen)] = 1
        for block, choice in enumerate(chosen):
            state[2 * LATENTS + BLOCKS + block] = self.depths[choice] / 4
        state[-2:] = left / self.payload, np.log2(self.bits) / 8
        return state


class Agent:
    """The policy, as plain arrays: a single state is too small to be worth a framework."""

    def __init__(self, model: FittedCoder) -> None:
        self._layers = [
            (model.tensors[f"policy.{index}.weight"], model.tensors[f"policy.{index}.bias"]) for index in (0, 2, 4)
        ]

    def choose(self, menu: Menu, latent: NDArray[np.float32], shown: NDArray[np.float32]) -> list[int]:
        """Return the likeliest choice for each block considered, on seeing the latent and what is shown."""
        chosen: list[int] = []
        left = menu.payload
        for _ in range(menu.blocks):
            values = menu.state(latent, shown, chosen, left)
            for number, (weight, bias) in enumerate(self._layers):
                values = weight @ values + bias
                if number < 2:
                    values = np.maximum(values, 0)
            chosen.append(int(np.argmax(values[: menu.fitting(left)])))
            left -= BLOCK_SIZE * menu.depths[chosen[-1]]
        return chosen


def features_and_levels(menu: Menu, chosen: list[int]) -> tuple[NDArray[np.intp], tuple[int, ...]]:
    """Return the features sent and the levels of each."""
    depths = np.repeat([menu.depths[choice] for choice in chosen], BLOCK_SIZE)
    features = np.flatnonzero(depths)
    return features, tuple(1 << int(depth) for depth in depths[features])


class _End:
    """What both ends do: keep what is shown."""

    def __init__(self, codec: Codec, settings: CoderSettings) -> None:
        self.menu = Menu(settings.bits)
        self._codec = codec
        self._fill: Fill = codec.fill(settings.fill)
        self.reset()

    def reset(self) -> None:
        self._fill.reset()
        self.shown = self._codec.mean.copy()

    def show(self, packet: bytes | None, action: int) -> NDArray[np.bool_]:
        """Take a packet; returns which features it held, bool[32]. Raises PacketError before anything has changed."""
        values, sent = np.zeros_like(self.shown), np.zeros(LATENTS, bool)
        if packet is not None:
            features, decoded = self._open(packet)
            values[features], sent[features] = decoded, True
        self.shown = self._fill.complete(values, sent, action, packet or b"")
        return sent

    def _open(self, packet: bytes) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        value = value_from_packet(packet, self.menu.bits)
        payload, naming = value & ((1 << self.menu.payload) - 1), value >> self.menu.payload
        chosen = [naming >> (_NAMING * block) & (CHOICES - 1) for block in range(self.menu.blocks)]
        features, levels = features_and_levels(self.menu, chosen)
        depths = [count.bit_length() - 1 for count in levels]
        if sum(depths) > self.menu.payload or payload >> sum(depths):
            raise PacketError("packet names levels that do not fit it")
        symbols = []
        for depth in reversed(depths):
            symbols.append(payload & ((1 << depth) - 1))
            payload >>= depth
        return features, self._codec.quantizer.decode(symbols[::-1], features, levels)


class AllocationSender(LatentSender):
    """Lets the agent choose. Knows what is shown as long as no packet is lost."""

    def __init__(self, codec: Codec, settings: CoderSettings) -> None:
        super().__init__(codec)
        if not isinstance(settings.model, FittedCoder):
            raise CoderError("coder rl-allocation needs its fitted file; reinstall racer")
        self._agent = Agent(settings.model)
        self._replica = _End(codec, settings)

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._replica.reset()

    def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the packet for a latent, float32[32]: the choices, then the features."""
        menu = self._replica.menu
        chosen = self._agent.choose(menu, latent, self._replica.shown)
        features, levels = features_and_levels(menu, chosen)
        value = 0
        for symbol, count in zip(self.codec.quantizer.encode(latent, features, levels), levels, strict=True):
            value = value * count + symbol
        naming = sum(choice << (_NAMING * block) for block, choice in enumerate(chosen))
        packet = packet_from_value(naming << menu.payload | value, menu.bits)
        self._replica.show(packet, action)
        return packet


class AllocationReceiver(LatentReceiver):
    """Reads the choices, then the features."""

    def __init__(self, codec: Codec, settings: CoderSettings) -> None:
        super().__init__(codec)
        self._end = _End(codec, settings)

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._end.reset()

    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[32]. Raises PacketError before anything has changed."""
        sent = self._end.show(packet, action)
        self.mask = np.asarray(sent.reshape(BLOCKS, BLOCK_SIZE).any(axis=1))
        return self._end.shown


RL_ALLOCATION = Coder(
    name=NAME,
    summary="blocks at levels that a trained agent picks in every step",
    source=(
        "After RL-ASC (Huang, Gao, Tao, Du and Lu, 2022, arXiv 2208.04094); blocks of latents in the place of semantic "
        "concepts, a hard slot that pays for naming the levels, and what is shown already as part of the state."
    ),
    sender=AllocationSender,
    receiver=AllocationReceiver,
    least_bits=LEAST_BITS,
    needs=NAME,
    load=load_rl_allocation,
    shipped=WEIGHTS / "rl-allocation.safetensors",
)
