from __future__ import annotations

import json
import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rates_builders import CONFIG, SIZES, SPEC, coder, metrics, score

from racer.rates.driving import CellScore
from racer.rates.grid import Noise, make_grid
from racer.rates.provenance import SweepSettings
from racer.rates.results import FORMAT, RESULTS, ResultsError, ResultsFile

SETTINGS: dict[str, str | int] = {"seed": 0, "episodes": 1, "model_sha256": "ab" * 32}
BROUGHT = "cd" * 32
CELLS = make_grid(replace(CONFIG, participants=1, noise=(Noise("flips", 1 / 3),)), [coder("one")], SIZES).cells
SCORES = [score(cell, 0.1 + 1 / (3 + i)) for i, cell in enumerate(CELLS[:4])]


def opened(folder: Path, settings: SweepSettings) -> ResultsFile:
    return ResultsFile(folder, settings, SPEC.metrics)


def kept(folder: Path) -> list[CellScore]:
    with opened(folder, SETTINGS) as results:
        return [found for found, _ in results.scores.values()]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    with opened(tmp_path, SETTINGS) as results:
        for each in SCORES:
            results.append(each, BROUGHT)
    return tmp_path / RESULTS


def sealed(fields: dict[str, Any]) -> bytes:
    """Return a line with a checksum that is right, whatever it holds."""
    body = json.dumps(fields, separators=(",", ":")).encode()[:-1]
    return body + b',"crc32":"%08x"}\n' % zlib.crc32(body)


def test_what_was_appended_is_there_again_to_the_last_bit(written: Path) -> None:
    assert kept(written.parent) == SCORES
    lines = written.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + len(SCORES)
    assert all(isinstance(json.loads(line), dict) for line in lines), "every line is JSON"
    assert json.loads(lines[0])["settings"] == SETTINGS


@settings(max_examples=25)
@given(cut=st.integers(1, 10_000))
def test_a_line_cut_short_by_a_kill_is_dropped_and_the_next_one_follows_cleanly(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    with opened(folder, SETTINGS) as results:
        for each in SCORES:
            results.append(each, BROUGHT)
    path = folder / RESULTS
    whole = path.read_bytes()
    last = len(whole) - whole[:-1].rindex(b"\n") - 1
    path.write_bytes(whole[: -(1 + cut % last)])
    with opened(folder, SETTINGS) as results:
        assert len(results.scores) == len(SCORES) - 1
        assert results.damaged == 0
        results.append(SCORES[-1], BROUGHT)
    assert path.read_bytes() == whole


@settings(max_examples=25)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_takes_one_line_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    with opened(folder, SETTINGS) as results:
        for each in SCORES:
            results.append(each, BROUGHT)
    path = folder / RESULTS
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = bytearray(lines[2])
    damaged[place % (len(damaged) - 1)] ^= 1 << bit  # its end stays, or two lines would be one
    path.write_bytes(b"".join([*lines[:2], damaged, *lines[3:]]))
    with opened(folder, SETTINGS) as results:
        assert [found for found, _ in results.scores.values()] == [SCORES[0], *SCORES[2:]]
        assert results.damaged >= 1
    assert path.read_bytes() == b"".join([*lines[:2], damaged, *lines[3:]]), "nothing is taken away"


def test_agreement_is_kept_where_it_was_asked_for_and_no_line_names_it_where_it_was_not(tmp_path: Path) -> None:
    asked = replace(SCORES[0], episodes=tuple(replace(each, agreement=0.25) for each in SCORES[0].episodes))
    with opened(tmp_path, SETTINGS) as results:
        results.append(asked, BROUGHT)
        results.append(SCORES[1], BROUGHT)
    assert kept(tmp_path) == [asked, SCORES[1]]
    _, one, other = (tmp_path / RESULTS).read_bytes().splitlines()
    assert b'"agreement":0.25' in one and b"agreement" not in other


def line_of(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "settings": {"handling": "stock", "skip_zoom": True, "speed": 50.0},
        "driver": "pursuit",
        "coder": "one",
        "brought_sha256": BROUGHT,
        "bits": 5,
        "noise": "none",
        "noise_rate": 0.0,
        "participant": 0,
        "episodes": [{"seed": 1, "steps": 9, "metrics": metrics(0.1), "bits_mean": 5.0, "bits_most": 5, "lost": 0.0}],
    }
    episode = {key: changes.pop(key) for key in list(changes) if key in fields["episodes"][0]}
    fields["episodes"][0] |= episode
    return sealed(fields | changes)


def test_the_line_that_the_hostile_ones_differ_from_is_believed(written: Path) -> None:
    written.write_bytes(written.read_bytes() + line_of())
    assert len(kept(written.parent)) == len(SCORES) + 1


@pytest.mark.parametrize(
    "line",
    [
        line_of(metrics=metrics(1.5)),
        line_of(metrics=metrics(0.1) | {"progress": "0.1"}),
        line_of(metrics=metrics(float("nan"))),
        line_of(metrics=metrics(0.1) | {"reward": float("inf")}),
        line_of(metrics=metrics(0.1, off_road=-0.1)),
        line_of(metrics={"progress": 0.1}),
        line_of(metrics=metrics(0.1) | {"more": 0.0}),
        line_of(metrics=None),
        line_of(lost=1.5),
        line_of(bits_mean=float("inf")),
        line_of(bits=-1),
        line_of(bits=10**400),
        line_of(bits=True),
        line_of(steps=0),
        line_of(seed=1.0),
        line_of(participant=-1),
        line_of(settings="speed 50"),
        line_of(settings={"speed": float("nan")}),
        line_of(driver=""),
        line_of(noise="fog"),
        line_of(noise="flips", noise_rate=7.0),
        line_of(coder=""),
        line_of(coder="x" * 1000),
        line_of(coder=["one"]),
        line_of(brought_sha256="../../etc/passwd"),
        line_of(episodes=[]),
        line_of(episodes=None),
        line_of(more=1),
        sealed({}),
        b"[" * 100_000 + b"\n",
        b"\x00\xff\xfe\n",
        b'{"coder": "one"}\n',
        b"\n",
        b"x" * 30_000_000 + b"\n",
    ],
    ids=range(34),
)
def test_lines_that_no_sweep_writes_count_for_nothing(written: Path, line: bytes) -> None:
    whole = written.read_bytes()
    written.write_bytes(whole + line + line_of())
    with opened(written.parent, SETTINGS) as results:
        assert len(results.scores) == len(SCORES) + 1, "what comes after is believed"
        assert results.damaged >= 1


def test_two_different_results_of_one_cell_are_refused(written: Path) -> None:
    written.write_bytes(written.read_bytes() + line_of() + line_of(metrics=metrics(0.2)))
    whole = written.read_bytes()
    with pytest.raises(ResultsError, match="two different results of the same cell"):
        kept(written.parent)
    assert written.read_bytes() == whole
    written.write_bytes(whole.replace(line_of(metrics=metrics(0.2)), line_of()))
    assert len(kept(written.parent)) == len(SCORES) + 1


def test_other_settings_are_refused_and_named(written: Path) -> None:
    whole = written.read_bytes()
    with pytest.raises(ResultsError) as refusal:
        opened(written.parent, SETTINGS | {"seed": 1, "model_sha256": "ef" * 32, "steps": 150})
    told = str(refusal.value)
    assert "seed 0 (now 1), model_sha256 abababababab (now efefefefefef), steps unset (now 150)" in told
    assert len(told.splitlines()) == 1
    assert written.read_bytes() == whole
    assert kept(written.parent) == SCORES, "the folder is free again"


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"{}\n", b"notes of mine\n", b"\x89HDF\r\n", sealed({"racer_rates": 1}), b'{"racer_rates":1'],
    ids=range(7),
)
def test_a_file_that_no_sweep_wrote_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RESULTS).write_bytes(content)
    with pytest.raises(ResultsError, match="is not the results file of a sweep"):
        opened(tmp_path, SETTINGS)
    assert (tmp_path / RESULTS).read_bytes() == content


@pytest.mark.parametrize("number", [1, 3])
def test_another_format_is_refused(number: int, tmp_path: Path) -> None:
    (tmp_path / RESULTS).write_bytes(sealed({"racer_rates": number, "settings": {}, "made_with": {}}))
    with pytest.raises(ResultsError, match=f"has format {number}, this Racer writes {FORMAT}"):
        opened(tmp_path, SETTINGS)


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / RESULTS).mkdir()
    else:
        os.mkfifo(tmp_path / RESULTS)
    with pytest.raises(ResultsError, match="is not a file and was left as it is"):
        opened(tmp_path, SETTINGS)


def test_a_folder_belongs_to_one_sweep_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path, SETTINGS), pytest.raises(ResultsError, match="another sweep is writing to"):
        opened(tmp_path, SETTINGS)
    assert kept(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"cannot use .*; what was finished is kept") as refusal:
        opened(tmp_path / "file" / "rates", SETTINGS)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_disk_that_is_full_leaves_what_was_there(written: Path) -> None:
    from io import FileIO

    with opened(written.parent, SETTINGS) as results:
        whole = written.read_bytes()
        disk, results._file = results._file, FileIO("/dev/full", "w")
        with pytest.raises(ResultsError, match="No space left on device"):
            results.append(score(CELLS[5], 0.3), BROUGHT)
        results._file.close()
        results._file = disk
        assert CELLS[5] not in results.scores
    assert written.read_bytes() == whole
