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

from compression.coders.coder import Coder, CoderSettings
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


class PictureSender:
    """Compresses frames one by one.

    Args:
        model: Encodes the frame for the record alone.
        settings: Unused but for the record: the slot is not obeyed.
        kind: `JPEG`, `WEBP` or `PNG`.

    Raises:
        CoderError: If Pillow is not installed.
    """

    def __init__(self, model: LatentModel, settings: CoderSettings, kind: str) -> None:
        self._model, self._kind, self._pillow = model, kind, _pillow()
        self.latent = np.zeros_like(model.mean)

    def reset(self) -> None:
        """Begin a new episode."""
        self.latent = np.zeros_like(self._model.mean)

    def encode(self, frame: NDArray[np.uint8], action: int) -> bytes:
        """Return the file that a frame, uint8[H, W, C], makes."""
        self.latent = self._model.encode_frame(frame)
        file = BytesIO()
        self._pillow.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame).save(
            file, self._kind, **_OPTIONS[self._kind]
        )
        return file.getvalue()


class PictureReceiver:
    """Opens the files; of a lost one it shows the last.

    Args:
        model: Encodes what is shown for the record, and says what to show before anything has arrived.
        settings: Unused.
        kind: `JPEG`, `WEBP` or `PNG`.

    Raises:
        CoderError: If Pillow is not installed.
    """

    def __init__(self, model: LatentModel, settings: CoderSettings, kind: str) -> None:
        self._model, self._kind, self._pillow = model, kind, _pillow()
        self.reset()

    def reset(self) -> None:
        """Begin a new episode."""
        self.latent = self._model.mean.copy()
        self.mask = np.zeros(self._model.sizes.blocks, bool)
        self._shown: NDArray[np.uint8] | None = None

    def decode(self, packet: bytes | None, action: int) -> NDArray[np.uint8]:
        """Return the frame to show, uint8[H, W, C].

        Raises:
            PacketError: If the bytes are no such file of a frame; the receiver's state is then unchanged.
        """
        if packet is None:
            self.mask = np.zeros(self._model.sizes.blocks, bool)
            if self._shown is None:
                self._shown = self._model.decode_latent(self.latent)
            return self._shown.copy()
        shown = self._opened(packet)
        self.latent, self.mask, self._shown = self._model.encode_frame(shown), np.ones_like(self.mask), shown
        return shown.copy()

    def _opened(self, packet: bytes) -> NDArray[np.uint8]:
        height, width, channels = self._model.sizes.frame
        mode = "L" if channels == 1 else "RGB"
        try:
            with catch_warnings(action="error"), self._pillow.open(BytesIO(packet), formats=[self._kind]) as image:
                if image.size != (width, height) or image.mode not in ("RGB", mode):
                    raise ValueError("another size")
                # WebP has no grey pictures.
                return np.array(image.convert(mode), np.uint8).reshape(height, width, channels)
        except Exception as error:  # whatever Pillow makes of damaged files
            raise PacketError(f"packet is no {self._kind} file of a frame") from error


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
