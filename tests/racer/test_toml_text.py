from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from racer.errors import ConfigError
from racer.toml_text import MOST_BYTES, parse_toml

DOTS = "a" + ".a" * 20


@pytest.mark.parametrize(
    "text",
    [
        f'"{DOTS}"',
        f"'{DOTS}'",
        f'"""\n{DOTS}\n\\"""{DOTS}"""',
        f"'''\n{DOTS}\n''{DOTS}'''",
        f'""""{DOTS}"""""',
        f"1 # {DOTS}",
    ],
)
def test_text_and_comments_may_hold_any_number_of_dots(text: str) -> None:
    assert parse_toml(f"a = {text}\nb = 1\n".encode()) == tomllib.loads(f"a = {text}\nb = 1\n")


@pytest.mark.parametrize("before", ["", '""""x""""\n', "'''\\'''\n", '"\\""\n', "'\\'\n", "1 # '\n", '"""\\"\n"""\n'])
def test_a_key_of_many_parts_is_found_behind_any_text_and_its_line_named(before: str) -> None:
    text = f"x = {before}\n{DOTS} = 1" if before else f"{DOTS} = 1"
    line = text.count("\n") + 1
    with pytest.raises(ConfigError, match=f"^line {line}: more than 16 dots"):
        parse_toml(text.encode())


def test_a_file_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert parse_toml(b"#" * MOST_BYTES) == {}
    with pytest.raises(ConfigError, match="larger than 1 MB"):
        parse_toml(b"#" * (MOST_BYTES + 1))


@settings(max_examples=200)
@given(st.text(alphabet="a.=[]{}'\"\\\n #,1", max_size=60))
def test_whatever_is_short_reads_as_the_standard_library_reads_it(text: str) -> None:
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        expected = None
    try:
        found = parse_toml(text.encode())
    except ConfigError as error:
        assert expected is None or "dots" in str(error)
        assert len(str(error).splitlines()) == 1
    else:
        assert found == expected
