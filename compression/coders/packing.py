"""Bits: integers in packets, and several small numbers in one integer.

A message is one integer in mixed radix, and a packet holds it in one slot or several, each a big-endian integer below
2**slot_bits in as few bytes as that takes, the most significant first.
"""

from __future__ import annotations

from math import prod

from compression.errors import PacketError


def packet_bytes(slot_bits: int, slots: int = 1) -> int:
    """Return how many bytes a packet takes."""
    return slots * ((slot_bits + 7) // 8)


def packet_from_value(value: int, slot_bits: int, slots: int = 1) -> bytes:
    """Return the packet that holds an integer below 2**(slot_bits * slots)."""
    if value < 0 or value.bit_length() > slot_bits * slots:
        raise AssertionError(f"a message of {value.bit_length()} bits does not fit {slot_bits * slots}")
    low = (1 << slot_bits) - 1
    parts = [(value >> (slot_bits * i)) & low for i in reversed(range(slots))]
    return b"".join(part.to_bytes(packet_bytes(slot_bits), "big") for part in parts)


def value_from_packet(packet: bytes, slot_bits: int, slots: int = 1) -> int:
    """Return the integer that a packet holds.

    Raises:
        PacketError: If the bytes are not as many as they should be, or a slot is exceeded.
    """
    if len(packet) != packet_bytes(slot_bits, slots):
        raise PacketError(f"expected a packet of {packet_bytes(slot_bits, slots)} bytes; got {len(packet)}")
    value, width = 0, packet_bytes(slot_bits)
    for start in range(0, len(packet), width):
        part = int.from_bytes(packet[start : start + width], "big")
        if part.bit_length() > slot_bits:
            raise PacketError(f"packet exceeds its slot of {slot_bits} bits")
        value = value << slot_bits | part
    return value


def value_from_symbols(symbols: list[int], levels: tuple[int, ...]) -> int:
    """Return the integer, below the product of the levels, that holds symbol i in [0, levels[i]).

    Raises:
        ValueError: If a symbol is out of range, or there are not as many as levels.
    """
    if len(symbols) != len(levels):
        raise ValueError(f"expected {len(levels)} symbols; got {len(symbols)}")
    value = 0
    for symbol, count in zip(symbols, levels, strict=True):
        if not 0 <= symbol < count:
            raise ValueError(f"symbol must lie in [0, {count}); got {symbol}")
        value = value * count + symbol
    return value


def symbols_from_value(value: int, levels: tuple[int, ...]) -> list[int]:
    """Return the symbols that an integer holds.

    Raises:
        PacketError: If it is not below the product of the levels.
    """
    if value >= prod(levels):
        raise PacketError(f"packet names no message: {value} is not below {prod(levels)}")
    symbols = []
    for count in reversed(levels):
        value, symbol = divmod(value, count)
        symbols.append(symbol)
    return symbols[::-1]
