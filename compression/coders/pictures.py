"""Standard image codecs, for scale. They exceed the slot, and are charged what they take.

JPEG (ITU-T T.81, 1992; Wallace, 1991) at quality 1, lossy WebP (RFC 9649) at quality 0 and PNG (ISO/IEC 15948), which
loses nothing, by Pillow, each frame for itself, headers included. Nothing is fitted to the task and nothing is held
between frames.
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
_OPTIONS: dict[str, dict[str, int]] = {
    "JPEG": {"quality": 1},
    "WEBP": {"quality": 0, "method": 6},
    "PNG": {"optimize": True},
}


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise CoderError(
            "conditions jpeg, webp and png need Pillow, which is not installed: reinstall racer"
        ) from error
    return Image


class PictureSender(FrameSender):
    """Sends each frame as a file of its own.

    Args:
        model: Encodes the frame for the record alone.
        settings: Unused: the slot is not obeyed.
        kind: `JPEG`, `WEBP` or `PNG`.

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
        kind: `JPEG`, `WEBP` or `PNG`.

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
            raise PacketError(f"packet is not a {self._kind} file of a frame") from error


def _widest(sizes: Sizes, share: int) -> int:
    """Return the bytes of the widest packet: noise is the worst of frames."""
    return max(_LEAST_WIDTH, share * sizes.frame[0] * sizes.frame[1])


def _coder(name: str, kind: str, summary: str, source: str, share: int = 1) -> Coder:
    """Return a coder; `share` bounds the bytes that a pixel of noise takes, beyond small frames' headers."""
    return Coder(
        name=name,
        summary=f"{kind} files{summary}, over the slot",
        source=f"{source}; each frame is a file of its own.",
        sender=partial(PictureSender, kind=kind),
        receiver=partial(PictureReceiver, kind=kind),
        packet_bytes=partial(_widest, share=share),
    )


_LOWEST = " at lowest quality"
JPEG = _coder("jpeg", "JPEG", _LOWEST, "JPEG (ITU-T T.81; Wallace, 1991) at quality 1")
WEBP = _coder("webp", "WEBP", _LOWEST, "Lossy WebP (RFC 9649) at quality 0")
PNG = _coder("png", "PNG", ", which lose nothing", "PNG (ISO/IEC 15948) at its smallest", 4)
