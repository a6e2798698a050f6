"""CSV from other people."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from racer.csv_text import MOST_LETTERS, read_table
from racer.errors import ConfigError

FREELY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CELLS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12).filter(
    lambda cell: cell[0] not in "=@+-"
)


def table_of(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    return path


@FREELY
@given(
    rows=st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), max_size=5)),
    mark=st.booleans(),
)
def test_what_a_spreadsheet_wrote_is_read_cell_by_cell(rows: list[list[str]], mark: bool, tmp_path: Path) -> None:
    text = io.StringIO()
    columns = [f"c{place}" for place in range(len(rows[0]) if rows else 2)]
    csv.writer(text).writerows([columns, *rows])
    table = read_table(table_of(tmp_path, b"\xef\xbb\xbf" * mark + text.getvalue().encode()))
    assert table.columns == tuple(columns)
    assert table.rows == tuple(tuple(row) for row in rows)
    assert table.lines == tuple(range(2, 2 + len(rows)))
    assert [table.column(name) for name in columns] == [tuple(each) for each in zip(*rows, strict=True)] or not rows


@FREELY
@given(data=st.binary(max_size=80) | st.text(st.sampled_from('ab,;"\n\r=@\t\0é '), max_size=60).map(str.encode))
def test_whatever_a_file_holds_it_is_a_table_or_refused_in_one_line(data: bytes, tmp_path: Path) -> None:
    path = table_of(tmp_path, data)
    try:
        table = read_table(path)
    except ConfigError as error:
        assert str(path) in str(error) and "\n" not in str(error) and "nothing was changed" in str(error)
    else:
        cells = [cell for row in (table.columns, *table.rows) for cell in row]
        assert all(len(row) == len(table.columns) == len(set(table.columns)) for row in table.rows)
        assert all(cell.isprintable() and cell == cell.strip() and not cell.startswith(("=", "@")) for cell in cells)


def test_semicolons_separate_where_there_are_no_commas(tmp_path: Path) -> None:
    assert read_table(table_of(tmp_path, b"image;label\na.png;1,5\n")).rows == (("a.png", "1,5"),)


def test_numbers_may_have_signs(tmp_path: Path) -> None:
    assert read_table(table_of(tmp_path, b"a,b\n-1.5,+2\n")).rows == (("-1.5", "+2"),)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"a,a\n1,2\n", "line 1: must name every column"),
        (b"a,\n1,2\n", "line 1: must name every column"),
        (b"a,b\n\n1\n", "line 3: has 1 cells, and the first line has 2"),
        (b'a,b\n1,"=HYPERLINK(""x"")"\n', "line 2: has a cell that spreadsheets would run as a formula: =HYP"),
        (b"a,b\n1,-cmd\n", "formula: -cmd"),
        (b"a,b\n1,@x\n", "formula: @x"),
        (b'a,b\n1,"two\nlines"\n', "line 3: has a cell with a line break"),
        (b"a,b\n1," + b"x" * (MOST_LETTERS + 1), "501 letters"),
        (b'a,b\n1,"x\n', "is not valid CSV"),
        (b"a,b\n\xff,1\n", "not UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(data: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        read_table(table_of(tmp_path, data))
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no column 'c'; nothing was changed: its columns are a, b"):
        read_table(table_of(tmp_path, b"a,b\n1,2\n")).column("c")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "t.csv").symlink_to(table_of(tmp_path, b"a,b\n1,2\n"))
    with pytest.raises(ConfigError, match="a link out of its folder"):
        read_table(tmp_path / "in" / "t.csv")
