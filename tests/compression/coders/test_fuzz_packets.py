"""Packets of any bytes: each is one of its layout's own, or refused with nothing changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compression.coders.blocks import BlockReceiver, full_layout
from compression.coders.packet import Layout, layout_for, least_bits
from compression.errors import PacketError
from compression.fill import FillName
from compression.model.latent_model import LatentModel
from compression.model.sizes import Sizes

MOST_BITS = 170
SIZES = Sizes((64, 64, 3), latents=32, blocks=8, actions=3, hidden=256, dense=512)
LAYOUTS = st.one_of(
    st.integers(least_bits(8), MOST_BITS).map(lambda bits: layout_for(bits, SIZES)), st.just(full_layout(SIZES))
)


@st.composite
def packets(draw: st.DrawFn) -> tuple[Layout, bytes]:
    """Any bytes, mostly as many as the layout wants."""
    layout = draw(LAYOUTS)
    length = draw(st.sampled_from([layout.packet_bytes] * 4 + [layout.packet_bytes - 1, layout.packet_bytes + 1]))
    return layout, draw(st.binary(min_size=length, max_size=length))


@given(packets())
def test_any_bytes_are_the_packet_of_one_message_or_refused(case: tuple[Layout, bytes]) -> None:
    layout, packet = case
    try:
        index, symbols = layout.unpack(packet)
    except PacketError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert layout.pack(index, symbols) == packet


@pytest.mark.parametrize("fill", ["hold", "prior", "predict"])
@given(st.lists(packets(), min_size=1, max_size=4), st.integers(0, 2))
def test_receiver_gives_finite_latents_and_is_unchanged_by_what_it_refuses(
    model: LatentModel, fill: FillName, cases: list[tuple[Layout, bytes]], action: int
) -> None:
    for layout, packet in cases:
        receiver = BlockReceiver(model, layout, fill)
        before, mask = receiver.latent.copy(), receiver.mask
        try:
            latent = receiver.take(packet, action)
        except PacketError:
            assert np.array_equal(receiver.latent, before)
            assert receiver.mask is mask
        else:
            assert latent.shape == before.shape
            assert np.isfinite(latent).all()
            assert receiver.mask.sum() == layout.sent
