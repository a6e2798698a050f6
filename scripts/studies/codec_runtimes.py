"""Time the networks of the codec under several runtimes, in turns, and say which of them keep its bytes.

    pip install --target build/runtimes onnx onnxruntime openvino
    OMP_NUM_THREADS=1 PYTHONPATH=.:build/runtimes python scripts/studies/codec_runtimes.py

Runtimes that are not installed are left out. Times are of the processor, on one thread, medians, per frame.
"""

from __future__ import annotations

import copy
import io
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from compression.model.header import shipped_model
from compression.model.latent_model import frames_of, images_of, load_model, use_one_thread
from compression.model.vae import straight

BATCHES = {1: 25, 6: 10, 16: 10}
"""Frames that pass together, and how often they do."""
Network = Callable[[Tensor], Tensor]


class Means(nn.Module):
    """The encoder without its variances."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        """Return the latents."""
        mu: Tensor = self.encoder(images)[0]
        return mu


def contiguous(network: nn.Module, example: Tensor) -> Network:
    """Keep weights in the order of the file, and not channels last."""
    network = copy.deepcopy(network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return lambda x: network(x)


def in_place(network: nn.Module, example: Tensor) -> Network:
    """Let activations take the place of what they follow from."""
    network = copy.deepcopy(network)
    for layer in (each for each in network.modules() if isinstance(each, nn.SiLU)):
        layer.inplace = True
    return lambda x: network(x)


def plain(network: nn.Module, example: Tensor) -> Network:
    """Call operations and not modules, as sessions do."""
    return straight(nn.Sequential(*(layer for layer in network.modules() if not list(layer.children()))))


def frozen(network: nn.Module, example: Tensor) -> Network:
    """Trace and freeze: no module is called in Python."""
    traced: Network = torch.jit.freeze(torch.jit.trace(network, example))  # type: ignore[no-untyped-call]
    return traced


def prepacked(network: nn.Module, example: Tensor) -> Network:
    """Give oneDNN the weights of convolutions in the order that it computes in."""
    layers: list[Network] = []
    for layer in (module for module in network.modules() if not list(module.children())):
        layers.append(_packed(layer, example) if isinstance(layer, nn.Conv2d) else layer)
        example = layers[-1](example)

    def run(x: Tensor) -> Tensor:
        for layer in layers:
            x = layer(x)
        return x

    return run


def _packed(layer: nn.Conv2d, example: Tensor) -> Network:
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
    settings = [list(each) for each in (layer.padding, layer.stride, layer.dilation)]
    weight = reorder(layer.weight.to_mkldnn(), *settings, 1, list(example.shape))
    return lambda x: torch.ops.mkldnn._convolution_pointwise(x, weight, layer.bias, *settings, 1, "none", [], "")


def half(network: nn.Module, example: Tensor) -> Network:
    """Compute in 16 bits."""
    network = copy.deepcopy(network).bfloat16()
    return lambda x: network(x.bfloat16()).float()


def onnx(network: nn.Module, example: Tensor) -> Network:
    """Leave it to ONNX Runtime."""
    onnxruntime = import_module("onnxruntime")
    file: Any = io.BytesIO()
    options = onnxruntime.SessionOptions()
    torch.onnx.export(network, (example,), file, dynamo=False)
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file.getvalue(), options)
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.contiguous().numpy()})[0])


def open_vino(network: nn.Module, example: Tensor) -> Network:
    """Leave it to OpenVINO, in 32 bits."""
    openvino = import_module("openvino")
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(openvino.convert_model(network, example_input=example), "CPU", settings)
    return lambda x: torch.from_numpy(model([x.contiguous().numpy()])[0].copy())


RUNTIMES: dict[str, Callable[[nn.Module, Tensor], Network]] = {
    "eager": lambda network, example: network,
    "plain functions": plain,
    "weights not channels last": contiguous,
    "activations in place": in_place,
    "torch.jit.freeze": frozen,
    "prepacked convolutions": prepacked,
    "bfloat16": half,
    "ONNX Runtime": onnx,
    "OpenVINO": open_vino,
}


def main() -> None:
    """Print a line for each runtime and size of a batch."""
    warnings.simplefilter("ignore")
    use_one_thread()
    model = load_model(shipped_model("car-racing"))
    encoder, decoder = Means(model.vae.encoder).eval(), model.vae.decoder
    latents = torch.from_numpy(np.random.default_rng(0).standard_normal((16, model.sizes.latents)).astype(np.float32))
    images = images_of(model.decode_latents(latents.numpy()))
    for batch, turns in BATCHES.items():
        x, z = images[:batch], latents[:batch]
        ends: dict[str, tuple[Network, Network]] = {}
        for name, make in RUNTIMES.items():
            with torch.no_grad(), suppress(ImportError):
                inner: Any = encoder.encoder.layers if make is prepacked else encoder
                ends[name] = make(inner, x), make(decoder, z)
        times: dict[str, list[float]] = {name: [] for name in ends}
        with torch.inference_mode():
            for turn in range(-2, turns):
                for name, (encode, decode) in ends.items():
                    begun = time.process_time()
                    encode(x), decode(z)
                    if turn >= 0:
                        times[name].append((time.process_time() - begun) * 1000 / batch)
            expected = encoder(x).clone(), decoder(z).clone()
            for name, (encode, decode) in ends.items():
                mu, drawn = encode(x)[:, : model.sizes.latents].clone(), decode(z).clone()
                same = torch.equal(mu, expected[0]) and torch.equal(drawn, expected[1])
                frames = bool((frames_of(drawn) == frames_of(expected[1].clone())).all())
                taken = statistics.median(times[name])
                print(
                    f"{batch:2} {name:26} {taken:.3f} ms, {taken / statistics.median(times['eager']):.2f} of eager; "
                    f"bits {'the same' if same else 'others'}, frames {'the same' if frames else 'others'}"
                )


if __name__ == "__main__":
    main()
