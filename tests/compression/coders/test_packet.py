from __future__ import annotations

import re
from math import log2, prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.coders.packet import Layout, layout_for, least_bits
from compression.errors import PacketError, SlotError
from compression.model.quantizer import MOST_LEVELS
from compression.model.sizes import Sizes

SIZES = Sizes((64, 64, 3), latents=32, blocks=8, actions=3, hidden=256, dense=512)
ALL_SIZES = [
    SIZES,
    *(Sizes((40, 40, 1), latents, blocks, 4, 16, 32) for latents, blocks in ((12, 4), (16, 8), (4, 2), (96, 12))),
]

DESIGN = Layout(slot_bits=85, slots=1, blocks=8, sent=4, levels=(31,) + (30,) * 15)
"""The layout that the design names, spelled out."""
NIBBLES = Layout(slot_bits=4, slots=2, blocks=8, sent=1, levels=(2, 2, 2, 2))
"""Two slots of four bits: one hexadecimal digit in each byte."""

layouts = st.builds(
    layout_for, slot_bits=st.integers(6, 400), sizes=st.sampled_from(ALL_SIZES), slots=st.integers(1, 3)
)


@st.composite
def messages(draw: st.DrawFn) -> tuple[Layout, int, list[int]]:
    layout = draw(layouts)
    mask_index = draw(st.integers(0, layout.masks - 1))
    return layout, mask_index, list(draw(st.tuples(*(st.integers(0, levels - 1) for levels in layout.levels))))


@settings(max_examples=150)
@given(messages())
def test_unpack_returns_what_was_packed(message: tuple[Layout, int, list[int]]) -> None:
    layout, mask_index, symbols = message
    assert layout.unpack(layout.pack(mask_index, symbols)) == (mask_index, symbols)


@settings(max_examples=150)
@given(messages())
def test_every_slot_of_a_packet_is_below_two_to_the_slot_bits(message: tuple[Layout, int, list[int]]) -> None:
    layout, mask_index, symbols = message
    packet = layout.pack(mask_index, symbols)
    assert len(packet) == layout.packet_bytes == layout.slots * ((layout.slot_bits + 7) // 8)
    width = layout.packet_bytes // layout.slots
    for start in range(0, len(packet), width):
        assert int.from_bytes(packet[start : start + width], "big") < 2**layout.slot_bits


def test_the_default_layout_is_the_one_of_the_design() -> None:
    layout = layout_for(85, SIZES)
    assert (layout.sent, layout.masks, layout.bits, layout.packet_bytes) == (4, 70, 85, 11)
    assert sorted(layout.levels) == [30] * 15 + [31]
    assert round(log2(layout.states), 2) == 84.69


def test_the_full_layout_sends_everything_in_two_slots() -> None:
    layout = layout_for(85, SIZES, slots=2)
    assert (layout.sent, layout.masks, layout.bits, layout.packet_bytes) == (8, 1, 170, 22)
    assert len(layout.levels) == 32
    packet = layout.pack(0, [levels - 1 for levels in layout.levels])
    first, second = (int.from_bytes(packet[start : start + 11], "big") for start in (0, 11))
    assert first < 2**85
    assert second < 2**85
    assert first << 85 | second == layout.states - 1 < 2**170


@pytest.mark.parametrize(
    ("layout", "mask_index", "symbols", "packet"),
    [
        pytest.param(DESIGN, 0, [0] * 16, "00" * 11, id="first message of the design"),
        pytest.param(DESIGN, 0, [0] * 15 + [29], "00" * 10 + "1d", id="last symbol alone: 29"),
        pytest.param(DESIGN, 0, [0] * 14 + [1, 0], "00" * 10 + "1e", id="one before it: 1 * 30"),
        pytest.param(DESIGN, 0, [0] * 13 + [1, 2, 3], "00" * 9 + "03c3", id="1 * 900 + 2 * 30 + 3 = 963"),
        # 30^15 = 3^15 * 10^15 = 14348907 * 10^15
        pytest.param(DESIGN, 0, [1] + [0] * 15, f"{14348907 * 10**15:022x}", id="first symbol alone: 30^15"),
        pytest.param(DESIGN, 1, [0] * 16, f"{444816117 * 10**15:022x}", id="mask 1: 31 * 30^15"),
        pytest.param(DESIGN, 69, [30] + [29] * 15, "19c18b19f72d7c9ff2ffff", id="last: 70 * 31 * 30^15 - 1"),
        pytest.param(NIBBLES, 5, [1, 0, 1, 1], "050b", id="101 1011 in two slots"),
        pytest.param(NIBBLES, 7, [1, 1, 1, 1], "070f", id="111 1111 in two slots"),
        pytest.param(Layout(12, 1, 8, 1, (10, 10, 4, 1)), 7, [8, 9, 3, 0], "0c57", id="789 * 4 + 3 = 3159"),
        pytest.param(Layout(5, 1, 8, 1, (2, 2, 1, 1)), 3, [1, 0, 0, 0], "0e", id="011 1 0 = 14"),
    ],
)
def test_golden_packets(layout: Layout, mask_index: int, symbols: list[int], packet: str) -> None:
    assert layout.pack(mask_index, symbols).hex() == packet
    assert layout.unpack(bytes.fromhex(packet)) == (mask_index, symbols)


@pytest.mark.parametrize("sizes", ALL_SIZES)
def test_every_slot_size_has_a_layout_that_fits_or_is_refused_in_one_line(sizes: Sizes) -> None:
    refused = []
    for bits in range(1, 301):
        try:
            layout = layout_for(bits, sizes)
        except SlotError as error:
            refused.append(bits)
            assert "\n" not in str(error)
            continue
        assert layout.states <= 2**bits
        assert layout.states == layout.masks * prod(layout.levels)
        assert len(layout.levels) == sizes.block_size * layout.sent
        assert 1 <= min(layout.levels) <= max(layout.levels) <= min(layout.levels) + 1 <= MOST_LEVELS + 1
    assert refused == list(range(1, least_bits(sizes.blocks)))
    assert least_bits(8) == 4


def test_more_bits_never_mean_fewer_messages() -> None:
    states = [layout_for(bits, SIZES).states for bits in range(4, 301)]
    assert states == sorted(states)


@pytest.mark.parametrize("sent", range(1, 8))
def test_a_refusal_names_the_smallest_number_of_bits_that_works(sent: int) -> None:
    with pytest.raises(SlotError) as refusal:
        layout_for(1, SIZES, sent=sent)
    asked = re.search(r"ask for (\d+) bits", str(refusal.value))
    assert asked is not None
    assert layout_for(int(asked[1]), SIZES, sent=sent).sent == sent
    with pytest.raises(SlotError):
        layout_for(int(asked[1]) - 1, SIZES, sent=sent)


def test_naming_the_only_mask_is_free() -> None:
    assert layout_for(1, SIZES, sent=8).levels == (2,) + (1,) * 31


@pytest.mark.parametrize(
    ("bits", "slots", "sent"), [(0, 1, None), (-3, 1, None), (10**6, 1, None), (85, 0, None), (85, 1, 0), (85, 1, 9)]
)
def test_impossible_slots_are_refused_in_one_line(bits: int, slots: int, sent: int | None) -> None:
    with pytest.raises(SlotError) as refusal:
        layout_for(bits, SIZES, slots, sent)
    assert "\n" not in str(refusal.value)


eleven_bytes = st.one_of(
    st.binary(min_size=11, max_size=11), st.integers(0, 2**85 - 1).map(lambda value: value.to_bytes(11, "big"))
)


@settings(max_examples=300)
@given(eleven_bytes)
def test_any_eleven_bytes_decode_or_raise_one_typed_error(packet: bytes) -> None:
    layout = layout_for(85, SIZES)
    try:
        mask_index, symbols = layout.unpack(packet)
    except PacketError as error:
        assert int.from_bytes(packet, "big") >= layout.states
        assert "\n" not in str(error)
    else:
        assert layout.pack(mask_index, symbols) == packet


@settings(max_examples=150)
@given(layouts, st.data())
def test_any_bytes_of_any_layout_decode_or_raise_one_typed_error(layout: Layout, data: st.DataObject) -> None:
    packet = data.draw(st.binary(min_size=layout.packet_bytes, max_size=layout.packet_bytes))
    try:
        mask_index, symbols = layout.unpack(packet)
    except PacketError:
        return
    assert layout.pack(mask_index, symbols) == packet


def test_the_first_value_that_names_no_message_is_refused() -> None:
    assert DESIGN.unpack((DESIGN.states - 1).to_bytes(11, "big")) == (69, [30] + [29] * 15)
    with pytest.raises(PacketError):
        DESIGN.unpack(DESIGN.states.to_bytes(11, "big"))


def test_a_bit_above_the_slot_is_refused_in_any_slot() -> None:
    assert NIBBLES.unpack(bytes([0x07, 0x0F])) == (7, [1, 1, 1, 1])
    for packet in (bytes([0x17, 0x0F]), bytes([0x07, 0x1F])):
        with pytest.raises(PacketError):
            NIBBLES.unpack(packet)


@pytest.mark.parametrize("length", [0, 1, 10, 12, 22])
def test_a_packet_of_the_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(PacketError):
        layout_for(85, SIZES).unpack(bytes(length))


@pytest.mark.parametrize(
    ("mask_index", "symbols"),
    [
        (-1, [0] * 16),
        (70, [0] * 16),
        (0, [0] * 15),
        (0, [0] * 17),
        (0, [31] + [0] * 15),
        (0, [0] * 15 + [30]),
        (0, [-1] + [0] * 15),
    ],
)
def test_pack_refuses_what_is_out_of_range(mask_index: int, symbols: list[int]) -> None:
    with pytest.raises(ValueError):
        DESIGN.pack(mask_index, symbols)


def test_a_layout_that_overflows_its_slot_never_packs() -> None:
    with pytest.raises((ValueError, AssertionError)):
        Layout(slot_bits=4, slots=1, blocks=8, sent=1, levels=(64, 64, 64, 64)).pack(7, [63, 63, 63, 63])
