"""Files of what was fitted: whatever is in them, one clear line or something that can be used."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from tiny_models import tiny_model
from torch import Tensor

import compression
from compression.coders.coder import find_coder
from compression.errors import MaskError
from compression.fitting.fitted import (
    FORMAT,
    FittedModel,
    FittedRecord,
    dump_fitted,
    load_fitted,
    objective_of,
    require_shapes,
)
from compression.fitting.mask_policy import LearnedMask, MaskNetwork
from compression.masks import best_blocks
from compression.model.header import shipped_model
from compression.model.latent_model import LatentModel
from compression.model.sizes import Sizes

SIZES = Sizes((64, 64, 3), latents=32, blocks=8, actions=3, hidden=256, dense=512)
MODEL = "ab" * 32
RECORD = FittedRecord(
    objective="pico",
    model_sha256=MODEL,
    participants=("p01", "p02"),
    sessions=("0a1b2c", "3d4e5f"),
    seeds=(7, 11, 2**40),
    config={"seed": 3, "learning_rate": 1e-3, "objective": "pico"},
    interval="episode",
    fill="hold",
    task="car-racing",
)


class Named:
    """Stands in for a latent model, of which nothing but the hash and the sizes matter."""

    sha256 = latents_sha256 = MODEL
    sizes = SIZES


THIS: Any = Named()


def new_network() -> MaskNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return MaskNetwork(SIZES).eval()


def arrays() -> dict[str, NDArray[np.float32]]:
    return new_network().tensors()


def tensors() -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays().items()}


def file_of(record: Any, weights: dict[str, Tensor] | None = None, form: str = FORMAT) -> bytes:
    """Return a file with any record; a string is taken as its JSON."""
    text = record if isinstance(record, str) else json.dumps(record)
    return save(tensors() if weights is None else weights, {"format": form, "record": text})


def changed(**fields: Any) -> dict[str, Any]:
    return {**asdict(RECORD), **fields}


def as_of_version_1(form: str) -> dict[str, Any]:
    """Return the record as version 0.1.0 wrote it."""
    record = asdict(RECORD)
    record["codec_sha256"], record["track_seeds"] = record.pop("model_sha256"), record.pop("seeds")
    for name in ("task",) if form == "racer-mask-1" else ("task", "interval", "fill"):
        del record[name]
    return record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mask.safetensors"


@pytest.fixture(scope="module")
def intact() -> bytes:
    return dump_fitted(arrays(), RECORD)


def refusal(path: Path, content: bytes | None = None) -> str:
    """Return the one line with which a file is refused."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MaskError) as error:
        find_coder("pico").read(path, THIS)
    message = str(error.value)
    if not message.isprintable():  # line breaks, terminal escapes, lone surrogates; told in ASCII
        pytest.fail(f"not one printable line: {message[:500]!a}", pytrace=False)
    return message


def test_what_was_written_is_read(path: Path, intact: bytes) -> None:
    path.write_bytes(intact)
    fitted = load_fitted(path, THIS)
    assert fitted.record == RECORD
    assert fitted.sha256 == hashlib.sha256(intact).hexdigest()
    assert fitted.tensors.keys() == arrays().keys()
    assert all((fitted.tensors[name] == array).all() for name, array in arrays().items())
    assert objective_of(path) == "pico"


@pytest.mark.parametrize("form", ["racer-mask-1", "racer-coder-1"])
def test_files_of_version_0_1_0_are_read(form: str, path: Path) -> None:
    path.write_bytes(file_of(as_of_version_1(form), form=form))
    record = load_fitted(path, THIS, "pico").record
    assert (record.model_sha256, record.seeds, record.task) == (MODEL, RECORD.seeds, "")
    assert (record.interval, record.fill) == (("episode", "hold") if form == "racer-mask-1" else ("", ""))
    assert objective_of(path) == "pico"


def test_the_same_fit_gives_the_same_bytes() -> None:
    assert len({dump_fitted(arrays(), RECORD) for _ in range(20)}) == 1


def test_what_was_read_is_written_as_the_same_bytes(path: Path, intact: bytes) -> None:
    path.write_bytes(intact)
    fitted = load_fitted(path, THIS)
    assert dump_fitted(fitted.tensors, fitted.record) == intact


def test_what_was_read_from_the_same_file_is_equal(path: Path, intact: bytes) -> None:
    path.write_bytes(intact)
    assert load_fitted(path, THIS) == load_fitted(path, THIS)
    assert len({load_fitted(path, THIS), load_fitted(path, THIS)}) == 1


def test_numbers_of_sixteen_bits_stay_so_in_the_file(path: Path) -> None:
    small = {"losses": np.arange(6, dtype=np.float16).reshape(2, 3)}
    path.write_bytes(dump_fitted(small, RECORD))
    assert path.stat().st_size < len(dump_fitted({"losses": small["losses"].astype(np.float32)}, RECORD))
    assert load_fitted(path, THIS).tensors["losses"].dtype == np.float32


def test_a_file_must_hold_just_what_was_asked_for() -> None:
    fitted = FittedModel({"losses": np.zeros((2, 3), np.float32)}, RECORD, "")
    require_shapes(fitted, {"losses": (2, 3)})
    for shapes in ({"losses": (3, 2)}, {"other": (2, 3)}, {}, {"losses": (2, 3), "other": (1,)}):
        with pytest.raises(ValueError, match="does not hold what pico needs"):
            require_shapes(fitted, shapes)


def test_a_learnt_mask_sends_the_best_blocks_of_its_network(path: Path, intact: bytes) -> None:
    path.write_bytes(intact)
    mask = LearnedMask(find_coder("pico").read(path, THIS), SIZES)
    network = new_network()
    for latent in np.random.default_rng(0).standard_normal((10, 32)).astype(np.float32):
        with torch.no_grad():
            scores = network(torch.from_numpy(latent)[None])[0].numpy()
        for blocks in (1, 4, 8):
            assert (mask.choose(latent, blocks) == best_blocks(scores, blocks)).all()


def test_a_mask_that_does_not_say_how_it_was_chosen_is_refused(path: Path) -> None:
    for missing in ("interval", "fill"):
        assert "how masks were chosen" in refusal(path, file_of(changed(**{missing: ""})))


def test_a_file_for_other_weights_or_for_something_else_is_refused_and_says_so(path: Path, intact: bytes) -> None:
    assert "other weights" in refusal(path, file_of(changed(model_sha256="cd" * 32)))
    path.write_bytes(intact)
    with pytest.raises(MaskError, match="was fitted for pico, not for coarse; leave it out") as error:
        load_fitted(path, THIS, "coarse")
    assert len(str(error.value).splitlines()) == 1


def test_a_damaged_file_of_the_package_says_what_to_do(model: LatentModel, tmp_path: Path) -> None:
    other = tiny_model(tmp_path)
    with pytest.raises(MaskError, match=r"other weights.*reinstall racer"):
        load_fitted(shipped_model("car-racing") / "pico.safetensors", other)


def test_what_a_file_was_fitted_for_is_read_from_small_plain_files_alone(path: Path, intact: bytes) -> None:
    path.write_bytes(intact)
    with path.open("ab") as file:
        file.truncate(50_000_000)
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)  # opened, it would wait for ever
    assert [objective_of(path), objective_of(pipe), objective_of(path.with_name("none"))] == [None] * 3
    assert objective_of(shipped_model("car-racing") / "model.safetensors") is None


def test_a_missing_file_is_refused(path: Path) -> None:
    assert str(path) in refusal(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path)


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(path: Path) -> None:
    os.mkfifo(path)
    script = (
        "import sys; from pathlib import Path; from compression.errors import MaskError\n"
        "from compression.fitting.fitted import load_fitted\n"
        "try: load_fitted(Path(sys.argv[1]), None)\n"
        "except MaskError: print('refused')"
    )
    root = Path(compression.__file__).parents[1]
    child = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=root, capture_output=True, text=True, timeout=10, check=False
    )
    assert child.stdout == "refused\n", child.stderr


def test_a_file_truncated_anywhere_is_refused(path: Path, intact: bytes) -> None:
    header_end = 8 + int.from_bytes(intact[:8], "little")
    ends = {*range(12), *range(0, header_end, 41), *range(header_end - 2, header_end + 3), len(intact) - 1}
    ends |= set(np.random.default_rng(0).integers(0, len(intact), 60).tolist())
    for end in sorted(ends):
        refusal(path, intact[:end])


def test_a_file_with_bytes_appended_is_refused(path: Path, intact: bytes) -> None:
    refusal(path, intact + b"\0")


def test_flipped_bytes_are_refused_or_leave_a_finite_mask(path: Path, intact: bytes) -> None:
    rng = np.random.default_rng(4)
    header_end = 8 + int.from_bytes(intact[:8], "little")
    refused = 0
    for number in range(400):
        damaged = bytearray(intact)
        damaged[rng.integers(header_end if number % 4 else len(intact))] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            mask = load_fitted(path, THIS)
        except MaskError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1, str(error)
        else:
            assert mask.record.model_sha256 == MODEL
            assert all(np.isfinite(array).all() for array in mask.tensors.values())
    assert refused > 200


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"a mask\n" * 10, id="text"),
        pytest.param(pickle.dumps({"policy.layers.0.weight": [0.0] * 100}), id="pickle"),
        pytest.param(b"PK\x03\x04" + bytes(200), id="zip, as torch.save writes"),
        pytest.param(struct.pack("<Q", 2**63) + b"{}", id="header of 2^63 bytes"),
        pytest.param(struct.pack("<Q", 2**64 - 1) + b"{}" * 100, id="header of 2^64 - 1 bytes"),
        pytest.param(struct.pack("<Q", 99_000_000) + b" " * 1000, id="header of 99 MB in a short file"),
        pytest.param(struct.pack("<Q", 3_900_000) + b" " * 3_900_000, id="header of blanks"),
        pytest.param(struct.pack("<Q", 200_000) + b"[" * 200_000, id="header of brackets"),
        pytest.param(bytes(16_000_001), id="too large"),
    ],
)
def test_foreign_files_are_refused(path: Path, content: bytes) -> None:
    refusal(path, content)


def test_a_file_too_large_is_refused_by_its_size(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(50_000_000_000)  # sparse: takes no room on the disk, but would not fit into memory
    assert "large" in refusal(path)


def raw_file(header: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


METADATA = {"format": FORMAT, "record": json.dumps(asdict(RECORD))}


@pytest.mark.parametrize(
    "tensor",
    [
        pytest.param({"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}, id="0 x 2^62"),
        pytest.param({"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]}, id="0 x 2^63"),
        pytest.param({"dtype": "F32", "shape": [2**33, 2**33], "data_offsets": [0, 4]}, id="overflow"),
        pytest.param({"dtype": "F32", "shape": [0] * 50_000, "data_offsets": [0, 0]}, id="50,000 dimensions"),
        pytest.param({"dtype": "F32", "shape": [1], "data_offsets": [2**63, 2**63 + 4]}, id="far offset"),
        pytest.param({"dtype": "F32\nF32", "shape": [1], "data_offsets": [0, 4]}, id="line break in its type"),
        pytest.param({"dtype": "F4", "shape": [8], "data_offsets": [0, 4]}, id="four-bit numbers"),
    ],
)
def test_headers_made_to_confuse_are_refused(path: Path, tensor: dict[str, Any]) -> None:
    refusal(path, raw_file({"__metadata__": METADATA, "policy.layers.0.weight": tensor}, bytes(4)))
    data = bytes(tensor["data_offsets"][1] if tensor["data_offsets"][1] < 100 else 0)
    refusal(path, raw_file({"__metadata__": METADATA, "policy.layers.0.weight": tensor}, data))


def without_bias(weights: dict[str, Tensor]) -> None:
    del weights["policy.layers.0.bias"]


def with_stranger(weights: dict[str, Tensor]) -> None:
    weights["policy.stranger"] = torch.zeros(3)


def transposed(weights: dict[str, Tensor]) -> None:
    weights["policy.layers.0.weight"] = weights["policy.layers.0.weight"].T.contiguous()


def wider(weights: dict[str, Tensor]) -> None:
    weights["policy.layers.4.weight"], weights["policy.layers.4.bias"] = torch.zeros(9, 64), torch.zeros(9)


def renamed(weights: dict[str, Tensor]) -> None:
    for name in list(weights):
        weights[name.replace("policy.", "image.")] = weights.pop(name)


def emptied(weights: dict[str, Tensor]) -> None:
    weights.clear()


def with_nan(weights: dict[str, Tensor]) -> None:
    weights["policy.layers.2.weight"] = weights["policy.layers.2.weight"].clone()
    weights["policy.layers.2.weight"][3, 5] = torch.nan


def with_infinity(weights: dict[str, Tensor]) -> None:
    weights["policy.layers.4.bias"] = torch.full((8,), torch.inf)


def beyond_float32(weights: dict[str, Tensor]) -> None:
    weights["policy.layers.4.bias"] = torch.full((8,), 1e300, dtype=torch.float64)


@pytest.mark.parametrize(
    "damage",
    [without_bias, with_stranger, transposed, wider, renamed, emptied, with_nan, with_infinity, beyond_float32],
)
def test_wrong_weights_are_refused(path: Path, damage: Callable[[dict[str, Tensor]], None]) -> None:
    weights = tensors()
    damage(weights)
    refusal(path, file_of(asdict(RECORD), weights))


@pytest.mark.parametrize(
    "fields",
    [
        {"objective": "Speed"},
        {"objective": ["pico"]},
        {"objective": None},
        {"interval": "year"},
        {"interval": {}},
        {"model_sha256": None},
        {"model_sha256": 7},
        {"model_sha256": "two\nlines \x1b[2J"},
        {"model_sha256": "\ud800"},
        {"participants": None},
        {"participants": 5},
        {"participants": "p01"},
        {"participants": {"p01": 1}},
        {"participants": [None]},
        {"sessions": 5},
        {"sessions": "0a1b2c"},
        {"sessions": [["0a1b2c"]]},
        {"seeds": 7},
        {"seeds": ["seven"]},
        {"seeds": [[7]]},
        {"seeds": [1.5]},
        {"seeds": [float("nan")]},
        {"seeds": [float("inf")]},
        {"fill": "guess"},
        {"fill": 3},
        {"task": "../car"},
        {"task": None},
        {"config": None},
        {"config": 3},
        {"config": "seed"},
        {"config": [1, 2]},
        {"config": [["seed", 1]]},
    ],
    ids=json.dumps,
)
def test_a_record_with_wrong_types_is_refused(path: Path, fields: dict[str, Any]) -> None:
    refusal(path, file_of(changed(**fields)))


@pytest.mark.parametrize("field", ["objective", "model_sha256", "participants", "sessions", "seeds", "config"])
def test_a_record_that_lacks_a_field_is_refused(path: Path, field: str) -> None:
    record = asdict(RECORD)
    del record[field]
    assert field in refusal(path, file_of(record))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "3",
        "null",
        "[]",
        "[" * 100_000,
        '{"config":' * 20_000 + "1" + "}" * 20_000,
        "1" * 10_000,
        '{"seeds": [' + "9" * 10_000 + "]}",
        "NaN",
        "\0",
    ],
    ids=lambda text: f"{text[:12]!r}, {len(text)} characters",
)
def test_a_record_that_is_no_object_of_json_is_refused(path: Path, text: str) -> None:
    refusal(path, file_of(text))


def test_deep_nesting_inside_an_otherwise_good_record_is_refused(path: Path) -> None:
    text = json.dumps(changed(config={"deep": 0})).replace('"deep": 0', '"deep": ' + "[" * 20_000 + "]" * 20_000)
    refusal(path, file_of(text))


def test_another_format_or_none_is_refused(path: Path) -> None:
    refusal(path, file_of(asdict(RECORD), form="racer-fitted-3"))
    refusal(path, save(tensors()))
    refusal(path, save(tensors(), {"format": FORMAT}))
