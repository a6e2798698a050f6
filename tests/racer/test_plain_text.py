"""Whatever a text holds, it steers neither a terminal nor a page."""

from __future__ import annotations

import io
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from racer import cli
from racer.plain_text import PlainStream, on_a_page, plain

NASTY = "a\x1b[31m\u202eevil\u2066\x9b2J\x07\x7f\u2028b"


@given(st.text())
@example(NASTY)
def test_text_for_a_terminal_is_printable_and_otherwise_unchanged(text: str) -> None:
    assert plain(text).isprintable()
    assert len(plain(text)) == len(text)
    assert all(shown in (character, "?") for shown, character in zip(plain(text), text, strict=True))
    stream = io.StringIO()
    print(text, file=PlainStream(stream))  # type: ignore[call-overload]
    assert plain(stream.getvalue(), keep="\n\r\t") == stream.getvalue()


@given(st.text())
@example(NASTY)
@example("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 n\u00a0b \U0001f469\u200d\U0001f52c")
def test_text_on_a_page_has_no_controls_and_keeps_joiners(text: str) -> None:
    shown = on_a_page(text)
    assert not any(unicodedata.category(each) == "Cc" for each in shown if each not in "\n\t")
    reordering = {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
    assert not any(unicodedata.bidirectional(each) in reordering for each in shown)
    assert shown.count("\u200d") == text.count("\u200d")


def test_what_is_no_text_is_left_as_it_is() -> None:
    assert on_a_page(3) == 3
    assert on_a_page(None) is None


def test_rich_writes_around_the_guard() -> None:
    stream = io.StringIO()
    Console(file=PlainStream(stream), force_terminal=True).print("[red]colour")  # type: ignore[arg-type]
    assert "\x1b[31m" in stream.getvalue()


def test_every_command_prints_through_the_guard(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> int:
        print(NASTY)
        print(NASTY, file=sys.stderr)
        return 0

    monkeypatch.setattr(cli, "_run", run)
    monkeypatch.setattr(cli, "_ENDING", [])
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, getattr(sys, stream))  # given back afterwards
    with pytest.raises(SystemExit):
        cli.main()
    found = capsys.readouterr()
    assert found.out == found.err == plain(NASTY) + "\n"
