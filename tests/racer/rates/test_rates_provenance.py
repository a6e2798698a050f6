from __future__ import annotations

import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from rates_builders import coder

from compression.coders.coder import coder_names, find_coder
from compression.model.latent_model import load_codec
from racer.rates.grid import RatesConfig
from racer.rates.provenance import code_sha256, coder_sha256, settings_of

CONFIG = RatesConfig()


def test_settings_have_what_decides_a_cell_and_leave_out_what_only_adds_cells() -> None:
    codec = load_codec()
    settings = settings_of(CONFIG, codec)
    assert (settings["codec_sha256"], settings["code_sha256"]) == (codec.sha256, code_sha256())
    assert {"racer", "torch", "numpy", "gymnasium", "box2d", "pygame-ce", "pillow"} <= set(settings)
    more = replace(CONFIG, bits=(1,), speeds=(1.0,), participants=99)
    assert settings_of(more, codec) == settings
    for change in ({"seed": 1}, {"tracks": 9}, {"steps": 9}, {"mask_interval": "step"}, {"fill": "prior"}):
        assert settings_of(replace(CONFIG, **change), codec) != settings  # type: ignore[arg-type]


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
