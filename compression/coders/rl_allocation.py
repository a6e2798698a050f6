"""The rl-allocation coder: an agent allots quantiser levels to one block of features after the other.

After RL-ASC (Huang, Gao, Tao, Du and Lu, "Towards semantic communications: deep learning-based image semantic coding",
arXiv 2208.04094): a policy network goes through the semantic concepts of an image in turn and picks one of Q
quantisation levels for each, trained by policy gradient on the decrease of lambda * rate + semantic loss + eta *
perceptual loss.

What differs: concepts are the blocks of the latent, not regions of a segmentation map. The decoder is the latent
model's, not a GAN. The slot is hard: a packet is the number of one of the allocations that fit, and the features at its
levels (there: Huffman codes of any length), and what leads to none that fits is never picked. As a stream's next frame
is much like its last, the agent also sees how far each feature is from what the receiver shows already, and a block at
one level keeps that.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate, product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import Coder, CoderSettings, LatentReceiver, LatentSender
from compression.coders.packing import packet_from_value, symbols_from_value, value_from_packet, value_from_symbols
from compression.errors import CoderError, PacketError, SlotError
from compression.fill import Fill
from compression.fitting.fitted import FittedModel, Shapes, require_shapes
from compression.model.sizes import Sizes

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel

NAME = "rl-allocation"
MOST_BLOCKS = 8
"""All 4**8 = 65,536 allocations are listed."""
CHOICES = 4
"""Q, the levels that the agent picks from."""
UNITS = 64


def least_bits(sizes: Sizes) -> int:
    """Return the smallest slot: two levels for each feature of the first block, or that it is not sent."""
    return sizes.block_size + 1


def state_size(sizes: Sizes) -> int:
    """Return how many numbers the agent sees, see `Menu.states`."""
    return sizes.latents + 2 * sizes.block_size + 3 * sizes.blocks + 4


def shapes_for(sizes: Sizes) -> Shapes:
    """Return what a fitted file holds."""
    return {
        "policy.0.bias": (UNITS,),
        "policy.0.weight": (UNITS, state_size(sizes)),
        "policy.2.bias": (UNITS,),
        "policy.2.weight": (UNITS, UNITS),
        "policy.4.bias": (CHOICES,),
        "policy.4.weight": (CHOICES, UNITS),
    }


def check_rl_allocation(fitted: FittedModel, sizes: Sizes) -> None:
    """Raise ValueError unless a file holds an agent for a model of these sizes."""
    require_shapes(fitted, shapes_for(sizes))


class Menu:
    """The allocations that fit a slot: a choice of levels for each block, in the order of their numbers.

    Cheaper ones come first, and of those that cost the same the ones that are finest on the first blocks, which hold
    the most. As many are offered as have room, each with all that its features can say, in the integers of the slot.

    Args:
        bits: Slot.
        sizes: Those of the latent model.

    Raises:
        SlotError: If the slot is too small for any.
        CoderError: If the model has more blocks than can be listed.
    """

    def __init__(self, bits: int, sizes: Sizes) -> None:
        if sizes.blocks > MOST_BLOCKS:
            raise CoderError(
                f"{NAME} allots levels to at most {MOST_BLOCKS} blocks, and this latent model has {sizes.blocks}; "
                "choose another coder"
            )
        if bits < least_bits(sizes):
            raise SlotError(f"{NAME} needs {least_bits(sizes)} bits per step or more; got {bits}")
        self.bits, self.sizes = bits, sizes
        rich = bits // (2 * sizes.latents)
        self.depths = (0, 1, 2, 3) if rich < 1 else (0, 2, 3, 4) if rich < 2 else (0, 3, 4, 5)
        """Bits per feature of each choice, ascending; 0: the block is not sent."""
        combinations = np.array(list(product(range(CHOICES), repeat=sizes.blocks)), np.int8)
        cost = sizes.block_size * np.array(self.depths)[combinations].sum(axis=1)
        order = np.lexsort((-np.arange(len(cost)), cost))
        ends = list(accumulate(1 << spent for spent in cost[order].tolist()))
        count = bisect_right(ends, 1 << bits)
        self.choices = combinations[order[:count]]
        """int8[M, blocks], the choice for each block of each allocation."""
        self._starts = [0, *ends[:count]]
        numbers = order[:count]
        self._numbers = {int(number): index for index, number in enumerate(numbers)}
        self._open = []
        for block in range(sizes.blocks):
            leads = np.zeros(CHOICES ** (block + 1), bool)
            leads[numbers // CHOICES ** (sizes.blocks - block - 1)] = True
            self._open.append(leads.reshape(-1, CHOICES))

    def fitting(self, chosen: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return which choices for the next block lead to an allocation, bool[N, 4], after int[N, blocks chosen]."""
        before = np.zeros(len(chosen), np.int64)
        for column in chosen.T:
            before = before * CHOICES + column
        fits: NDArray[np.bool_] = self._open[chosen.shape[1]][before]
        return fits

    def states(
        self, latents: NDArray[np.float32], shown: NDArray[np.float32], chosen: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Return what the agent sees before its next choice, float32[N, state_size].

        That is the latent; the part of the block to choose for, and its error in what is shown; how large the error of
        each block is; which block it is; the depths chosen so far; how large the block's own error and the largest of
        those to come are; the share of the slot that is taken, and the slot.
        """
        block, count = chosen.shape[1], len(latents)
        blocks, block_size = self.sizes.blocks, self.sizes.block_size
        errors = (latents - shown).reshape(count, blocks, block_size)
        sizes = np.sqrt((errors**2).mean(axis=2))
        worst = sizes[:, block + 1 :].max(axis=1, initial=0.0)
        mark = np.zeros((count, blocks), np.float32)
        mark[:, block] = 1
        depths = np.zeros((count, blocks), np.float32)
        depths[:, :block] = np.array(self.depths, np.float32)[chosen]
        own = latents.reshape(count, blocks, block_size)[:, block]
        numbers = np.stack([sizes[:, block], worst, block_size * depths.sum(axis=1) / self.bits], axis=1)
        slot = np.full((count, 1), np.log2(self.bits) / 8)
        parts = (latents, own, errors[:, block], sizes, mark, depths / 4, numbers, slot)
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def pack(self, chosen: NDArray[np.integer], payload: int) -> int:
        """Return the integer, below 2**bits, of an allocation, int[8], and what its features say."""
        number = 0
        for choice in chosen.tolist():
            number = number * CHOICES + choice
        start: int = self._starts[self._numbers[number]]
        return start + payload

    def unpack(self, value: int) -> tuple[NDArray[np.integer], int]:
        """Return the allocation, int8[blocks], and what its features say.

        Raises:
            PacketError: If there is no such allocation.
        """
        if value >= self._starts[-1]:
            raise PacketError("packet names an allocation that does not exist")
        index = bisect_right(self._starts, value) - 1
        return self.choices[index], value - self._starts[index]


menu_for = lru_cache(maxsize=16)(Menu)
"""The menu of a slot: it has no state, so that all who send through such a slot share it."""


class AllocationPolicy:
    """The policy, as plain arrays: a single state is too small to be worth a framework."""

    def __init__(self, fitted: FittedModel) -> None:
        self._layers = [
            (fitted.tensors[f"policy.{index}.weight"], fitted.tensors[f"policy.{index}.bias"]) for index in (0, 2, 4)
        ]

    def choose(self, menu: Menu, latent: NDArray[np.float32], shown: NDArray[np.float32]) -> NDArray[np.integer]:
        """Return the likeliest choice for each block, int8[blocks], on seeing the latent and what is shown."""
        blocks = menu.sizes.blocks
        chosen = np.zeros((1, blocks), np.int8)
        for block in range(blocks):
            values = menu.states(latent[None], shown[None], chosen[:, :block])[0]
            for number, (weight, bias) in enumerate(self._layers):
                values = weight @ values + bias
                if number < 2:
                    values = np.maximum(values, 0)
            chosen[0, block] = np.argmax(np.where(menu.fitting(chosen[:, :block])[0], values, -np.inf))
        allocation: NDArray[np.integer] = chosen[0]
        return allocation


def features_and_levels(menu: Menu, chosen: NDArray[np.integer]) -> tuple[NDArray[np.intp], tuple[int, ...]]:
    """Return the features that an allocation, int[8], sends, and the levels of each."""
    depths = np.repeat(np.array(menu.depths)[chosen], menu.sizes.block_size)
    features = np.flatnonzero(depths)
    return features, tuple(1 << int(depth) for depth in depths[features])


class _End:
    """What both ends do: keep what is shown."""

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        self.menu = menu_for(settings.bits, model.sizes)
        self._model = model
        self._fill: Fill = model.fill(settings.fill)
        self.reset()

    def reset(self) -> None:
        self._fill.reset()
        self.shown = self._model.mean.copy()

    def show(self, packet: bytes | None, action: int) -> NDArray[np.bool_]:
        """Take a packet; return which features it held, bool[latents]. Raises PacketError with nothing changed."""
        values, sent = np.zeros_like(self.shown), np.zeros(len(self.shown), bool)
        if packet is not None:
            features, decoded = self._open(packet)
            values[features], sent[features] = decoded, True
        self.shown = self._fill.complete(values, sent, action, packet or b"")
        return sent

    def _open(self, packet: bytes) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        chosen, payload = self.menu.unpack(value_from_packet(packet, self.menu.bits))
        features, levels = features_and_levels(self.menu, chosen)
        symbols = symbols_from_value(payload, levels)
        return features, self._model.quantizer.decode(symbols, features, levels)


class AllocationSender(LatentSender):
    """Lets the agent choose. Knows what is shown as long as no packet is lost."""

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._agent = AllocationPolicy(settings.fitted_for(NAME))
        self._replica = _End(model, settings)

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._replica.reset()

    def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the packet for a latent, float32[latents]: the choices, then the features."""
        menu = self._replica.menu
        chosen = self._agent.choose(menu, latent, self._replica.shown)
        features, levels = features_and_levels(menu, chosen)
        symbols = self.model.quantizer.encode(latent, features, levels)
        packet = packet_from_value(menu.pack(chosen, value_from_symbols(symbols, levels)), menu.bits)
        self._replica.show(packet, action)
        return packet


class AllocationReceiver(LatentReceiver):
    """Reads the choices, then the features."""

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._end = _End(model, settings)

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._end.reset()

    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[latents]. Raises PacketError before anything has changed."""
        sent = self._end.show(packet, action)
        sizes = self.model.sizes
        self.mask = np.asarray(sent.reshape(sizes.blocks, sizes.block_size).any(axis=1))
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
    least_bits=least_bits,
    needs=NAME,
    check=check_rl_allocation,
)
