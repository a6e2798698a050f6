"""Fills: where the receiver takes the latents it was not sent from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from compression.model.world_model import WorldModel

FillName = Literal["prior", "hold", "predict"]
_REACH = 4.0
"""Standard deviations that a prediction may reach: changes add up where a feature is never sent."""
FILLS: tuple[str, ...] = get_args(FillName)


class Fill(Protocol):
    """Completes what arrived to a whole latent. Everything it knows came through the channel or from the driver."""

    def reset(self) -> None:
        """Forget the last episode."""

    def complete(
        self, values: NDArray[np.float32], sent: NDArray[np.bool_], action: int, packet: bytes
    ) -> NDArray[np.float32]:
        """Return the latent, float32[latents], of this step.

        Args:
            values: float32[latents]; only those that `sent`, bool[latents], marks mean anything.
            sent: Which latents arrived in this step.
            action: The one that the task applied last; in the first step of an episode whatever both ends agreed on.
            packet: The packet they arrived in.
        """


class HoldFill:
    """Keeps the last value received; the prior mean until there is one (the released car experiment).

    Args:
        mean: float32[latents], the latents' mean over the training frames.
    """

    def __init__(self, mean: NDArray[np.float32]) -> None:
        self._mean = mean
        self.reset()

    def reset(self) -> None:
        """Go back to the prior mean."""
        self._held = self._mean.copy()

    def complete(
        self, values: NDArray[np.float32], sent: NDArray[np.bool_], action: int, packet: bytes
    ) -> NDArray[np.float32]:
        """Return the received values over the held ones."""
        self._held = np.where(sent, values, self._held)
        return self._held.copy()

    def complete_all(self, values: NDArray[np.float32], sent: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the latents, float32[T, latents], of a whole episode at once.

        Args:
            values: float32[T, latents].
            sent: bool[T, latents].
        """
        arrived = np.where(sent, np.arange(len(sent))[:, None], -1)
        latest = np.maximum.accumulate(arrived, axis=0)
        return np.where(latest < 0, self._mean, np.take_along_axis(values, np.maximum(latest, 0), axis=0))


class PriorFill:
    """Draws from the latents' multivariate normal prior, conditioned on the features sent (PICO, section 4).

    The draw is seeded by the step's number and the packet, so that it can be repeated from the packets alone.

    Args:
        mean: float32[latents], the latents' mean over the training frames.
        covariance: float32[latents, latents], their covariance.
    """

    def __init__(self, mean: NDArray[np.float32], covariance: NDArray[np.float32]) -> None:
        self._mean = mean.astype(np.float64)
        self._covariance = covariance.astype(np.float64)
        self._conditionals: dict[bytes, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        self.reset()

    def reset(self) -> None:
        """Start counting steps anew."""
        self._step = 0

    def complete(
        self, values: NDArray[np.float32], sent: NDArray[np.bool_], action: int, packet: bytes
    ) -> NDArray[np.float32]:
        """Return the received values and a draw of the rest."""
        rng = np.random.default_rng([self._step, int.from_bytes(packet, "big")])
        self._step += 1
        latent = values.astype(np.float64)
        if not sent.all():
            weights, root = self._conditional(sent)
            surprise = latent[sent] - self._mean[sent]
            noise = rng.standard_normal(len(root))
            latent[~sent] = self._mean[~sent] + weights @ surprise + root @ noise
        return latent.astype(np.float32)

    def _conditional(self, sent: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the regression weights of the missing on the sent and a root of what stays uncertain."""
        key = sent.tobytes()
        if key not in self._conditionals:
            cross = self._covariance[np.ix_(~sent, sent)]
            weights = np.linalg.solve(self._covariance[np.ix_(sent, sent)], cross.T).T.astype(np.float64)
            rest = self._covariance[np.ix_(~sent, ~sent)] - weights @ cross.T
            values, vectors = np.linalg.eigh(rest)
            # The symmetric root: unlike the eigenvectors, it is unique, so every LAPACK draws the same.
            root: NDArray[np.float64] = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
            self._conditionals[key] = weights, root
        return self._conditionals[key]


class PredictFill:
    """Predicts the missing features with the world model, run on what was shown and on the actions applied.

    Args:
        world_model: In evaluation mode.
        mean: float32[latents], shown for missing features in the first step, before there is anything to predict from.
    """

    def __init__(self, world_model: WorldModel, mean: NDArray[np.float32]) -> None:
        self._world_model = world_model
        self._mean = mean
        self.reset()

    def reset(self) -> None:
        """Forget the episode's history."""
        import torch  # here, as names of fills are asked for where nothing is filled in

        self._hidden = torch.zeros(1, self._world_model.hidden)
        self._shown: NDArray[np.float32] | None = None

    def complete(
        self, values: NDArray[np.float32], sent: NDArray[np.bool_], action: int, packet: bytes
    ) -> NDArray[np.float32]:
        """Return the received values over the predicted ones."""
        import torch

        expected = self._mean
        if self._shown is not None:
            with torch.inference_mode():
                self._hidden, predicted = self._world_model(
                    torch.from_numpy(self._shown)[None], torch.tensor([action]), self._hidden
                )
            expected = predicted[0].numpy().clip(-_REACH, _REACH)
        self._shown = np.where(sent, values, expected).astype(np.float32)
        return self._shown.copy()
