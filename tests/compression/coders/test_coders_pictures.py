"""The image codecs: real files, real bytes, one clear line where they cannot be used."""

from __future__ import annotations

import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import GREY, tiny_model

from compression.coders.coder import CoderSettings, Receiver, Sender, find_coder
from compression.errors import CoderError, PacketError
from compression.model.header import shipped_model
from compression.model.latent_model import LatentModel, load_model

Image = pytest.importorskip("PIL.Image")
NAMES = ["jpeg", "webp", "png"]
SETTINGS = CoderSettings(85, "episode", "hold", np.random.default_rng(0))


def shipped() -> LatentModel:
    return load_model(shipped_model("car-racing"))


def ends(name: str) -> tuple[Sender, Receiver]:
    coder = find_coder(name)
    return coder.sender(shipped(), SETTINGS), coder.receiver(shipped(), SETTINGS)


def frame(seed: int) -> np.ndarray:
    return shipped().decode_latent(np.random.default_rng(seed).normal(size=32).astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_a_frame_crosses_roughly_whether_padded_or_not(name: str) -> None:
    sender, receiver = ends(name)
    original = frame(0)
    packet = sender.encode(original, 0)
    shown = receiver.decode(packet, 0)
    assert shown.shape == (64, 64, 3) and shown.dtype == np.uint8
    assert np.abs(shown.astype(int) - original).mean() < 40
    assert (receiver.decode(packet + bytes(100), 0) == shown).all()
    np.testing.assert_array_equal(receiver.latent, shipped().encode_frame(shown))


@pytest.mark.parametrize("name", NAMES)
def test_even_noise_fits_the_width_announced_and_exceeds_the_slot(name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    coder = find_coder(name)
    assert not coder.hard
    assert coder.packet_bytes is not None
    width = coder.packet_bytes(shipped().sizes)
    assert width == (16_384 if name == "png" else 4096)
    assert 85 < 8 * len(ends(name)[0].encode(noise, 0)) <= 8 * width


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sides", [(8, 8), (8, 256), (96, 96), (128, 200), (256, 256)])
def test_noise_of_any_size_fits_the_width_announced(
    name: str, channels: int, sides: tuple[int, int], tmp_path: Path
) -> None:
    frame = (*sides, channels)
    coder, noise = find_coder(name), np.random.default_rng(0).integers(0, 256, frame, np.uint8)
    model = tiny_model(tmp_path, replace(GREY, frame=frame, dense=2))
    sender, receiver = coder.sender(model, SETTINGS), coder.receiver(model, SETTINGS)
    packet = sender.encode(noise, 0)
    assert coder.packet_bytes is not None
    assert len(packet) <= coder.packet_bytes(model.sizes)
    assert receiver.decode(packet, 0).shape == frame
    with pytest.raises(PacketError):
        receiver.decode(ends(name)[0].encode(np.zeros((64, 64, 3), np.uint8), 0), 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_lost_picture_leaves_the_last_one(name: str) -> None:
    sender, receiver = ends(name)
    assert receiver.decode(None, 0).shape == (64, 64, 3)
    shown = receiver.decode(sender.encode(frame(1), 0), 0)
    assert (receiver.decode(None, 0) == shown).all()
    assert not receiver.mask.any()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=200))
def test_other_bytes_are_no_packet(name: str, data: bytes) -> None:
    with pytest.raises(PacketError):
        ends(name)[1].decode(data, 0)


def test_a_picture_that_says_it_is_huge_is_refused_without_a_warning() -> None:
    file = BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG")
    packet = bytearray(file.getvalue())
    size = packet.index(b"\xff\xc0") + 5  # height and width in the frame header
    packet[size : size + 4] = b"\x30\x00\x30\x00"
    with catch_warnings(record=True) as warned:
        simplefilter("always")
        with pytest.raises(PacketError):
            ends("jpeg")[1].decode(bytes(packet), 0)
    assert not warned


@pytest.mark.parametrize("name", NAMES)
def test_without_pillow_one_line_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(CoderError, match=r"need Pillow, which is not installed: reinstall racer"):
        ends(name)
