"""An agent that encodes, as a driver: it does what it would do by itself, and other files are refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import crossing
import numpy as np
import pytest
from racing_builders import write_mask
from tiny_agents import write_tiny_agent
from tiny_models import GREY, tiny_model

from compression.coders.agent import fitted_agent
from compression.fitting.fitted import FittedModel, load_fitted
from compression.model.agent import LAG
from compression.model.latent_model import LatentModel
from racer.drivers.driver import DriverError
from racer.drivers.registry import counts_as, make_driver, was_fitted_on, who_drives
from racer.rates.provenance import driver_sha256
from racer.tasks.registry import make_task
from racer.training.agent import do_trials


@pytest.fixture(scope="module", autouse=True)
def found() -> Iterator[None]:
    with crossing.installed():
        yield


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    return tiny_model(tmp_path_factory.mktemp("models") / "grey", GREY)


@pytest.fixture
def path(grey: LatentModel, tmp_path: Path) -> Path:
    return write_tiny_agent(grey, tmp_path / "agent.safetensors", task="crossing")


def test_it_does_what_the_agent_does_in_its_own_trials(path: Path, grey: LatentModel) -> None:
    fitted: FittedModel = load_fitted(path, grey)
    task, acting = make_task("crossing", {"wind": 0.5}), fitted_agent(fitted, grey.sizes).acting
    driver = make_driver(str(path), task, person=7)
    seen = do_trials([task], range(4), 16, grey, "crossing:make", acting).seen
    before = np.concatenate([np.repeat(seen.starts[:-1], np.diff(seen.starts)), [0]])
    assert np.diff(seen.starts).max() > LAG
    done = set()
    for step, frame in enumerate(seen.frames):
        if step in seen.starts:
            driver.reset()
        latents = acting.rounded(acting.latents(seen.frames[[step, max(before[step], step - LAG)]]))
        expected = int(acting.act(latents[:1], latents[1:])[0])
        assert driver.act(frame) == expected
        done.add(expected)
    assert len(done) > 1, "it does not always do the same"


def test_it_counts_as_whom_it_learnt_from_as_its_file_says(path: Path, grey: LatentModel) -> None:
    taught = str(write_tiny_agent(grey, path.with_name("taught.safetensors"), task="crossing", drivers=("pursuit",)))
    assert who_drives(taught, "crossing") == "pursuit"
    assert was_fitted_on(taught, ("pursuit",)) and was_fitted_on(taught, ("agent",))
    assert not was_fitted_on(taught, ("two-point",)) and not was_fitted_on(str(path), ("pursuit",))
    assert counts_as(taught) == {"pursuit"}
    assert who_drives(str(path.with_name("none.safetensors")), "crossing") == "agent"


def test_one_whose_file_does_not_say_counts_as_an_agent_and_its_file_is_part_of_a_sweep(
    path: Path, grey: LatentModel
) -> None:
    other = write_tiny_agent(grey, path.with_name("other.safetensors"), seed=1, task="crossing")
    task = make_task("crossing")
    assert who_drives(str(path), "crossing") == "agent"
    assert driver_sha256(str(path), task) != driver_sha256(str(other), task)


def test_files_that_hold_no_such_agent_are_refused_in_one_line(path: Path, grey: LatentModel) -> None:
    folder, crossing_task = path.parent, make_task("crossing")
    with pytest.raises(DriverError, match=r"cannot do car-racing: its agent learnt crossing; make one with"):
        make_driver(str(path), make_task("car-racing"), 0)
    with pytest.raises(DriverError, match=r"cannot read .* check the path"):
        make_driver(str(folder / "none.safetensors"), crossing_task, 0)
    with pytest.raises(DriverError, match="was fitted for pico, not for agent"):
        make_driver(str(write_mask(folder / "mask.safetensors", grey)), crossing_task, 0)
    (folder / "cut.safetensors").write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DriverError, match="is not a fitted file"):
        make_driver(str(folder / "cut.safetensors"), crossing_task, 0)
