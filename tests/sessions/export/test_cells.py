"""Whatever somebody wrote comes back from a table as it was, and no cell of it runs, whoever opens it and wherever."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions.export import text_of
from sessions.export.cells import Json, csv_bytes, csv_row, text_cell

OFFICE = shutil.which("soffice") or shutil.which("libreoffice")
TEXTS = st.text(
    st.sampled_from("=+-@'\";,\\ \t\r\nx1n\x0b\x85\u200e\u202e\u2028\ufeff\u0661\uff1d\u2212😀\ud800") | st.characters()
)
HOSTILE = [
    *(
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\uff1d1+1",
        "\uff20x",
        "\u22121",
        "'=1",
        "'",
        "''",
    ),
    *(
        "\x0b=1+1",
        "\u200e=1+1",
        "\ufeff=1+1",
        "\x85=1",
        "\u202e=1",
        "\u2028=1",
        "\x00=1",
        "\x1b[2J",
        "\x1b]0;owned\x07",
    ),
    *("x;=1+1", "x;=1+1;y", "x\t=1+1\ty", 'x;"=1+1"', 'x";=1+1;"', ";;=1", "; +1", "a,=1+1,b", '";"=1+1', "x;\u200e=1"),
    *("fine\r=cmd\rp99", '=HYPERLINK("http://x";"y")', "\\", "\\n", "C:\\new", ";'", "", "plain", "\xfcn\xef ; fine"),
]
STEERING = ("Cc", "Cf", "Zl", "Zp")
SEPARATORS = {",": 44, ";": 59, "\t": 9}


def opened(data: bytes, separator: str) -> list[list[str]]:
    """Return the cells of a table as a spreadsheet sees them whose system separates by something else."""
    return list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=separator))


def begins_a_formula(cell: str) -> bool:
    """Return whether a cell would, once characters that nobody sees are stripped from it."""
    seen = (each for each in cell if not each.isspace() and unicodedata.category(each) not in STEERING)
    return unicodedata.normalize("NFKC", next(seen, ""))[:1] in tuple("=+-@")


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_no_cell_begins_a_formula_whatever_separates_cells_and_no_character_steers(texts: list[str]) -> None:
    data = csv_bytes([f"c{place}" for place in range(len(texts))], [texts])
    assert data.count(b"\n") == 2
    assert not [each for each in data.decode() if each != "\n" and unicodedata.category(each) in STEERING]
    for separator in SEPARATORS:
        assert not [cell for row in opened(data, separator) for cell in row if begins_a_formula(cell)]
    assert [text_of(cell) for cell in opened(data, ",")[1]] == texts


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_json_stays_json_and_begins_no_formula(value: dict[str, str]) -> None:
    data = csv_bytes(["config"], [[Json(json.dumps(value))]])
    assert json.loads(opened(data, ",")[1][0]) == value
    assert not [each for each in data.decode() if each != "\n" and unicodedata.category(each) in STEERING]
    for separator in SEPARATORS:
        assert not [cell for row in opened(data, separator) for cell in row if begins_a_formula(cell)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(TEXTS, st.floats(), st.integers(-(2**63), 2**63 - 1), st.booleans()), min_size=1, max_size=20)
)
def test_pandas_reads_numbers_as_the_numbers_and_texts_that_text_of_gives_back(
    rows: list[tuple[str, float, int, bool]],
) -> None:
    data = csv_bytes(("text", "float", "=int", "bool"), rows)
    precise = {} if int(pandas.__version__.split(".")[0]) >= 3 else {"float_precision": "round_trip"}
    missing: dict[str, Any] = {"keep_default_na": False, "na_values": {"float": ["nan"]}}
    table = pandas.read_csv(io.BytesIO(data), dtype={"text": str}, **missing, **precise)
    assert list(map(text_of, table.columns)) == ["text", "float", "=int", "bool"]
    texts, floats, integers, truths = zip(*rows, strict=True)
    assert tuple(map(text_of, table["text"])) == texts
    assert table["float"].dtype == "float64"
    assert [repr(value) for value in table["float"].tolist()] == [repr(value) for value in floats]
    assert tuple(table["'=int"].tolist()) == integers
    assert tuple(table["bool"].tolist()) == truths


@pytest.mark.parametrize("text", HOSTILE)
def test_attacks_of_the_reviews_come_back_and_do_not_run(text: str) -> None:
    cell = next(csv.reader([text_cell(text)]))[0] if text else ""
    assert text_of(cell) == text
    assert not begins_a_formula(cell)


def test_numbers_are_whole_and_unquoted_and_what_is_missing_is_empty() -> None:
    assert (
        csv_row(["a", "a b", -0.1, None, 1 / 3, 5, True, "", 'say "x"'])
        == f'a,"a b",-0.1,,{1 / 3!r},5,True,,"say ""x"""'
    )


@pytest.mark.skipif(OFFICE is None, reason="needs LibreOffice")
@pytest.mark.parametrize("separator", SEPARATORS)
def test_libreoffice_finds_no_formula_in_a_table_of_ours_and_does_in_another(tmp_path: Path, separator: str) -> None:
    ours = csv_bytes(("text", "more", "number"), [(text, other, -1.5) for text in HOSTILE for other in (text, "x;")])
    (tmp_path / "ours.csv").write_bytes(ours)
    (tmp_path / "other.csv").write_text(separator.join(["a", "=1+1"]))
    subprocess.run(
        [
            str(OFFICE),
            f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}",
            "--headless",
            f"--infilter=CSV:{SEPARATORS[separator]},34,76,1",
            *("--convert-to", "fods", "--outdir", str(tmp_path / "out")),
            *(str(tmp_path / name) for name in ("ours.csv", "other.csv")),
        ],
        capture_output=True,
        check=True,
        timeout=120,
    )
    formulas = {
        name: re.findall(r'table:formula="([^"]*)"', (tmp_path / "out" / f"{name}.fods").read_text(encoding="utf-8"))
        for name in ("ours", "other")
    }
    assert formulas == {"ours": [], "other": ["of:=1+1"]}
    assert 'value="-1.5"' in (tmp_path / "out" / "ours.fods").read_text(encoding="utf-8") or separator != ","
