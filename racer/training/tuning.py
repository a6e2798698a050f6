"""From recordings to a latent model whose decoder is tuned to what people do on seeing what it draws."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from compression.fitting.classifiers import Progress
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import LARGEST_FILE, objective_of
from compression.fitting.interaction import NAME as INTERACTION
from compression.fitting.interaction import fitting_config, read_interaction
from compression.fitting.tuning import TuningConfig, tune, tuned_file
from compression.model.header import FILE_NAME
from compression.model.latent_model import load_model
from compression.model.training.resumable import Work
from disk.reading import read_plain
from disk.writing import write_whole
from racer.training.interactions import read_interactions, settings_of
from racer.training.models import CARD, refuse_model, written_together
from racer.training.sheets import draw_tuning
from racer.training.train import TrainingDataError

OBJECTIVE = "tuning"
PICTURE = "before_and_after.png"
_READ = 0.4
"""Share of the time until recordings are read."""


@dataclass(frozen=True)
class Tuning:
    """What `racer model tune` can be told."""

    recordings: Sequence[Path]
    out: Path
    """Folder of the tuned model."""
    model: Path | None = None
    """Folder of the recordings' latent model; None for the one that comes with the task."""
    interaction: Path | None = None
    """File of R, fitted to the same recordings; None: it is fitted first."""
    config: TuningConfig = field(default_factory=TuningConfig)
    fitting: PicoConfig = field(default_factory=fitting_config)
    """Settings of R, where it is fitted first."""
    work: Path | None = None
    """Where stages are kept; `<out>.work` if None."""

    def __post_init__(self) -> None:
        refuse_model(self.out)


def make_tuned(tuning: Tuning, progress: Progress = lambda stage, done: None) -> dict[str, Any]:
    """Write a latent model with a tuned decoder, its card and a picture, and return the card.

    Encoder, world model, latent statistics and quantiser are those of the model that it is made from, bit for bit, so
    that packets are; what was fitted for that one and lies beside it is copied. What was interrupted goes on.

    Raises:
        RacerError, CompressionError: If it cannot be tuned; what is done is kept in the work folder.
    """
    recorded = read_interactions(
        tuning.recordings, tuning.model, tuning.fitting, lambda done: progress("recordings", _READ * done)
    )
    model, record = recorded.model, recorded.record
    assert model.folder is not None
    interaction, given = None, ""
    if tuning.interaction is not None:
        interaction, origin = read_interaction(tuning.interaction, model)
        if origin.sessions != record.sessions:
            raise TrainingDataError(
                f"{tuning.interaction} was fitted to other recordings than these; nothing was written: name those, or "
                "leave --interaction out, and one is fitted"
            )
        given = hashlib.sha256(read_plain(tuning.interaction, LARGEST_FILE)).hexdigest()
    config: dict[str, Any] = {
        **asdict(tuning.config),
        "interaction": {"sha256": given} if given else settings_of(tuning.fitting),
    }
    out = tuning.out.resolve()
    work = Work(
        tuning.work or out.with_name(out.name + ".work"),
        {"tuning": config, "model_sha256": model.sha256, "sessions": record.sessions},
    )
    tuned = tune(
        model,
        recorded.data,
        tuning.config,
        tuning.fitting,
        work,
        interaction,
        lambda stage, done: progress(stage, _READ + (1 - _READ) * done),
    )
    record = replace(record, objective=OBJECTIVE, model_sha256=model.latents_sha256, config=config)
    if model.tuning:  # they are in the decoder still
        record = replace(
            record,
            participants=tuple(sorted({*record.participants, *model.tuning.participants})),
            sessions=tuple(sorted({*record.sessions, *model.tuning.sessions})),
            seeds=tuple(sorted({*record.seeds, *model.tuning.seeds})),
            drivers=tuple(sorted({*record.drivers, *model.tuning.drivers})),
        )
    data = tuned_file(model, tuned.decoder, record)
    card = {
        "tuned_from": model.sha256,
        "sha256": hashlib.sha256(data).hexdigest(),
        "task": record.task,
        "data": {"people": len(record.participants), "drivers": record.drivers, "steps": tuned.interaction.steps},
        "settings": config,
        "interaction": asdict(tuned.interaction),
        "held_out": tuned.held_out,
    }
    with written_together(tuning.out) as folder:
        write_whole(folder / FILE_NAME, data)
        for path in sorted(model.folder.glob("*.safetensors")):
            if objective_of(path) not in (None, INTERACTION):  # what people do depends on the picture
                write_whole(folder / path.name, read_plain(path, LARGEST_FILE))
        load_model(folder)
        write_whole(folder / PICTURE, draw_tuning(tuned.whole, tuned.before, tuned.after))
        write_whole(folder / CARD, (json.dumps(card, indent=2) + "\n").encode())
    progress("done", 1.0)
    return card
