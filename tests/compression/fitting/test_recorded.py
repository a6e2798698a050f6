from __future__ import annotations

import numpy as np

from compression.fitting.recorded import with_histories
from compression.model.latent_model import LatentModel


def test_histories_of_episodes_together_are_those_of_each_by_itself(model: LatentModel) -> None:
    rng = np.random.default_rng(0)
    latents = [rng.standard_normal((steps, 32)).astype(np.float32) for steps in (7, 1, 12, 3)]
    actions = [rng.integers(3, size=len(each)).astype(np.uint8) for each in latents]
    found = with_histories(latents, actions, model)
    alone = [model.histories(own[None], did[None])[0] for own, did in zip(latents, actions, strict=True)]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :256], np.concatenate(alone), atol=1e-5)
    np.testing.assert_array_equal(found[:, 256:], np.concatenate(latents))
