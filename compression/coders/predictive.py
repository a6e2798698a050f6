"""The predictive coder: both ends predict the next latent, and only what they missed is sent.

Closed-loop prediction (differential pulse code modulation; Cutler, US patent 2605361, 1952) with a recurrent network as
the predictor and a Kalman filter's bookkeeping (Kalman, 1960) in place of an allocation that would have to be sent.
Both ends run the same world model on what was received and on the actions applied. A packet is a few readings
(`compression.coders.schedule`): mostly signs of the difference along the directions that matter most at that moment.

Differences alone would never heal after a lost packet: the two ends' predictions would stay apart. So some readings
are absolute, in rotation over the directions that matter: the receiver moves its prediction into the cell named.
Steps are counted at both ends, lost ones included.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import Coder, CoderSettings, LatentReceiver, LatentSender
from compression.coders.packing import packet_from_value, value_from_packet
from compression.coders.schedule import Dynamics, Reading, Schedule
from compression.errors import PacketError
from compression.fitting.fitted import FittedModel, Shapes, require_shapes
from compression.model.sizes import Sizes
from compression.uplink import Uplink

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel
    from compression.model.world_model import WorldModel

NAME = "predictive"
ANCHORS = (2, 3, 5, 8, 12, 24)
"""Bits per step at which the dynamics of the errors were fitted; other rates use the nearest, by ratio."""
REACH = 4.0
"""Standard deviations that a prediction may reach."""
_SMALLEST_DIRECTION = 1e-4
"""Length of a direction that anything can be read along."""


def shapes_for(sizes: Sizes) -> Shapes:
    """Return what a fitted file holds: a world model, and what is read of its errors."""
    latents, hidden = sizes.latents, sizes.hidden
    return {
        "cell.bias_hh": (3 * hidden,),
        "cell.bias_ih": (3 * hidden,),
        "cell.weight_hh": (3 * hidden, hidden),
        "cell.weight_ih": (3 * hidden, latents + sizes.actions),
        "change.bias": (latents,),
        "change.weight": (latents, hidden),
        "directions": (latents, latents),
        "innovation": (len(ANCHORS), latents, latents),
        "start": (latents,),
        "transition": (len(ANCHORS), latents, latents),
    }


def check_predictive(fitted: FittedModel, sizes: Sizes) -> None:
    """Raise ValueError unless a file holds a world model and describes a filter."""
    if not sizes.hidden:
        raise ValueError("it needs a latent model that has a world model")
    require_shapes(fitted, shapes_for(sizes))
    directions = fitted.tensors["directions"].astype(np.float64)
    lowest = np.linalg.eigvalsh(fitted.tensors["innovation"].astype(np.float64)).min()
    if lowest < -1e-6 or np.linalg.norm(directions, axis=1).min() < _SMALLEST_DIRECTION:
        raise ValueError("its covariances or directions are not valid")


class Forecast:
    """What is known of the latent: the same at both ends as long as no packet is lost.

    Args:
        fitted: The coder's file.
        model: The latent model, shared by both ends.
        bits: Slot.
    """

    def __init__(self, fitted: FittedModel, model: LatentModel, bits: int) -> None:
        self._world_model = world_model(fitted, model.sizes)
        self._schedule = _schedule(fitted, model, bits)
        self._start = fitted.tensors["start"]
        self.reset()

    def reset(self) -> None:
        """Begin a new episode."""
        import torch

        self._step = 0
        self._hidden = torch.zeros(1, self._world_model.hidden)
        self.latent = self._start
        """float32[latents]"""

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The readings of the step to come."""
        return self._schedule[self._step]

    def advance(self, action: int) -> tuple[Reading, ...]:
        """Predict the next step and return its readings; `action` is the last one applied."""
        import torch

        readings = self.readings
        if self._step:
            with torch.inference_mode():
                # One row at a time at both ends: a batch may be summed in another order.
                self._hidden, predicted = self._world_model(
                    torch.from_numpy(self.latent)[None], torch.tensor([action]), self._hidden
                )
            self.latent = predicted[0].numpy().clip(-REACH, REACH)
        self._step += 1
        return readings

    def learn(self, reading: Reading, symbol: int) -> None:
        """Move the latent by what a reading says."""
        said = dequantise(reading, symbol, float(reading.direction @ self.latent))
        self.latent = self.latent + np.float32(said) * reading.gain


def quantise(reading: Reading, predicted: float, actual: float) -> int:
    """Return the symbol, in [0, levels), of a projection that was predicted otherwise."""
    centre = predicted if reading.centre is None else reading.centre
    return min(max(int(np.floor((actual - centre) / reading.step)) + reading.levels // 2, 0), reading.levels - 1)


def dequantise(reading: Reading, symbol: int, predicted: float) -> float:
    """Return how far the projection lies from where it was predicted.

    Of an absolute reading that is no further than to the inner half of the cell, whose outermost ones are open.
    """
    middle = (symbol - reading.levels // 2 + 0.5) * reading.step
    if reading.centre is None:
        return middle
    low = -np.inf if symbol == 0 else reading.centre + middle - reading.step / 4
    high = np.inf if symbol == reading.levels - 1 else reading.centre + middle + reading.step / 4
    return float(min(max(predicted, low), high)) - predicted


class PredictiveSender(LatentSender):
    """Runs a replica of the receiver and tells it where it is wrong."""

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._bits = settings.bits
        self._replica = Forecast(settings.fitted_for(NAME), model, settings.bits)

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._replica.reset()

    def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the packet for a latent, float32[latents]."""
        value = 0
        for reading in self._replica.advance(action):
            predicted = float(reading.direction @ self._replica.latent)
            symbol = quantise(reading, predicted, float(reading.direction @ latent))
            self._replica.learn(reading, symbol)
            value = value << reading.depth | symbol
        return packet_from_value(value, self._bits)


class PredictiveReceiver(LatentReceiver):
    """Predicts, and corrects itself by what arrives; what is lost stays as predicted."""

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._bits = settings.bits
        self._forecast = Forecast(settings.fitted_for(NAME), model, settings.bits)
        # Foresight has to be the sender's, who learns of actions as late as this.
        self._uplink = Uplink(settings.action_delay or 0, settings.action_delay is None)

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._forecast.reset()
        self._uplink.reset()

    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[latents], after a packet. Raises PacketError before anything has changed."""
        if packet is None:
            self._forecast.advance(self._uplink.tell(action))
            return self._forecast.latent.copy()
        value = value_from_packet(packet, self._bits)
        symbols = []
        for reading in reversed(self._forecast.readings):
            value, symbol = divmod(value, reading.levels)
            symbols.append(symbol)
        if value:
            raise PacketError("packet says more than there are readings in this step")
        readings = self._forecast.advance(self._uplink.tell(action))
        for reading, symbol in zip(readings, reversed(symbols), strict=True):
            self._forecast.learn(reading, symbol)
        # A reading is of all features at once; the blocks named are those it bears on most.
        self.mask = _touched(readings, self.model.sizes)
        return self._forecast.latent.copy()


def _touched(readings: tuple[Reading, ...], sizes: Sizes) -> NDArray[np.bool_]:
    blocks = np.zeros(sizes.blocks, bool)
    for reading in readings:
        blocks[int(np.argmax(np.abs(reading.direction))) // sizes.block_size] = True
    return blocks


@lru_cache(maxsize=4)
def world_model(fitted: FittedModel, sizes: Sizes) -> WorldModel:
    """Return the fitted predictor. It has no state: both ends of many channels may share it."""
    import torch

    from compression.model.world_model import WorldModel

    with torch.device("meta"):
        network = WorldModel(sizes)
    names = network.state_dict()
    network.load_state_dict({name: torch.from_numpy(fitted.tensors[name]) for name in names}, assign=True)
    return network.eval().requires_grad_(False)


@lru_cache(maxsize=64)
def _schedule(fitted: FittedModel, model: LatentModel, bits: int) -> Schedule:
    """Return what is read at a rate; worked out once, as what follows from it is added when it is asked for."""
    anchor = nearest_anchor(bits)
    transition, innovation = (fitted.tensors[name][anchor] for name in ("transition", "innovation"))
    dynamics = Dynamics(transition.astype(np.float64), innovation.astype(np.float64))
    directions = fitted.tensors["directions"].astype(np.float64)
    return Schedule(bits, dynamics, directions, model.mean, model.covariance)


def nearest_anchor(bits: int) -> int:
    """Return the index of the rate among `ANCHORS` that is nearest, by ratio."""
    return min(range(len(ANCHORS)), key=lambda index: abs(np.log(bits / ANCHORS[index])))


PREDICTIVE = Coder(
    name=NAME,
    summary="what a shared prediction missed",
    source=(
        "Differential coding (Cutler, 1952) with a recurrent world model as predictor; a Kalman filter's covariance "
        "(Kalman, 1960), weighted by the sensitivity of a driver model, says which projections to send. Unlike either: "
        "one-bit readings of all features at once, and absolute readings in rotation that heal losses."
    ),
    sender=PredictiveSender,
    receiver=PredictiveReceiver,
    needs=NAME,
    check=check_predictive,
)
