"""What was fitted for the conditions of a sitting, and whom it must not be evaluated on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from compression.fitting.fitted import FittedModel
from racer.errors import ConfigError
from racer.loop.conditions import ChannelConfig, check_conditions, check_recordable, check_use, load_fitted_models
from racer.sitting.protocol import ProtocolConfig, ProtocolName

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel


def load_fitted(
    protocol: ProtocolConfig, channel: ChannelConfig, masks: Iterable[Path], model: LatentModel
) -> dict[str, FittedModel]:
    """Return what was fitted for the protocol's conditions, by condition.

    Raises:
        ConfigError: If it is missing, of no use, or fitted to another use of the channel.
        MaskError: If a file cannot be used.
    """
    shown = protocol.conditions if protocol.protocol == "evaluation" else [protocol.explore]
    check_conditions(shown, channel, model.sizes)
    check_recordable(shown, model.sizes)
    fitted = load_fitted_models(shown, masks, model)
    check_use(fitted, channel)
    return fitted


def refuse_trainers(
    protocol: ProtocolName, participant: str | None, fitted: Mapping[str, FittedModel], model: LatentModel
) -> None:
    """Raise ConfigError where a mask, or a tuned decoder, is to be evaluated on somebody whom it was trained on."""
    if protocol != "evaluation":
        return
    if model.tuning and participant in model.tuning.participants:
        raise ConfigError(
            f"{participant} is one of those whom this latent model's decoder was tuned to and must not evaluate it; "
            "nothing was recorded: use another participant, or a model tuned to others"
        )
    if any(participant in each.record.participants for each in fitted.values()):
        raise ConfigError(
            f"{participant} took part in training this mask and must not evaluate it; nothing was recorded: use "
            "another participant, or a mask trained on others"
        )
