from __future__ import annotations

import pytest
from racing_builders import car_racing_model

from compression.model.latent_model import LatentModel


@pytest.fixture(scope="session")
def model() -> LatentModel:
    """Return the latent model that comes with car-racing, whatever it is."""
    return car_racing_model()
