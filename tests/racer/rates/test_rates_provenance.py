from __future__ import annotations

import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from racing_builders import CAR_RACING
from rates_builders import CONFIG, SPEC, coder

from compression.coders.coder import coder_names, find_coder
from compression.model.latent_model import LatentModel
from racer.rates.grid import FULL, NO_NOISE, OperatingPoint, sweep_settings
from racer.rates.provenance import brought_by, code_sha256, coder_sha256, driver_sha256, hashes_of, settings_of


def test_settings_have_what_decides_a_cell_and_leave_out_what_only_adds_cells(model: LatentModel) -> None:
    settings = settings_of(CONFIG, SPEC, model)
    assert (settings["model_sha256"], settings["code_sha256"]) == (model.sha256, code_sha256("car-racing"))
    assert settings["task"] == "car-racing"
    assert {"racer", "torch", "numpy", "gymnasium", "box2d", "pygame-ce", "pillow"} <= set(settings)
    more = replace(
        CONFIG, bits=(1,), settings=sweep_settings("car-racing", ["speed=1"]), drivers=("m:f",), participants=99
    )
    assert settings_of(more, SPEC, model) == settings
    changes = ({"seed": 1}, {"episodes": 9}, {"steps": 9}, {"mask_interval": "step"}, {"fill": "prior"})
    for change in (*changes, {"device": "cuda"}):
        assert settings_of(replace(CONFIG, **change), SPEC, model) != settings  # type: ignore[arg-type]


def test_every_built_in_coder_has_a_hash_which_its_fitted_file_changes() -> None:
    for name in coder_names():
        bare = coder_sha256(find_coder(name), None)
        fitted = SimpleNamespace(sha256="ab" * 32, record=None)
        assert re.fullmatch("[0-9a-f]{64}", bare)
        assert coder_sha256(find_coder(name), fitted) != bare


def test_the_code_of_a_coder_that_is_not_racers_own_is_part_of_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "their_coder.py").write_text("def send(codec, settings): ...\n")
    import their_coder  # type: ignore[import-not-found]

    theirs = replace(coder("theirs"), sender=their_coder.send)
    before = coder_sha256(theirs, None)
    assert coder_sha256(replace(theirs, sender=partial(their_coder.send)), None) != before
    given = [coder_sha256(replace(theirs, sender=partial(their_coder.send, levels)), None) for levels in (2, 3, 2)]
    assert given[0] == given[2] != given[1]
    (tmp_path / "their_coder.py").write_text("def send(codec, settings): return 1\n")
    assert coder_sha256(theirs, None) != before
    del sys.modules["their_coder"]


def test_the_code_of_a_driver_that_is_not_racers_own_is_part_of_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = (
        "class Still:\n    def reset(self): ...\n    def act(self, frame): return 1\n\ndef make(seed): return Still()\n"
    )
    (tmp_path / "their_driver.py").write_text(source)
    before = driver_sha256("their_driver:make", CAR_RACING)
    assert driver_sha256("their_driver:make", CAR_RACING) == before != driver_sha256("pursuit", CAR_RACING)
    assert driver_sha256("pursuit:5", CAR_RACING) == driver_sha256("pursuit", CAR_RACING), "it is a name of its own"
    (tmp_path / "their_driver.py").write_text(source.replace("return 1", "return 0"))
    assert driver_sha256("their_driver:make", CAR_RACING) != before
    del sys.modules["their_driver"]


def test_what_a_cell_was_made_with_is_both_its_coder_and_its_driver() -> None:
    point = OperatingPoint(CONFIG.settings[0], "pursuit", NO_NOISE, "coarse", 5)
    hashes = hashes_of(["pursuit"], CAR_RACING, [find_coder("coarse")], {})
    assert set(hashes) == {"driver pursuit", "coder coarse"}
    whole = brought_by(point, hashes)
    assert re.fullmatch("[0-9a-f]{64}", whole)
    assert all(brought_by(point, hashes | {name: "0" * 64}) != whole for name in hashes)
    assert brought_by(replace(point, coder=FULL), hashes) != whole


def test_the_hash_of_the_code_depends_on_the_task() -> None:
    assert code_sha256("car-racing") != code_sha256("lunar-lander")
