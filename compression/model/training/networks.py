"""How the two networks of a latent model are trained: the autoencoder, then the world model on its latents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compression.model.latent_model import images_from_frames
from compression.model.sizes import Sizes
from compression.model.training.config import TrainingConfig
from compression.model.training.data import Split
from compression.model.training.resumable import Trainer, Work
from compression.model.vae import VAE
from compression.model.world_model import WorldModel

_LEAST_SPREAD = 1e-3
"""Smallest scale of a feature, as a share of the widest one's: features that carry nothing are not blown up into
noise."""
_KL_WARM_UP = 1000
"""Steps until the KL divergence has its full weight, in trainings that are five times as long or longer."""
_LEAST_LOGVAR = -20.0
"""Log variance below which nothing is told apart."""
_ENCODED = 256
"""Frames that are encoded at a time."""

Done = Callable[[float], None]
"""Callback (fraction of a stage that is done, in [0, 1])."""


def train_vae(
    sizes: Sizes, config: TrainingConfig, frames: NDArray[np.uint8], work: Work, device: torch.device, progress: Done
) -> VAE:
    """Return an autoencoder trained by minimising squared error + kl_weight * KL, on the CPU.

    Args:
        sizes: Of the model.
        config: Settings.
        frames: uint8[N, H, W, C].
        work: Keeps checkpoints.
        device: To train on.
        progress: Told how far it is.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        vae = VAE(sizes)
    vae.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    trainer = Trainer(vae, work, "vae", config.seed, config.vae_steps, average=True)
    kl_steps = max(1, min(_KL_WARM_UP, config.vae_steps // 5))

    def loss(step: int) -> Tensor:
        index = torch.randint(len(frames), (config.batch,), generator=trainer.generator)
        images = images_from_frames(torch.from_numpy(frames[index.numpy()]).to(device))
        images = images.contiguous(memory_format=torch.channels_last)
        if config.mirror and step % 2:
            images = images.flip(3)
        mu, logvar = vae.encoder(images)
        logvar = logvar.clamp(-12, 4)
        kl = kl_per_feature(mu, logvar)
        std = (logvar.exp() + config.quantisation_noise * mu.var(0).detach()).sqrt()
        noise = torch.randn(mu.shape, generator=trainer.generator).to(device)
        error = ((vae.decoder(mu + std * noise) - images) ** 2).sum((1, 2, 3)).mean()
        weight = config.kl_weight * min(1.0, (step + 1) / kl_steps)
        total: Tensor = error + weight * kl.clamp_min(config.free_nats).sum()
        return total

    trained = trainer.run(loss, config.learning_rate, 50.0, config.checkpoint_steps, progress)
    assert isinstance(trained, VAE)
    return trained.cpu().eval().requires_grad_(False)


def encode(
    vae: VAE, frames: NDArray[np.uint8], device: torch.device, progress: Done = lambda done: None
) -> tuple[Tensor, Tensor]:
    """Return mu and logvar, float32[N, latents] each, of frames, uint8[N, H, W, C]."""
    vae.to(device)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(frames), _ENCODED):
            progress(start / len(frames))
            batch = torch.from_numpy(np.array(frames[start : start + _ENCODED]))
            mu, logvar = vae.encoder(images_from_frames(batch.to(device)))
            parts.append((mu.cpu(), logvar.cpu()))
    vae.cpu()
    return torch.cat([mu for mu, _ in parts]).clone(), torch.cat([logvar for _, logvar in parts]).clone()


def kl_per_feature(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return the mean KL divergence of each feature's posterior from N(0, 1), nats, float32[latents]."""
    return (0.5 * (mu**2 + logvar.exp() - logvar - 1)).mean(0)


def rate_per_feature(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return how many nats each feature carries about the frame, float32[latents], whatever its scale.

    The capacity of a Gaussian channel with the variance of mu as signal and the posterior's as noise.
    """
    return 0.5 * (1 + mu.var(0) / logvar.clamp_min(_LEAST_LOGVAR).exp()).log().mean(0)


def standardise(vae: VAE, mu: Tensor, logvar: Tensor) -> None:
    """Order the features by the information they carry and give each zero mean and unit variance, in place."""
    order = torch.argsort(kl_per_feature(mu, logvar), descending=True, stable=True)
    mean, std = mu.mean(0)[order], mu.std(0)[order]
    std = std.clamp_min(_LEAST_SPREAD * float(std.max()) or 1.0)
    last, first = vae.encoder.layers[-1], vae.decoder.layers[0]
    assert isinstance(last, nn.Linear) and isinstance(first, nn.Linear)
    with torch.no_grad():
        weight_mu, weight_logvar = last.weight.chunk(2)
        bias_mu, bias_logvar = last.bias.chunk(2)
        last.weight.copy_(torch.cat([weight_mu[order] / std[:, None], weight_logvar[order]]))
        last.bias.copy_(torch.cat([(bias_mu[order] - mean) / std, bias_logvar[order] - 2 * std.log()]))
        columns = first.weight[:, order].clone()
        first.bias.add_(columns @ mean)
        first.weight.copy_(columns * std)


def train_world_model(
    sizes: Sizes,
    config: TrainingConfig,
    latents: Tensor,
    split: Split,
    work: Work,
    device: torch.device,
    progress: Done,
) -> WorldModel:
    """Return a world model trained to predict the next latent, on the CPU.

    Half of the sequences see all latents; in the others only random blocks arrive and the model's own predictions
    stand in for the rest, as in the `predict` fill.

    Args:
        sizes: Of the model.
        config: Settings.
        latents: float32[N, latents] of the frames.
        split: Their actions and trials.
        work: Keeps checkpoints.
        device: To train on.
        progress: Told how far it is.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + 1)
        model = WorldModel(sizes)
    model.to(device)
    trainer = Trainer(model, work, "world-model", config.seed + 1, config.world_model_steps)
    generator, count = trainer.generator, config.sequences
    length = usual_length(split, config.sequence + 1) - 1
    enough = np.flatnonzero(split.lengths > length)
    first = torch.from_numpy(split.starts[:-1][enough].astype(np.int64))
    slack = torch.from_numpy(split.lengths[enough].astype(np.int64) - length)
    actions = torch.from_numpy(split.actions.astype(np.int64))

    def loss(step: int) -> Tensor:
        trial = torch.randint(len(first), (count,), generator=generator)
        offset = (torch.rand(count, generator=generator) * slack[trial]).long()
        index = (first[trial] + offset)[:, None] + torch.arange(length + 1)
        z, a = latents[index].to(device), actions[index].to(device)
        arrives = torch.rand(count, length, sizes.blocks, generator=generator) < 0.5
        held = torch.rand(count, generator=generator) < 0.5
        arrives[held] = arrives[held][:, :1]
        arrives[: count // 2] = True
        sent = arrives.repeat_interleave(sizes.block_size, 2).to(device)
        hidden = torch.zeros(count, sizes.hidden, device=device)
        shown = torch.where(sent[:, 0], z[:, 0], torch.zeros_like(z[:, 0]))
        error = torch.zeros((), device=device)
        for t in range(length):
            hidden, predicted = model(shown, a[:, t], hidden)
            error = error + ((predicted - z[:, t + 1]) ** 2).mean()
            if t + 1 < length:
                shown = torch.where(sent[:, t + 1], z[:, t + 1], predicted)
        return error / length

    trainer.run(loss, config.learning_rate, 1.0, config.checkpoint_steps, progress)
    return model.cpu().eval().requires_grad_(False)


def usual_length(split: Split, most: int) -> int:
    """Return so many frames, 2 to `most`, that at least half of the trials have as many, if any have 2."""
    lengths = split.lengths[split.lengths > 1]
    return min(most, int(np.median(lengths)))
