"""A sitting whose disk goes wrong in mid-episode: `full_disk_child.py FOLDER TROUBLE PATIENCE [DRIVER]`.

TROUBLE is `full`: a ballast file fills the disk; `read-only`: nothing in the folder can be renamed any more; or
`deleted`: the recording is deleted. PATIENCE is `mend`: whoever sits there sees to it when asked; or `leave`: they
end the session. DRIVER is `program` for one that nobody sits with, or `windowed` for one with a window. Prints the
titles of the pages that gave a reason, and how the sitting went, as JSON. A recording that cannot go on is reported as
the command line does it: one line, exit code 2.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from racing_builders import (
    CAR_RACING,
    LEFT,
    RIGHT,
    SESSION,
    STRAIGHT,
    Clock,
    Replayer,
    ScriptedDisplay,
    car_racing_model,
)

import sessions
from racer.loop.attended import Setup
from racer.loop.conditions import ChannelConfig
from racer.loop.display import EndSession, Hud, Page
from racer.sitting.agenda import Drive
from racer.sitting.protocol import EpisodePlan
from racer.sitting.run import SittingRun, SittingSetup
from racer.window.texts import english

STEPS = 20
EPISODES = 3
TROUBLE_AT = STEPS + 8
"""Count of frames: in the middle of the second episode."""
STEP_NS = 100_000_000
NOBODY = 65534


@dataclass
class TroubledDisplay(ScriptedDisplay):
    """Spoils the disk at a frame, and sees to it, or leaves, when asked."""

    clock: Clock = field(default_factory=Clock)
    folder: Path = Path()
    trouble: str = ""
    patience: str = ""

    def show(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> int:
        """Spoil the disk when its time has come."""
        if len(self.frames) == TROUBLE_AT:
            self._spoil()
        return super().show(frame, hud, original)

    def choose(self, page: Page, choices: tuple[str, ...]) -> int:
        """Mend the disk, which takes a while."""
        self.pages.append(page)
        self.clock.now_ns += 10 * STEP_NS
        if self.patience == "leave":
            raise EndSession
        (self.folder / "ballast").unlink(missing_ok=True)
        self.folder.chmod(0o755)
        return 0

    def _spoil(self) -> None:
        if self.trouble == "deleted":
            (path,) = sessions.find_recordings(self.folder)
            path.unlink()
        elif self.trouble == "read-only":
            self.folder.chmod(0o555)
        else:
            with (self.folder / "ballast").open("wb", buffering=0) as ballast:
                try:
                    while ballast.write(bytes(4096)):
                        pass
                except OSError:
                    pass


class TimedReplayer(Replayer):
    """A driver who takes a tenth of a second for every step."""

    def __init__(self, clock: Clock) -> None:
        super().__init__([STRAIGHT, RIGHT, LEFT])
        self._clock = clock

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Let time pass."""
        self._clock.now_ns += STEP_NS
        return super().act(frame)


def main(folder: Path, trouble: str, patience: str, driver: str = "person") -> None:
    """Run the sitting."""
    clock = Clock()
    display = TroubledDisplay(clock=clock, folder=folder, trouble=trouble, patience=patience)
    setup = Setup(CAR_RACING, ChannelConfig(), car_racing_model(), {}, seed=3, text=CAR_RACING.spec.text("en"))
    plans = [EpisodePlan(number, "exploration", "random", 11 + number, STEPS) for number in range(EPISODES)]
    respondent = None if driver == "person" else np.random.default_rng(0)
    drives = tuple(Drive(plan, "") for plan in plans)
    sitting = SittingSetup(drives, setup, english().texts, respondent, windowed=driver == "windowed")
    if trouble == "read-only" and os.geteuid() == 0:
        CAR_RACING.start(0).close()  # imports what nobody may not be allowed to read
        os.setuid(NOBODY)  # root may write everywhere
    folder.mkdir(exist_ok=True)
    recorder = sessions.Recorder(folder, SESSION, clock=clock, in_background=True)
    result = SittingRun(sitting, TimedReplayer(clock), display, recorder, clock=clock).run()
    print(
        json.dumps(
            {
                "complete": result.complete,
                "pages": [page.title for page in display.pages if "cannot write" in page.lines[-1]],
            }
        )
    )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), *sys.argv[2:])
    except sessions.RecordingError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
