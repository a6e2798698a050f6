"""The agent coder: what an agent acts by is sent, and a decoder draws what people see from it.

After J. Bader and P. N. von Bachmann, "Extremely Lossy Compression through Reinforcement Learning" (2021). They count
estimated bits; here every bit is in the packet (`compression.coders.ladder`), and none exceeds the slot. What does not
fit is sent more coarsely, and the packet says how.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import Coder, CoderSettings, FrameReceiver, FrameSender
from compression.coders.ladder import Ladder
from compression.coders.range_coding import require_constriction
from compression.fitting.fitted import FittedModel, require_shapes
from compression.model.sizes import Sizes

if TYPE_CHECKING:
    from compression.model.agent import QuantisedAgent
    from compression.model.latent_model import LatentModel
    from compression.model.vae import Decoder

NAME = "agent"
TABLES = ("lowest", "frequencies", "rungs")
_MOST = 1e9
"""Bound of latents before they are rounded, beyond what any table holds."""


@dataclass(frozen=True, eq=False)
class FittedAgent:
    """A file's agent, its tables and its decoder."""

    acting: QuantisedAgent
    ladder: Ladder
    step: float
    """Quantiser step: latents are rounded to whole multiples of it."""
    decoder: Decoder

    def numbers(self, latents: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the whole numbers, int64[N, latents], that latents, float32[N, latents], are rounded to.

        Whatever the networks come to is one: what is no number counts as 0.
        """
        exact = np.nan_to_num(latents.astype(np.float64), posinf=_MOST, neginf=-_MOST) / self.step
        return self.ladder.clipped(np.rint(exact.clip(-_MOST, _MOST)).astype(np.int64))

    def frames(self, received: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the frames, uint8[N, H, W, C], that are drawn of received numbers, float32[N, latents]."""
        import torch

        from compression.model.latent_model import frames_of

        with torch.inference_mode():
            return frames_of(self.decoder(torch.from_numpy(received * np.float32(self.step))))


def check_agent(fitted: FittedModel, sizes: Sizes) -> None:
    """Raise ValueError unless a file holds an agent for frames and actions of these sizes.

    Raises:
        CoderError: If constriction is not installed.
    """
    require_constriction()
    from compression.model.agent import agent_sizes, unfilled

    tables = {name: fitted.tensors.get(name, np.zeros(0)) for name in (*TABLES, "step")}
    latents = tables["lowest"].size
    networks = unfilled(agent_sizes(sizes, latents)) if latents else {}
    shapes: dict[str, tuple[int, ...]] = {
        f"{part}.{name}": tuple(tensor.shape)
        for part, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    require_shapes(fitted, shapes | {name: table.shape for name, table in tables.items()})
    if any((tables[name] != np.rint(tables[name])).any() for name in TABLES):
        raise ValueError("its tables hold no whole numbers")
    if tables["step"].shape != (1,) or not 1e-4 <= tables["step"][0] <= 1e3:
        raise ValueError("its step is not valid")
    _ladder(fitted)


@lru_cache(maxsize=8)
def fitted_agent(fitted: FittedModel, sizes: Sizes) -> FittedAgent:
    """Return what a file of an agent holds, for a latent model of these sizes. It has no state."""
    from compression.model.agent import Agent, QuantisedAgent, agent_sizes, filled, unfilled
    from compression.model.vae import Decoder

    networks = {
        part: filled(network, {name: fitted.tensors[f"{part}.{name}"] for name in network.state_dict()})
        for part, network in unfilled(agent_sizes(sizes, len(fitted.tensors["lowest"]))).items()
    }
    agent, decoder = networks["agent"], networks["decoder"]
    assert isinstance(agent, Agent) and isinstance(decoder, Decoder)
    step = float(fitted.tensors["step"][0])
    return FittedAgent(QuantisedAgent(agent, step), _ladder(fitted), step, decoder)


def _ladder(fitted: FittedModel) -> Ladder:
    return Ladder(*(fitted.tensors[name].astype(np.int64) for name in TABLES))


class AgentSender(FrameSender):
    """Sends what the agent sees in a frame.

    Args:
        model: Encodes the frame for the record alone.
        settings: With the agent's file.
    """

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._bits = settings.bits
        self._fitted = fitted_agent(settings.fitted_for(NAME), model.sizes)

    def encode_frame(self, frame: NDArray[np.uint8]) -> bytes:
        """Return the packet for a frame, uint8[H, W, C]."""
        (numbers,) = self._fitted.numbers(self._fitted.acting.latents(frame[None]))
        return self._fitted.ladder.pack(numbers, self._bits)


class AgentReceiver(FrameReceiver):
    """Draws what arrived.

    Args:
        model: Encodes what is shown for the record, and says what to show before anything has arrived.
        settings: With the agent's file.
    """

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._bits = settings.bits
        self._fitted = fitted_agent(settings.fitted_for(NAME), model.sizes)

    def decode_frame(self, packet: bytes) -> NDArray[np.uint8]:
        """Return the frame, uint8[H, W, C], of a packet that arrived. Raises PacketError if it is none."""
        shown: NDArray[np.uint8] = self._fitted.frames(self._fitted.ladder.unpack(packet, self._bits)[None])[0]
        return shown


AGENT = Coder(
    name=NAME,
    summary="what an agent that does the task acts by",
    source=(
        'After Bader and von Bachmann, "Extremely Lossy Compression through Reinforcement Learning" (2021): an '
        "agent's feature extractor encodes, under a loss for bits. Here the agent imitates, a factorised prior is "
        "learned along, and latents are range-coded into the slot, more coarsely where they do not fit."
    ),
    sender=AgentSender,
    receiver=AgentReceiver,
    needs=NAME,
    made_by="racer agent train",
    check=check_agent,
    software=("constriction",),
)
