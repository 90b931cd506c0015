"""Layers in PyTorch that compute what ours do, with copies of their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from edgelearn.arrays import F32
from edgelearn.block import Block
from edgelearn.network import Network
from edgelearn.wiring import SAMPLE

EPSILON = 1e-5


def known(block: Block) -> bool:
    """Whether `block` has a twin."""
    single = len(block.in_shape) < 4  # not a sequence of images
    return block.layer.kind in TWINS and single and not getattr(block.layer, "masked", False)


def model(network: Network) -> nn.Module:
    """The twin of `network`: normalised samples to scores, without the softmax at the end."""
    return _Stack(network)


def learned(module: nn.Module, network: Network) -> list[nn.Parameter]:
    """The parameters of blocks that learn."""
    assert isinstance(module, _Stack)  # noqa: S101  made above
    return [p for i in network.learning() for p in module.layers[i].parameters()]


class _Stack(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.wirings = [block.wiring for block in network.blocks]
        self.layers = nn.ModuleList(TWINS[block.layer.kind](block) for block in network.blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = {SAMPLE: x}
        for index, (wiring, layer) in enumerate(zip(self.wirings, self.layers, strict=True)):
            parts = [made[source] for source in wiring.sources]
            if wiring.join == "add":
                seen = torch.stack(parts).sum(dim=0) if wiring.joins else parts[0]
            else:
                seen = torch.cat(parts, dim=-1)
            made[index] = layer(seen)
        return made[len(self.wirings) - 1]


def _parameter(value: F32) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(value.copy()))


def _activation(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    known: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "tanh": torch.tanh,
        "relu": torch.relu,
        "leaky_relu": lambda z: nn.functional.leaky_relu(z, 0.01),
        "linear": lambda z: z,
        "softmax": lambda z: z,  # the loss takes scores
    }
    return known[name]


class _Dense(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        self.linear = nn.Linear(*block.params["w"].shape)
        self.linear.weight = _parameter(block.params["w"].T)
        self.linear.bias = _parameter(block.params["b"])
        self.act = _activation(block.layer.activation)  # type: ignore[attr-defined]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.linear(x.flatten(1)))


def _images(x: torch.Tensor) -> torch.Tensor:
    """(batch, channels, height, width) from our (batch, height, width[, channels])."""
    return x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)


class _Conv(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        layer: Any = block.layer
        op = layer.op(block.in_shape)
        top, left, bottom, right = op.pads
        self.pads = (left, right, top, bottom)
        self.slide = {"stride": op.strides, "dilation": op.dilations, "groups": op.groups}
        self.weight = _parameter(block.params["w"].transpose(3, 2, 0, 1))
        self.bias = _parameter(block.params["b"])
        self.act = _activation(layer.activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = nn.functional.pad(_images(x), self.pads)
        z = nn.functional.conv2d(padded, self.weight, self.bias, **self.slide)
        return self.act(z).permute(0, 2, 3, 1)


class _Pool(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        layer: Any = block.layer
        self.op = layer.op(block.in_shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top, left, bottom, right = self.op.pads
        pads, images = (left, right, top, bottom), _images(x)
        sizes = {"kernel_size": self.op.kernel, "stride": self.op.strides}
        if self.op.kind == "max":
            padded = nn.functional.pad(images, pads, value=-torch.inf)
            pooled = nn.functional.max_pool2d(padded, **sizes)
        else:  # the mean of what lies within the image
            inside = nn.functional.pad(torch.ones_like(images[:1, :1]), pads)
            share = nn.functional.avg_pool2d(inside, **sizes)
            pooled = nn.functional.avg_pool2d(nn.functional.pad(images, pads), **sizes) / share
        return pooled.permute(0, 2, 3, 1)


class _LayerNorm(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(x, x.shape[1:], eps=EPSILON)


class _Recurrent(nn.Module):
    """nn.GRU, nn.LSTM or nn.RNN, and what our layer returns of its states."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        layer: Any = block.layer
        self.returns, self.reverse = layer.returns, layer.reverse
        self.cell, order, signs = _cell(block)
        w, u, b = (_gates(block.params[key], layer.units, order, signs) for key in "wub")
        self.cell.weight_ih_l0 = _parameter(w.T)
        self.cell.weight_hh_l0 = _parameter(u.T)
        self.cell.bias_ih_l0 = _parameter(b)
        nn.init.zeros_(self.cell.bias_hh_l0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.cell(x.flip(1) if self.reverse else x)
        last, mean = states[:, -1], states.mean(dim=1)
        found = {"last": last, "mean": mean, "last_mean": torch.cat([last, mean], dim=1)}
        return found.get(self.returns, states.flip(1) if self.reverse else states)


def _cell(block: Block) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
    """A cell, and how its gates follow from ours: which, and with which sign.

    Our update gate says how much of a GRU's state is new, theirs how much is old.
    """
    layer: Any = block.layer
    sizes = (block.in_shape[1], layer.units)
    match layer.kind:
        case "gru":
            return nn.GRU(*sizes, batch_first=True), (0, 1, 2), (1, -1, 1)
        case "lstm":
            return nn.LSTM(*sizes, batch_first=True), (0, 1, 3, 2), (1, 1, 1, 1)
        case _:
            cell = nn.RNN(*sizes, nonlinearity=layer.activation, batch_first=True)
            return cell, (0,), (1,)


def _gates(value: F32, units: int, order: tuple[int, ...], signs: tuple[int, ...]) -> Any:
    gates = value.reshape(*value.shape[:-1], len(order), units)[..., list(order), :]
    signed = gates * torch.tensor(signs, dtype=torch.float32).numpy()[:, None]
    return signed.reshape(value.shape)


TWINS: dict[str, Callable[[Block], nn.Module]] = {
    "dense": _Dense,
    "conv2d": _Conv,
    "max_pool": _Pool,
    "avg_pool": _Pool,
    "layer_norm": _LayerNorm,
    "gru": _Recurrent,
    "lstm": _Recurrent,
    "elman": _Recurrent,
}
"""Every kind of layer that has a twin."""
