"""The packet of the mask coders: one mixed-radix integer that holds the mask and the quantised features, nothing else.

With 32 latents in 8 blocks and the default slot of 85 bits: which 4 of the 8 blocks are sent (70 masks) and 16
features, 15 at 30 levels and one at 31; 70 * 30**15 * 31 = 2**84.69, so the mask is paid for inside the slot. Messages
have a fixed length, and a message may be spread over several slots (`full` uses two: all 32 features in 170 bits).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb, prod

from compression.coders.packing import (
    packet_bytes,
    packet_from_value,
    symbols_from_value,
    value_from_packet,
    value_from_symbols,
)
from compression.errors import SlotError
from compression.model.quantizer import MOST_LEVELS
from compression.model.sizes import Sizes

CHANNEL_FORMAT = 1
"""Raised whenever the same packets and weights would come out as other latents: recordings and masks name it."""

_FINE_LEVELS = 30
"""Levels at which another block is worth more than finer features (the paper's 5.3 bits a feature, capped)."""
MOST_BITS = 4096
"""Bits of the largest slot."""


@dataclass(frozen=True)
class Layout:
    """What a packet holds: `sent` of a model's `blocks`, feature i of those sent at `levels[i]` levels."""

    slot_bits: int
    """Bits that may cross per slot, 1 to 4096."""
    slots: int
    """Slots per step, 1 or more."""
    blocks: int
    """Blocks of the model."""
    sent: int
    """Blocks sent per step, 1 to `blocks`."""
    levels: tuple[int, ...]
    """Quantiser levels of each feature sent, in order, each 1 to 64; as many as there are in the blocks sent."""

    @property
    def masks(self) -> int:
        """Number of masks the packet can name: C(blocks, sent)."""
        return comb(self.blocks, self.sent)

    @property
    def states(self) -> int:
        """Number of different messages; each is an integer below it."""
        return self.masks * prod(self.levels)

    @property
    def bits(self) -> int:
        """Bits charged for every step: those of all the slots used, whatever the message."""
        return self.slot_bits * self.slots

    @property
    def packet_bytes(self) -> int:
        """Bytes of a packet."""
        return packet_bytes(self.slot_bits, self.slots)

    def pack(self, mask_index: int, symbols: list[int]) -> bytes:
        """Return the packet.

        Args:
            mask_index: In [0, masks).
            symbols: One per feature sent, symbol i in [0, levels[i]).

        Raises:
            ValueError: If a number is out of range.
        """
        value = value_from_symbols([mask_index, *symbols], (self.masks, *self.levels))
        return packet_from_value(value, self.slot_bits, self.slots)

    def unpack(self, packet: bytes) -> tuple[int, list[int]]:
        """Return (mask index, symbols) of a packet.

        Raises:
            PacketError: If the bytes are no packet of this layout.
        """
        value = value_from_packet(packet, self.slot_bits, self.slots)
        mask_index, *symbols = symbols_from_value(value, (self.masks, *self.levels))
        return mask_index, symbols


@lru_cache(maxsize=256)
def layout_for(slot_bits: int, sizes: Sizes, slots: int = 1, sent: int | None = None) -> Layout:
    """Return the layout that spends `slots` slots of `slot_bits` bits.

    Unless `sent` says otherwise, half of the blocks are sent, as in the paper; more where every feature of more
    blocks can have 30 levels, fewer where half of the blocks cannot have 2. Features get equal levels, as many as
    fit; what is left over adds a level to the first ones sent, to a single one if it is less than a bit.

    Args:
        slot_bits: Bits per slot, 1 or more.
        sizes: Those of the latent model.
        slots: Slots per step.
        sent: Blocks sent per step, 1 to all of them.

    Raises:
        SlotError: If the bits cannot name a mask and carry at least one feature of it.
    """
    blocks = sizes.blocks
    if not 1 <= slot_bits <= MOST_BITS:
        raise SlotError(f"bits per step must lie between 1 and {MOST_BITS}; got {slot_bits}")
    if slots < 1:
        raise SlotError(f"slots per step must be 1 or more; got {slots}")
    if sent is not None and not 1 <= sent <= blocks:
        raise SlotError(f"blocks sent must lie between 1 and {blocks}; got {sent}")
    capacity = 1 << (slot_bits * slots)
    chosen = _affordable_blocks(capacity, sizes) if sent is None else sent
    levels = _equal_levels(capacity // comb(blocks, chosen), chosen * sizes.block_size)
    if max(levels) < 2:
        least = least_bits(blocks, chosen)
        raise SlotError(
            f"{slot_bits * slots} bits per step are too few for a mask of {chosen} of {blocks} blocks: "
            f"naming it takes {least - 1} bits and a feature at least 1; ask for {least} bits or more"
        )
    return Layout(slot_bits=slot_bits, slots=slots, blocks=blocks, sent=chosen, levels=levels)


def least_bits(blocks: int, sent: int = 1) -> int:
    """Return the fewest bits that name a mask of `sent` of `blocks` blocks and carry one bit of a feature."""
    return (comb(blocks, sent) - 1).bit_length() + 1


def _affordable_blocks(capacity: int, sizes: Sizes) -> int:
    def smallest_levels(sent: int) -> int:
        return _equal_levels(capacity // comb(sizes.blocks, sent), sent * sizes.block_size)[-1]

    half = sizes.blocks // 2
    for sent in range(sizes.blocks, half, -1):
        if smallest_levels(sent) >= _FINE_LEVELS:
            return sent
    for sent in range(half, 1, -1):
        if smallest_levels(sent) >= 2:
            return sent
    return 1


def _equal_levels(states: int, features: int) -> tuple[int, ...]:
    """Return nearly equal levels, each at most MOST_LEVELS, the larger first, whose product is at most `states`."""
    if states < 1:
        return (1,) * features
    base = 1
    while base < MOST_LEVELS and (base + 1) ** features <= states:
        base += 1
    levels = [base] * features
    # Where a whole bit is left over it is worth spending on several features; a fraction of one on a single one.
    raised = features if states >= 2 * base**features else 1
    for index in range(raised if base < MOST_LEVELS else 0):
        if prod(levels) // base * (base + 1) > states:
            break
        levels[index] = base + 1
    return tuple(levels)
