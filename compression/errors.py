"""The errors this package raises on bad input; each message is one line meant for a person."""

from __future__ import annotations


class CompressionError(Exception):
    """Base class: something that was given to this package cannot be used."""


class SizeError(CompressionError, ValueError):
    """No latent model has such sizes."""


class SlotError(CompressionError, ValueError):
    """No packet layout exists for the requested number of bits."""


class PacketError(CompressionError, ValueError):
    """The bytes are no packet of this layout."""


class WeightsError(CompressionError):
    """A weights file is missing, damaged or made for something else."""


class MaskError(CompressionError):
    """A fitted file is missing, damaged or made for other weights."""


class TrainingError(CompressionError):
    """The recorded steps cannot train what was asked for."""


class DeviceError(CompressionError):
    """Networks cannot be had where they were asked for."""


class CoderError(CompressionError, ValueError):
    """There is no such coder, or it cannot be used as asked."""


class NoiseError(CompressionError, ValueError):
    """There is no such noise."""
