from __future__ import annotations

import subprocess
import sys

import pytest

from racer.sitting import workstation
from racer.sitting.start import Briefing

LOCKS = "from racer.sitting.workstation import lock_display; lock_display(); print('sits', flush=True); input()"


@pytest.mark.skipif(sys.platform != "linux", reason="the lock of a display ends with its process on Linux")
def test_two_sittings_on_one_display_are_refused_until_the_first_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":racer-test")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(workstation, "_held", [])
    command = [sys.executable, "-c", LOCKS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdout.readline() == "sits\n"
        with pytest.raises(workstation.DisplayInUseError, match=r"another sitting runs on this display"):
            workstation.lock_display()
        first.kill()
    workstation.lock_display()
    workstation.lock_display()
    for held in workstation._held:
        held.close()


def test_who_sits_down_is_said_in_one_line() -> None:
    seated = Briefing("p03", ("pico", "full", "random"), 50, 12.4, resumed=False)
    assert str(seated) == "p03 sits down: pico, then full, then random; 50 rounds, at least 12 min"
    assert str(Briefing("p03", ("full",), 1, 0.0, resumed=True)) == "p03 goes on: full; 1 round to go"
    assert str(Briefing("p03", (), 1, 0.0, resumed=False)) == "p03 sits down: 1 round"
