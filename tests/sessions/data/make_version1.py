"""How version1.h5.gz and version1.json were made, once, by Racer 0.1: they stay as they are.

PYTHONPATH=.:tests/racer:tests/sessions python tests/sessions/data/make_version1.py

A real sitting of a display that redoes an episode and answers questions, under raw, full, random and pico.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from golden import everything_in
from numpy.typing import NDArray
from racing_builders import SESSION, Clock, Replayer, ScriptedDisplay

from compression.fitting.mask_file import DEFAULT_MASK, load_mask
from compression.model.latent_model import load_codec, use_one_thread
from racer import __version__
from racer.loop.conditions import ChannelConfig
from racer.loop.display import Hud
from racer.loop.episode import Setup
from racer.loop.pacing import Pacer
from racer.sitting.agenda import Asking, Drive
from racer.sitting.protocol import EpisodePlan
from racer.sitting.questionnaires import Item, Questionnaire
from racer.sitting.run import Sitting, SittingRun
from racer.tasks.car_racing.track import TrackConfig
from racer.window.texts import english
from sessions import Recorder

STEPS = 5


class TickingClock(Clock):
    """Every look at it takes 17 ms."""

    def __call__(self) -> int:
        """Return a time later than the last."""
        self.now_ns += 17_000_000
        return self.now_ns


@dataclass
class TimedDisplay(ScriptedDisplay):
    """Shows frames when the clock says."""

    clock: Clock = field(default_factory=TickingClock)

    def show(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> int:
        """Return the time."""
        super().show(frame, hud, original)
        return self.clock()


def main() -> None:
    """Write both files beside this one."""
    here = Path(__file__).parent
    if (here / "version1.h5.gz").exists():
        sys.exit("version1.h5.gz is there already; it stays as it is")
    use_one_thread()
    codec, clock = load_codec(), TickingClock()
    mask = load_mask(DEFAULT_MASK, codec.sha256)
    conditions = ("full", "raw", "random", "pico")
    plans = [EpisodePlan(number, "evaluation", name, 40 + number, STEPS) for number, name in enumerate(conditions)]
    items = (Item("control", "Wie gut?", "schlecht", "gut", 7), Item("words", "Und sonst?", free=True))
    asking = Asking(Questionnaire("trust", items), "evaluation/1/pico")
    setup = Setup(TrackConfig(), ChannelConfig(), codec, {"pico": mask}, seed=3)
    sitting = Sitting((*(Drive(plan, "") for plan in plans), asking), setup, english().texts)
    display = TimedDisplay(clock=clock, redo_at={"frame": STEPS + 3}, replies=[6, "fünf Äpfel\nund mehr"])
    info = replace(
        SESSION,
        study="Stromschnelle ✓",
        protocol="evaluation",
        config={"channel_format": 1, "nested": {"list": [1, 2.5, None, True]}},
        software={"racer": __version__},
        codec_sha256=codec.sha256,
        mask_sha256=mask.sha256,
        resumes="00ffee",
    )
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), info, clock=clock)
        SittingRun(sitting, Replayer([0, 1, -1]), display, recorder, Pacer(10, clock), clock=clock).run()
        content = recorder.final_path.read_bytes()
        golden = everything_in(recorder.final_path)
    (here / "version1.h5.gz").write_bytes(gzip.compress(content, mtime=0))
    (here / "version1.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n", encoding="utf-8")
    assert np.all([episode["n_steps"] for episode in golden["episodes"]])


if __name__ == "__main__":
    main()
