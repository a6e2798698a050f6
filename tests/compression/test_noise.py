from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compression.errors import NoiseError
from compression.noise import Link, NoiseName, check_noise

NOISES: tuple[NoiseName, ...] = get_args(NoiseName)
SLOTS = st.tuples(st.integers(1, 200), st.integers(1, 3))


def link(kind: NoiseName, rate: float, seed: int = 0) -> Link:
    return Link(kind, rate, np.random.default_rng(seed))


def packet_of(slot_bits: int, slots: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    width = (slot_bits + 7) // 8
    return b"".join(
        (int.from_bytes(rng.bytes(width), "big") >> (8 * width - slot_bits)).to_bytes(width, "big")
        for _ in range(slots)
    )


def flipped(sent: bytes, arrived: bytes | None) -> int:
    assert arrived is not None and len(arrived) == len(sent)
    return sum((a ^ b).bit_count() for a, b in zip(sent, arrived, strict=True))


@given(SLOTS, st.sampled_from(NOISES), st.integers(0, 99))
def test_nothing_happens_to_a_packet_at_rate_zero(slot: tuple[int, int], kind: NoiseName, seed: int) -> None:
    packet = packet_of(*slot, seed)
    assert link(kind, 0.0, seed).carry(packet, *slot) == packet


@given(SLOTS, st.integers(0, 99))
def test_flips_at_rate_one_invert_every_bit_of_the_slots_and_none_beside_them(slot: tuple[int, int], seed: int) -> None:
    packet = packet_of(*slot, seed)
    arrived = link("flips", 1.0).carry(packet, *slot)
    assert flipped(packet, arrived) == slot[0] * slot[1]
    assert link("flips", 1.0).carry(arrived or b"", *slot) == packet


@given(SLOTS, st.sampled_from(("flips", "gaussian")), st.floats(0, 1), st.integers(0, 99))
def test_whatever_arrives_still_fits_its_slots(slot: tuple[int, int], kind: NoiseName, rate: float, seed: int) -> None:
    arrived = link(kind, rate, seed).carry(packet_of(*slot, seed), *slot)
    assert arrived is not None
    width = len(arrived) // slot[1]
    for start in range(0, len(arrived), width):
        assert int.from_bytes(arrived[start : start + width], "big").bit_length() <= slot[0]


@pytest.mark.parametrize(
    ("kind", "rate", "expected"),
    [
        ("flips", 0.1, 0.1),
        # The tail of the normal distribution beyond 1 / rate standard deviations.
        ("gaussian", 0.5, 0.5 * math.erfc(2 / math.sqrt(2))),
        ("gaussian", 1.0, 0.5 * math.erfc(1 / math.sqrt(2))),
        ("gaussian", 100.0, 0.5 * math.erfc(0.01 / math.sqrt(2))),
    ],
)
def test_as_many_bits_are_inverted_as_theory_says(kind: NoiseName, rate: float, expected: float) -> None:
    noisy, packet, count = link(kind, rate, 3), packet_of(800, 1, 5), 250
    share = sum(flipped(packet, noisy.carry(packet, 800)) for _ in range(count)) / (800 * count)
    assert share == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / (800 * count)))


def test_erasures_take_whole_packets_at_their_rate() -> None:
    noisy, packet = link("erasures", 0.1, 4), packet_of(85, 1, 5)
    arrived = [noisy.carry(packet, 85) for _ in range(4000)]
    assert set(arrived) == {None, packet}
    assert arrived.count(None) / len(arrived) == pytest.approx(0.1, abs=0.025)


@pytest.mark.parametrize("kind", NOISES)
def test_the_seed_decides_what_is_hit_and_the_packets_content_does_not(kind: NoiseName) -> None:
    def hits(seed: int, content: int) -> list[int | None]:
        noisy = link(kind, 0.4, seed) if kind != "none" else link(kind, 0.0, seed)
        packets = [packet_of(85, 1, content + step) for step in range(20)]
        arrived = [noisy.carry(packet, 85) for packet in packets]
        return [None if a is None else flipped(p, a) for p, a in zip(packets, arrived, strict=True)]

    assert hits(1, 0) == hits(1, 0)
    if kind in ("erasures", "flips"):
        assert hits(1, 0) == hits(1, 500)
    if kind != "none":
        assert hits(1, 0) != hits(2, 0)


@pytest.mark.parametrize(
    ("kind", "rate", "told"),
    [
        ("rain", 0.0, "none, flips, erasures, gaussian"),
        ("flips", -0.1, "between 0 and 1"),
        ("erasures", 1.5, "between 0 and 1"),
        ("gaussian", 101.0, "between 0 and 100"),
        ("gaussian", math.nan, "between 0 and 100"),
        ("none", 0.1, "needs a kind of noise"),
    ],
)
def test_noise_that_cannot_be_is_refused_in_one_line(kind: str, rate: float, told: str) -> None:
    with pytest.raises(NoiseError, match=told) as refusal:
        check_noise(kind, rate)
    assert "\n" not in str(refusal.value)
