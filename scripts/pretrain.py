"""Pretrain the generative model that ships with Racer: VAE, world model, latent statistics and quantiser tables.

    python scripts/collect_frames.py --out build/frames
    python scripts/pretrain.py --frames build/frames --out compression/weights

Runs on CPU (about an hour on two cores) or CUDA. A stage whose result lies in --work is not repeated, so an
interrupted run goes on with the stage it was in. Writes `codec.safetensors` and the data card `codec.json`.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from compression.coders.packet import layout_for
from compression.masks import BLOCK_SIZE, BLOCKS, LATENTS
from compression.model.latent_model import images_from_frames, load_codec
from compression.model.quantizer import fit_codebook
from compression.model.vae import VAE
from compression.model.world_model import HIDDEN, WorldModel


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of pretraining."""

    kl_weight: float = 0.3
    """Weight of the KL divergence (nats) against the squared error summed over a frame's pixels in [0, 1]."""
    free_nats: float = 0.5
    """KL divergence per feature that costs nothing (free bits, Kingma et al. 2016): without it, a third of the
    features end up carrying nothing, and a mask would choose among fewer than it seems to."""
    quantisation_noise: float = 0.004
    """Variance of the noise added to each latent on top of the posterior's, relative to the latent's own variance:
    a little more than 30-level quantisation adds, so that the decoder learns to bear it."""
    vae_steps: int = 5_000
    """Gradient steps of the VAE."""
    batch: int = 128
    """Frames per step; every other batch is mirrored left to right."""
    learning_rate: float = 1e-3
    """Peak of Adam's, after which it falls along a cosine."""
    world_model_steps: int = 1_500
    """Gradient steps of the world model."""
    sequence: int = 48
    """Frames per world model sequence."""
    sequences: int = 64
    """Sequences per world model step."""
    quantiser_samples: int = 40_000
    """Training frames to which the quantiser tables are fitted."""
    seed: int = 0


def load_split(folder: Path, split: str) -> tuple[Tensor, NDArray[np.int8], NDArray[np.int64]]:
    """Return frames uint8[N, 64, 64, 3], actions int8[N] and episode starts int64[E + 1]."""
    frames = torch.from_numpy(np.load(folder / f"{split}_frames.npy"))
    return frames, np.load(folder / f"{split}_actions.npy"), np.load(folder / f"{split}_starts.npy")


def train_vae(config: PretrainConfig, frames: Tensor, device: torch.device) -> VAE:
    """Return a VAE trained by minimising squared error + kl_weight * KL."""
    generator = torch.Generator().manual_seed(config.seed)
    torch.manual_seed(config.seed)
    vae = VAE().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(vae.parameters(), config.learning_rate, weight_decay=1e-4, fused=True)
    average = torch.optim.swa_utils.AveragedModel(vae, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998))  # type: ignore[no-untyped-call]
    with Progress() as progress:
        task = progress.add_task("VAE", total=config.vae_steps)
        for step in range(config.vae_steps):
            for group in optimizer.param_groups:
                group["lr"] = _learning_rate(config.learning_rate, step, config.vae_steps)
            index = torch.randint(len(frames), (config.batch,), generator=generator)
            images = images_from_frames(frames[index].to(device)).contiguous(memory_format=torch.channels_last)
            if step % 2:
                images = images.flip(3)
            mu, logvar = vae.encoder(images)
            logvar = logvar.clamp(-12, 4)
            kl = kl_per_feature(mu, logvar)
            std = (logvar.exp() + config.quantisation_noise * mu.var(0).detach()).sqrt()
            noise = torch.randn(mu.shape, generator=generator).to(device)
            error = ((vae.decoder(mu + std * noise) - images) ** 2).sum((1, 2, 3)).mean()
            warm_up = min(1.0, (step + 1) / 1000)
            optimizer.zero_grad()
            (error + config.kl_weight * warm_up * kl.clamp_min(config.free_nats).sum()).backward()
            nn.utils.clip_grad_norm_(vae.parameters(), 50.0)
            optimizer.step()
            average.update_parameters(vae)
            if step % 100 == 99:
                psnr = 10 * math.log10(images[0].numel() / error.item())
                progress.console.print(
                    f"VAE step {step + 1}: training PSNR {psnr:.2f} dB (with noise), KL {kl.sum().item():.1f} nats"
                )
            progress.update(task, advance=1)
    trained = average.module.cpu()
    assert isinstance(trained, VAE)
    return trained.eval().requires_grad_(False)


def encode(vae: VAE, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Return mu and logvar, float32[N, 32] each."""
    with torch.inference_mode():
        parts = [vae.encoder(images_from_frames(batch)) for batch in torch.split(frames, 256)]
    return torch.cat([mu for mu, _ in parts]), torch.cat([logvar for _, logvar in parts])


def rate_per_feature(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return how many nats each feature carries about the frame, float32[32], whatever its scale.

    The capacity of a Gaussian channel with the variance of mu as signal and the posterior's as noise.
    """
    return 0.5 * (1 + mu.var(0) / logvar.exp()).log().mean(0)


def kl_per_feature(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return the mean KL divergence of each feature's posterior from N(0, 1), nats, float32[32]."""
    return (0.5 * (mu**2 + logvar.exp() - logvar - 1)).mean(0)


def standardise(vae: VAE, mu: Tensor, logvar: Tensor) -> None:
    """Order the features by the information they carry and give each zero mean and unit variance, in place."""
    order = torch.argsort(kl_per_feature(mu, logvar), descending=True)
    mean, std = mu.mean(0)[order], mu.std(0)[order]
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
    config: PretrainConfig, latents: Tensor, actions: Tensor, starts: NDArray[np.int64], device: torch.device
) -> WorldModel:
    """Return a world model trained to predict the next latent.

    Half of the sequences see all latents; in the others only random blocks arrive and the model's own predictions
    stand in for the rest, as in the `predict` fill.
    """
    generator = torch.Generator().manual_seed(config.seed + 1)
    torch.manual_seed(config.seed + 1)
    model = WorldModel().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=1e-4)
    long_enough = np.flatnonzero(np.diff(starts) > config.sequence)
    first = torch.from_numpy(starts[long_enough])
    slack = torch.from_numpy(np.diff(starts)[long_enough] - config.sequence)
    with Progress() as progress:
        task = progress.add_task("world model", total=config.world_model_steps)
        for step in range(config.world_model_steps):
            for group in optimizer.param_groups:
                group["lr"] = _learning_rate(config.learning_rate, step, config.world_model_steps)
            episode = torch.randint(len(first), (config.sequences,), generator=generator)
            offset = (torch.rand(config.sequences, generator=generator) * slack[episode]).long()
            index = (first[episode] + offset)[:, None] + torch.arange(config.sequence + 1)
            z, a = latents[index].to(device), actions[index].to(device)
            arrives = torch.rand(config.sequences, config.sequence, BLOCKS, generator=generator) < 0.5
            held = torch.rand(config.sequences, generator=generator) < 0.5
            arrives[held] = arrives[held][:, :1]
            arrives[: config.sequences // 2] = True
            sent = arrives.repeat_interleave(BLOCK_SIZE, 2).to(device)
            hidden = torch.zeros(config.sequences, HIDDEN, device=device)
            shown = torch.where(sent[:, 0], z[:, 0], torch.zeros_like(z[:, 0]))
            error = torch.zeros((), device=device)
            for t in range(config.sequence):
                hidden, predicted = model(shown, a[:, t], hidden)
                error = error + ((predicted - z[:, t + 1]) ** 2).mean()
                if t + 1 < config.sequence:
                    shown = torch.where(sent[:, t + 1], z[:, t + 1], predicted)
            optimizer.zero_grad()
            (error / config.sequence).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if step % 100 == 99:
                progress.console.print(
                    f"world model step {step + 1}: squared error {error.item() / config.sequence:.4f}"
                )
            progress.update(task, advance=1)
    return model.cpu().eval().requires_grad_(False)


def psnr(images: Tensor, frames: Tensor) -> tuple[float, float]:
    """Return PSNR in dB of 8-bit frames: of the mean squared error, and the mean over frames."""
    error = ((images.float() - frames.float()) / 255).square().mean((1, 2, 3))
    return -10 * math.log10(error.mean().item()), float((-10 * error.clamp_min(1e-12).log10()).mean())


def evaluate(out: Path, frames: Tensor, actions: NDArray[np.int8], starts: NDArray[np.int64]) -> dict[str, Any]:
    """Measure the written codec on held-out tracks, through the very code that a session runs."""
    codec = load_codec(out / "codec.safetensors")
    sample = frames[::5].contiguous()
    mu, logvar = encode(codec.vae, sample)
    latents: NDArray[np.float32] = mu.numpy()

    def quality(z: NDArray[np.float32]) -> tuple[float, float]:
        shown = np.concatenate([codec.decode_latents(part) for part in np.array_split(z, len(z) // 256 + 1)])
        return psnr(torch.from_numpy(shown), sample)

    everything = np.arange(LATENTS)
    layout = layout_for(85, 2, BLOCKS)

    def through_packet(z: NDArray[np.float32]) -> NDArray[np.float32]:
        _, symbols = layout.unpack(layout.pack(0, codec.quantizer.encode(z, everything, layout.levels)))
        return codec.quantizer.decode(symbols, everything, layout.levels)

    rate = rate_per_feature(mu, logvar)
    exact, packet = quality(latents), quality(np.stack([through_packet(z) for z in latents]))
    losses = []
    for feature in range(LATENTS):
        without = latents.copy()
        without[:, feature] = codec.mean[feature]
        losses.append(exact[0] - quality(without)[0])
    predicted, held = _prediction_error(codec.world_model, frames, actions, starts, codec.encode_frames)
    return {
        "held_out_frames": len(sample),
        "psnr_unquantised_db": exact[0],
        "psnr_unquantised_mean_over_frames_db": exact[1],
        "psnr_full_170_bits_db": packet[0],
        "psnr_full_170_bits_mean_over_frames_db": packet[1],
        "quantisation_cost_db": exact[0] - packet[0],
        "nats_per_feature": [round(value, 3) for value in rate.tolist()],
        "psnr_lost_without_feature_db": [round(value, 3) for value in losses],
        "informative_features": int(((rate > 0.1) & (torch.tensor(losses) > 0.05)).sum()),
        "informative_means": "carries over 0.1 nat, and over 0.05 dB of PSNR is lost when it is replaced by its mean",
        "next_latent_squared_error": predicted,
        "next_latent_squared_error_of_no_change": held,
    }


def _prediction_error(
    model: WorldModel, frames: Tensor, actions: NDArray[np.int8], starts: NDArray[np.int64], encode_frames: Any
) -> tuple[float, float]:
    """Return the squared error per latent of the world model, and of predicting no change, on 10 episodes."""
    ours, still = [], []
    for begin, end in pairwise(starts[:11]):
        z = torch.from_numpy(encode_frames(frames[begin:end].numpy()))
        a = torch.from_numpy(actions[begin:end].astype(np.int64))
        hidden = torch.zeros(1, HIDDEN)
        with torch.inference_mode():
            for t in range(len(z) - 1):
                hidden, predicted = model(z[t : t + 1], a[t : t + 1], hidden)
                ours.append(((predicted[0] - z[t + 1]) ** 2).mean().item())
                still.append(((z[t] - z[t + 1]) ** 2).mean().item())
    return float(np.mean(ours)), float(np.mean(still))


def _learning_rate(peak: float, step: int, steps: int) -> float:
    return peak * min(1.0, (step + 1) / 200) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def main() -> None:
    """Run all stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, default=Path("build/frames"))
    parser.add_argument("--work", type=Path, default=Path("build/pretrain"), help="where stages leave their results")
    parser.add_argument("--out", type=Path, default=Path("compression/weights"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, value in asdict(PretrainConfig()).items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(value), default=value)
    args = parser.parse_args()
    config = PretrainConfig(**{name: getattr(args, name) for name in asdict(PretrainConfig())})
    device = torch.device(args.device)
    args.work.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)

    # Adam's moments of idle weights decay into denormal numbers, which are ten times slower than zero.
    torch.set_flush_denormal(True)
    frames, actions, starts = load_split(args.frames, "train")
    stages = args.work / "config.json"
    if stages.exists() and json.loads(stages.read_text()) != asdict(config):
        raise SystemExit(f"{args.work} holds stages trained with other settings; remove it, or give another --work")
    stages.write_text(json.dumps(asdict(config)))
    vae, vae_file = VAE(), args.work / "vae.safetensors"
    if vae_file.exists():
        vae.load_state_dict(load_file(vae_file))
    else:
        vae = train_vae(config, frames, device)
        standardise(vae, *encode(vae, frames))
        save_file({name: tensor.contiguous() for name, tensor in vae.state_dict().items()}, vae_file)
    vae.eval()
    # What ships is rounded to half precision; all that follows is fitted to the rounded weights.
    vae.load_state_dict({name: tensor.half().float() for name, tensor in vae.state_dict().items()})
    latents, _ = encode(vae, frames)

    model, model_file = WorldModel(), args.work / "world_model.safetensors"
    if model_file.exists():
        model.load_state_dict(load_file(model_file))
    else:
        model = train_world_model(config, latents, torch.from_numpy(actions.astype(np.int64)), starts, device)
        save_file(model.state_dict(), model_file)

    rng = np.random.default_rng(config.seed)
    samples = latents.numpy()[rng.choice(len(latents), min(config.quantiser_samples, len(latents)), replace=False)]
    tensors = {f"vae.{name}": tensor.half() for name, tensor in vae.state_dict().items()}
    tensors |= {f"world_model.{name}": tensor.half() for name, tensor in model.state_dict().items()}
    tensors["latent.mean"] = latents.mean(0)
    tensors["latent.covariance"] = torch.cov(latents.T)
    tensors["quantizer.codebook"] = torch.from_numpy(fit_codebook(samples))
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, args.out / "codec.safetensors", {"format": "racer-codec-1"})

    held_out = load_split(args.frames, "held_out")
    card = {
        "data": {
            "train_frames": len(frames),
            "train_tracks": len(starts) - 1,
            "held_out_tracks": len(held_out[2]) - 1,
            "drivers": "simulated participants and an expert, both with bursts of wrong keys; speeds 30 to 65; "
            "a fifth of the runs with forgiving handling",
            "commands": ["python scripts/collect_frames.py", "python scripts/pretrain.py"],
        },
        "config": asdict(config),
        "held_out": evaluate(args.out, *held_out),
        "sha256": load_codec(args.out / "codec.safetensors").sha256,
        "bytes": (args.out / "codec.safetensors").stat().st_size,
    }
    (args.out / "codec.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card["held_out"], indent=2))


if __name__ == "__main__":
    main()
