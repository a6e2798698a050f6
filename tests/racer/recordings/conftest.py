from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from footage_builders import WALK_DRIVER, Walk, grey_walk, record, walk_model

from racer.tasks.registry import make_task


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    """Return a recording of a task of other sizes, installed for as long as the test says."""
    with grey_walk(monkeypatch) as uninstall:
        model = walk_model(tmp_path / "walk-model")
        path = record(tmp_path / "walks", task=make_task("grey-walk"), model=model, driver=WALK_DRIVER)
        yield Walk(path, model, uninstall)
