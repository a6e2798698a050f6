"""Standard image codecs at their lowest quality, for scale. They exceed the slot, and are charged what they take.

JPEG (ITU-T T.81, 1992; Wallace, 1991) at quality 1 and lossy WebP (RFC 9649) at quality 0, by Pillow, each frame for
itself, headers included. Nothing is fitted to the task and nothing is held between frames.
"""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import Coder, CoderSettings, FrameReceiver, FrameSender
from compression.errors import CoderError, PacketError
from compression.model.sizes import Sizes

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel

_LEAST_WIDTH = 4096
"""Bytes of the widest packets of frames of 64x64 pixels and less, headers included."""
_OPTIONS: dict[str, dict[str, int]] = {"JPEG": {"quality": 1}, "WEBP": {"quality": 0, "method": 6}}


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise CoderError("conditions jpeg and webp need Pillow, which is not installed: reinstall racer") from error
    return Image


class PictureSender(FrameSender):
    """Sends each frame as a file of its own.

    Args:
        model: Encodes the frame for the record alone.
        settings: Unused: the slot is not obeyed.
        kind: `JPEG` or `WEBP`.

    Raises:
        CoderError: If Pillow is not installed.
    """

    def __init__(self, model: LatentModel, settings: CoderSettings, kind: str) -> None:
        super().__init__(model)
        self._kind, self._pillow = kind, _pillow()

    def encode_frame(self, frame: NDArray[np.uint8]) -> bytes:
        """Return the file that a frame, uint8[H, W, C], makes."""
        file = BytesIO()
        self._pillow.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame).save(
            file, self._kind, **_OPTIONS[self._kind]
        )
        return file.getvalue()


class PictureReceiver(FrameReceiver):
    """Opens the files.

    Args:
        model: Encodes what is shown for the record, and says what to show before anything has arrived.
        settings: Unused.
        kind: `JPEG` or `WEBP`.

    Raises:
        CoderError: If Pillow is not installed.
    """

    def __init__(self, model: LatentModel, settings: CoderSettings, kind: str) -> None:
        super().__init__(model)
        self._kind, self._pillow = kind, _pillow()

    def decode_frame(self, packet: bytes) -> NDArray[np.uint8]:
        """Return the frame, uint8[H, W, C], of a file. Raises PacketError if it is no such file of a frame."""
        height, width, channels = self.model.sizes.frame
        mode = "L" if channels == 1 else "RGB"
        try:
            with catch_warnings(action="error"), self._pillow.open(BytesIO(packet), formats=[self._kind]) as image:
                if image.size != (width, height) or image.mode not in ("RGB", mode):
                    raise ValueError("another size")
                # WebP has no grey pictures.
                return np.array(image.convert(mode), np.uint8).reshape(height, width, channels)
        except Exception as error:  # whatever Pillow makes of damaged files
            raise PacketError(f"packet is no {self._kind} file of a frame") from error


def _widest(sizes: Sizes) -> int:
    """Return the bytes of the widest packet: noise, the worst of frames, takes less at lowest quality."""
    return max(_LEAST_WIDTH, sizes.frame[0] * sizes.frame[1])


def _coder(name: str, kind: str, source: str) -> Coder:
    return Coder(
        name=name,
        summary=f"{kind} files at lowest quality, over the slot",
        source=source,
        sender=partial(PictureSender, kind=kind),
        receiver=partial(PictureReceiver, kind=kind),
        packet_bytes=_widest,
    )


JPEG = _coder("jpeg", "JPEG", "JPEG (ITU-T T.81; Wallace, 1991) at quality 1; each frame is a file of its own.")
WEBP = _coder("webp", "WEBP", "Lossy WebP (RFC 9649) at quality 0; each frame is a file of its own.")
