"""All that a recording holds, as JSON: what later versions must read from files of earlier ones."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import sessions


def everything_in(path: Path) -> dict[str, Any]:
    """Return every value that reading a recording gives; NaN aside, equal JSON means equal values to the bit."""
    with sessions.open(path) as session:
        return {
            "schema_version": session.schema_version,
            "status": session.status,
            "info": asdict(session.info),
            "events": [asdict(event) for event in session.events()],
            "answers": [asdict(answer) for answer in session.answers()],
            "episodes": [
                {
                    "info": asdict(episode.info),
                    "status": episode.status,
                    "rejected": episode.rejected,
                    "accepted": episode.accepted,
                    "n_steps": episode.n_steps,
                    "columns": {
                        name: {"dtype": episode[name].dtype.str, "rows": episode[name].tolist()}
                        for name in episode.columns
                    },
                }
                for episode in session.episodes
            ],
        }
