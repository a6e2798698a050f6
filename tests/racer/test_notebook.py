from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_builders import write_study

NOTEBOOK = Path(__file__).parents[2] / "docs" / "analysis.ipynb"
RATED = [(f"evaluation/{block}/{name}/driving/ahead", f"{block}") for block, name in enumerate(("random", "pico"), 1)]


def test_the_notebook_leads_from_recordings_to_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    table = np.array([[0.1, 0.5, 0.6], [0.2, 0.4, 0.7], [0.1, 0.6, 0.5]])
    write_study(tmp_path / "rehearsal" / "recordings", table, answers=RATED)
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    known: dict[str, Any] = {}
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells), "clear the outputs before committing"
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), known)
    np.testing.assert_allclose(known["means"][["random", "pico", "full"]].to_numpy(), table, rtol=1e-6)
    assert list(known["order"]) == ["random", "pico", "full"]
    assert known["rated"].answer.astype(int).groupby(known["rated"].condition).mean().to_dict() == {
        "random": 1,
        "pico": 2,
    }
    assert (tmp_path / "progress.png").read_bytes().startswith(b"\x89PNG")
