"""The packet: one mixed-radix integer that holds the mask and the quantised features, and nothing else.

With the default slot of 85 bits: which 4 of the 8 blocks are sent (70 masks) and 16 features, 15 at 30 levels and
one at 31; 70 * 30**15 * 31 = 2**84.69, so the mask is paid for inside the slot. Messages have a fixed length, and a
message may be spread over several slots (`full` uses two: all 32 features in 170 bits).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb, prod

from compression.errors import PacketError, SlotError
from compression.masks import BLOCK_SIZE, BLOCKS

CHANNEL_FORMAT = 1
"""Raised whenever the same packets and weights would come out as other latents: recordings and masks name it."""

MOST_LEVELS = 64
"""Quantiser tables ship for 1 to this many levels per feature."""
_FINE_LEVELS = 30
"""Levels at which another block is worth more than finer features (the paper's 5.3 bits a feature, capped)."""
_PAPER_BLOCKS = BLOCKS // 2
MOST_BITS = 4096
"""Bits of the largest slot."""


@dataclass(frozen=True)
class Layout:
    """What a packet holds: `blocks` of the 8 blocks, feature i of those sent at `levels[i]` levels."""

    slot_bits: int
    """Bits that may cross per slot, 1 to 4096."""
    slots: int
    """Slots per step, 1 or more."""
    blocks: int
    """Blocks sent per step, 1 to 8."""
    levels: tuple[int, ...]
    """Quantiser levels of each feature sent, in order; length 4 * blocks, each 1 to 64."""

    @property
    def masks(self) -> int:
        """Number of masks the packet can name: C(8, blocks)."""
        return comb(BLOCKS, self.blocks)

    @property
    def states(self) -> int:
        """Number of different messages; each is an integer below it."""
        return self.masks * prod(self.levels)

    @property
    def bits(self) -> int:
        """Bits charged for every step: those of all the slots used, whatever the message."""
        return self.slot_bits * self.slots

    @property
    def slot_bytes(self) -> int:
        """Bytes that hold one slot."""
        return (self.slot_bits + 7) // 8

    @property
    def packet_bytes(self) -> int:
        """Bytes of a packet."""
        return self.slot_bytes * self.slots

    def pack(self, mask_index: int, symbols: list[int]) -> bytes:
        """Return the packet: slots in order, the most significant first, each a big-endian integer.

        Args:
            mask_index: In [0, masks).
            symbols: One per feature sent, symbol i in [0, levels[i]).

        Raises:
            ValueError: If a number is out of range.
        """
        if not 0 <= mask_index < self.masks:
            raise ValueError(f"mask index must lie in [0, {self.masks}); got {mask_index}")
        if len(symbols) != len(self.levels):
            raise ValueError(f"expected {len(self.levels)} symbols; got {len(symbols)}")
        value = mask_index
        for symbol, levels in zip(symbols, self.levels, strict=True):
            if not 0 <= symbol < levels:
                raise ValueError(f"symbol must lie in [0, {levels}); got {symbol}")
            value = value * levels + symbol
        if value.bit_length() > self.bits:
            raise AssertionError(f"a message of {value.bit_length()} bits does not fit {self.bits}")
        low = (1 << self.slot_bits) - 1
        parts = [(value >> (self.slot_bits * i)) & low for i in reversed(range(self.slots))]
        return b"".join(part.to_bytes(self.slot_bytes, "big") for part in parts)

    def unpack(self, packet: bytes) -> tuple[int, list[int]]:
        """Return (mask index, symbols) of a packet.

        Raises:
            PacketError: If the bytes are no packet of this layout.
        """
        if len(packet) != self.packet_bytes:
            raise PacketError(f"expected a packet of {self.packet_bytes} bytes; got {len(packet)}")
        value = 0
        for start in range(0, len(packet), self.slot_bytes):
            part = int.from_bytes(packet[start : start + self.slot_bytes], "big")
            if part.bit_length() > self.slot_bits:
                raise PacketError(f"packet exceeds its slot of {self.slot_bits} bits")
            value = value << self.slot_bits | part
        if value >= self.states:
            raise PacketError(f"packet names no message: {value} is not below {self.states}")
        symbols = []
        for levels in reversed(self.levels):
            value, symbol = divmod(value, levels)
            symbols.append(symbol)
        return value, symbols[::-1]


@lru_cache(maxsize=256)
def layout_for(slot_bits: int, slots: int = 1, blocks: int | None = None) -> Layout:
    """Return the layout that spends `slots` slots of `slot_bits` bits.

    Unless `blocks` says otherwise, half of the blocks are sent, as in the paper; more where every feature of more
    blocks can have 30 levels, fewer where half of the blocks cannot have 2. Features get equal levels, as many as
    fit; what is left over adds a level to the first ones sent, to a single one if it is less than a bit.

    Args:
        slot_bits: Bits per slot, 1 or more.
        slots: Slots per step.
        blocks: Blocks sent per step, 1 to 8.

    Raises:
        SlotError: If the bits cannot name a mask and carry at least one feature of it.
    """
    if not 1 <= slot_bits <= MOST_BITS:
        raise SlotError(f"bits per step must lie between 1 and {MOST_BITS}; got {slot_bits}")
    if slots < 1:
        raise SlotError(f"slots per step must be 1 or more; got {slots}")
    if blocks is not None and not 1 <= blocks <= BLOCKS:
        raise SlotError(f"blocks sent must lie between 1 and {BLOCKS}; got {blocks}")
    capacity = 1 << (slot_bits * slots)
    chosen = _affordable_blocks(capacity) if blocks is None else blocks
    levels = _equal_levels(capacity // comb(BLOCKS, chosen), chosen * BLOCK_SIZE)
    if max(levels) < 2:
        names = (comb(BLOCKS, chosen) - 1).bit_length()
        raise SlotError(
            f"{slot_bits * slots} bits per step are too few for a mask of {chosen} of {BLOCKS} blocks: "
            f"naming it takes {names} bits and a feature at least 1; ask for {names + 1} bits or more"
        )
    return Layout(slot_bits=slot_bits, slots=slots, blocks=chosen, levels=levels)


def _affordable_blocks(capacity: int) -> int:
    def smallest_levels(blocks: int) -> int:
        return _equal_levels(capacity // comb(BLOCKS, blocks), blocks * BLOCK_SIZE)[-1]

    for blocks in range(BLOCKS, _PAPER_BLOCKS, -1):
        if smallest_levels(blocks) >= _FINE_LEVELS:
            return blocks
    for blocks in range(_PAPER_BLOCKS, 1, -1):
        if smallest_levels(blocks) >= 2:
            return blocks
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
