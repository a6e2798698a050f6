"""An agent that encodes, as a driver: it acts by what it makes of the picture that it is shown.

`racer agent train` makes its file. It learnt on originals; of what a channel draws it makes what it can. All people of
its kind are the same one, without chances.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compression.coders.agent import AGENT, fitted_agent
from compression.errors import CompressionError
from compression.fitting.fitted import objective_of, task_of
from compression.model.agent import Lagged, QuantisedAgent
from compression.model.sizes import Sizes
from racer.drivers.driver import DriverError
from racer.tasks.task import Task, TaskSpec


class AgentDriver:
    """Does what the agent would do.

    Args:
        acting: The agent, as it is used.
    """

    def __init__(self, acting: QuantisedAgent) -> None:
        self._acting = acting
        self._lagged = Lagged()

    def reset(self) -> None:
        """Begin a new trial."""
        self._lagged.clear()

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return what to do on seeing a frame, uint8[H, W, C]: an index into the task's actions."""
        (latent,) = self._acting.rounded(self._acting.latents(frame[None]))
        return int(self._acting.act(latent[None], self._lagged.before(latent)[None])[0])


def make_agent(path: Path, task: Task) -> AgentDriver:
    """Return the agent of a file of `racer agent train`.

    Raises:
        DriverError: If the file cannot be used, or holds an agent of another task.
    """
    spec = task.spec
    if objective_of(path) == AGENT.name and (learnt := task_of(path)) != spec.name:
        raise DriverError(f"{path} cannot do {spec.name}: its agent learnt {learnt}; make one with `{AGENT.made_by}`")
    try:
        return AgentDriver(fitted_agent(AGENT.read_for(path, _sizes(spec)), _sizes(spec)).acting)
    except CompressionError as error:
        raise DriverError(str(error)) from error


def _sizes(spec: TaskSpec) -> Sizes:
    """Return sizes of which an agent looks at frame and actions alone."""
    return Sizes(spec.frame, latents=2, blocks=2, actions=len(spec.actions), hidden=0, dense=1)
