from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pygame
import pytest

import racer
from racer.errors import ConfigError
from racer.window import fonts as fonts_module
from racer.window.canvas import Canvas
from racer.window.fonts import Fonts, clusters, named


def ink(fonts: Fonts, text: str, bold: bool = False) -> int:
    return int(np.count_nonzero(pygame.surfarray.array_alpha(fonts.render(text, 40, (255, 255, 255), bold))))


def test_two_weights_are_told_apart() -> None:
    assert ink(Fonts(), "Your consent", bold=True) > 1.2 * ink(Fonts(), "Your consent")


@pytest.mark.parametrize("text", ["Grüße, Łódź", "Привет, мир", "Γειά σου", "“1 − 2 ≤ 3” …"])  # noqa: RUF001
def test_europe_and_its_signs_are_written_without_the_help_of_the_machine(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("racer.window.fonts._system_font", lambda letter: None)
    assert Fonts().unshown([text]) == []


def test_letters_need_no_package_that_a_machine_which_only_records_lacks() -> None:
    """Whatever else is installed: Racer's own folder has both weights, and the wheel takes them along."""
    found = [Path(path) for path in Fonts()._first[-1]]
    assert all(path.is_file() and path.is_relative_to(Path(racer.__file__).parent) for path in found)
    project = tomllib.loads((Path(racer.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    packed = project["tool"]["setuptools"]["package-data"]["racer"]
    assert all(any(path.relative_to(Path(racer.__file__).parent).match(each) for each in packed) for path in found)


def test_what_no_font_has_is_named_once_in_the_order_met() -> None:
    assert Fonts().unshown(["a\U000ffff0b", "\U0010fff0 \U000ffff0"]) == ["\U000ffff0", "\U0010fff0"]
    assert named(["\u0939"]) == "U+0939 (DEVANAGARI LETTER HA)"
    assert named(["\ue123"] * 10).endswith(" and 2 more")


@pytest.mark.parametrize("text", ["أوافق على المشاركة", "אני מסכים", "I agree \u202eback"])
def test_text_from_right_to_left_is_never_shown_as_if_it_could_be(text: str) -> None:
    assert Fonts().unshown([text])


def test_letters_that_change_with_their_neighbours_are_shown_only_where_a_font_says_how(tmp_path: Path) -> None:
    with_rules = Path(Fonts()._first[-1][0])
    assert fonts_module._shapes(str(with_rules))
    without = tmp_path / "without.ttf"
    without.write_bytes(with_rules.read_bytes().replace(b"GSUB", b"XSUB", 1))
    assert not fonts_module._shapes(str(without))
    assert not fonts_module._shapes(str(tmp_path / "none.ttf"))


def test_a_text_of_several_fonts_stands_on_one_line_as_wide_as_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    fonts = Fonts()
    bold = fonts._first[0][1]
    monkeypatch.setattr("racer.window.fonts._system_font", lambda letter: bold)
    monkeypatch.setattr("racer.window.fonts._knows", lambda path, letter: letter != "x")
    line = fonts.render("äxä", 40, (255, 255, 255), False)
    assert line.get_width() == fonts.width("äxä", 40, False)
    assert line.get_width() == 2 * fonts.width("ä", 40, False) + fonts.width("x", 40, True)


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("size", [14, 16, 20, 24, 33])
def test_letters_are_spaced_evenly(size: int, bold: bool) -> None:
    """Alike letters stand equally far apart, and others as in large print: letter and kerning are rounded to pixels."""
    fonts = Fonts()
    columns = pygame.surfarray.array_alpha(fonts.render("l" * 20, size, (255, 255, 255), bold)).sum(1)
    begins = np.flatnonzero(np.diff((columns > columns.max() / 4).astype(int)) == 1)
    assert len(begins) >= 19 and np.ptp(np.diff(begins)) <= 1
    text = "Sie dürfen jederzeit aufhören; you may stop at any time"
    small, large = (
        np.diff([fonts.width(text[:count], each, bold) for count in range(len(text) + 1)]) for each in (size, 20 * size)
    )
    assert abs(small - large / 20).max() <= 1.5


def test_marks_stay_with_their_letters() -> None:
    assert clusters("e\u0301a") == ["e\u0301", "a"]
    canvas = Canvas(pygame.Surface((640, 480)))
    assert all(not line.startswith("\u0301") for line in canvas.wrap("e\u0301" * 50, 16, 40))


def test_a_font_that_is_not_installed_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="no font 'Racer Sans No Such' is installed here"):
        Fonts("Racer Sans No Such")
