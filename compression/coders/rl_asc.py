"""The rl-asc coder: semantic concepts of a frame, each at the level that an agent picks, and a generative decoder.

After RL-ASC (Huang, Gao, Tao, Du and Lu, "Towards semantic communications: deep learning-based image semantic coding",
arXiv 2208.04094). A segmentation network labels the frame's pixels; the label map, reduced to cells of 8x8 pixels, is
sent without loss; the features of the cells are quantised at one of six levels for each concept; a generator makes a
frame of both.

What differs: the slot is hard. The agent is told what a bit costs, and the cheapest price at which its choices fit is
taken; where none does, the features are left out, and then the label map becomes simpler, cell by cell, until it fits.
A packet of ones alone says nothing, and what was shown stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import Coder, CoderSettings, FrameReceiver, FrameSender
from compression.coders.packing import packet_from_value, value_from_packet
from compression.coders.range_coding import Reader, pack, require_constriction
from compression.errors import SlotError
from compression.model.sizes import Sizes

if TYPE_CHECKING:  # import torch
    from compression.fitting.fitted import FittedModel
    from compression.model.latent_model import LatentModel
    from compression.rl_asc.codec import ConceptCodec

NAME = "rl-asc"
LEAST_BITS = 8


def _least_bits(sizes: Sizes) -> int:
    return LEAST_BITS


class ConceptSender(FrameSender):
    """Sends concepts. No frame depends on those before.

    Args:
        model: Encodes the frame for the record alone.
        settings: Slot and fitted file.

    Raises:
        CoderError: If there is no fitted file.
        SlotError: If the slot is too small.
    """

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._bits = settings.bits
        self._codec = _codec(model, settings)

    def encode_frame(self, frame: NDArray[np.uint8]) -> bytes:
        """Return the packet for a frame, uint8[H, W, C]."""
        return packet_from_value(self._value(frame), self._bits)

    def _value(self, frame: NDArray[np.uint8]) -> int:
        code, nothing = self._codec.code, (1 << self._bits) - 1
        maps, features = self._codec.look(frame[None])
        cells = maps[0]
        if code.map_symbols(cells).bits <= self._bits:
            for price in self._codec.prices:
                levels = self._codec.choose(maps, features, price)[0]
                value = pack(code.symbols(cells, levels, features[0]), self._bits)
                if value is not None and value != nothing:
                    return value
        coarsest = np.zeros(self._codec.design.parts, np.int32)
        for simple in (cells, *code.simpler(cells)):
            value = pack(code.symbols(simple, coarsest, features[0]), self._bits)
            if value is not None and value != nothing:
                return value
        return nothing


class ConceptReceiver(FrameReceiver):
    """Makes frames of packets. One of ones alone says nothing.

    Args:
        model: Encodes what is shown for the record, and says what to show before anything has arrived.
        settings: Slot and fitted file.

    Raises:
        CoderError: If there is no fitted file.
        SlotError: If the slot is too small.
    """

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._bits = settings.bits
        self._codec = _codec(model, settings)

    def decode_frame(self, packet: bytes) -> NDArray[np.uint8] | None:
        """Return the frame, uint8[H, W, C], of a packet; None if it says nothing. Raises PacketError if it is none."""
        value = value_from_packet(packet, self._bits)
        if value == (1 << self._bits) - 1:
            return None
        shown: NDArray[np.uint8] = self._codec.show([self._codec.code.read(Reader(value, self._bits))])[0]
        return shown


def _codec(model: LatentModel, settings: CoderSettings) -> ConceptCodec:
    from compression.rl_asc.codec import codec_of

    if settings.bits < LEAST_BITS:
        raise SlotError(f"coder {NAME} needs {LEAST_BITS} bits or more; got {settings.bits}")
    return codec_of(settings.fitted_for(NAME), model.sizes)


def _check(fitted: FittedModel, sizes: Sizes) -> None:
    from compression.rl_asc.codec import check_rl_asc

    require_constriction()
    check_rl_asc(fitted, sizes)


RL_ASC = Coder(
    name=NAME,
    summary="what a generator makes of the parts of the frame, whose bits an agent allots",
    source=(
        "After RL-ASC (Huang, Gao, Tao, Du and Lu, 2022, arXiv 2208.04094); small networks, range coding, "
        "and a hard slot that the agent's price of a bit and then a simpler label map keep."
    ),
    sender=ConceptSender,
    receiver=ConceptReceiver,
    least_bits=_least_bits,
    needs=NAME,
    made_by="racer model train-coder",
    check=_check,
    software=("constriction",),
)
