"""Backpropagation against PyTorch's: one step of whole networks on real digits."""

from __future__ import annotations

import numpy as np
import pytest
from control_cases import images, model_of

from edgelearn.controls import Control

torch = pytest.importorskip("torch", reason="PyTorch, the peer of this test, is not installed")

F = torch.nn.functional
LR, ROWS = 0.1, np.arange(16)


def conv(t, x, name, pads):
    w = t[f"{name}.w"].permute(3, 2, 0, 1)
    return F.conv2d(F.pad(x, pads), w, t[f"{name}.b"])


def convolutional(t, x):
    """`control_cases.NETWORKS["conv"]`, written by hand."""
    a = F.leaky_relu(conv(t, x[:, None], "conv2d1", (1, 1, 1, 1)), 0.01)
    a = F.max_pool2d(a, 2)
    a = torch.tanh(conv(t, a, "conv2d3", (0, 1, 0, 1))).permute(0, 2, 3, 1)
    a = F.layer_norm(a, a.shape[1:], eps=1e-5)
    a = F.avg_pool2d(a.permute(0, 3, 1, 2), 3, 1).permute(0, 2, 3, 1)
    a = torch.tanh(a.flatten(1) @ t["dense6.w"] + t["dense6.b"])
    return a @ t["dense7.w"] + t["dense7.b"]


def gated(t, x, name, units):
    """A GRU whose reset comes after the product: every state, (steps, samples, units)."""
    h, states = torch.zeros(len(x), units), []
    for step in x.unbind(1):
        a, u = step @ t[f"{name}.w"] + t[f"{name}.b"], h @ t[f"{name}.u"]
        r = torch.sigmoid(a[:, :units] + u[:, :units])
        z = torch.sigmoid(a[:, units : 2 * units] + u[:, units : 2 * units])
        c = torch.tanh(a[:, 2 * units :] + r * u[:, 2 * units :])
        h = (1 - z) * h + z * c
        states.append(h)
    return torch.stack(states)


def recurrent(t, x):
    """`control_cases.NETWORKS["gru"]`, written by hand."""
    states = gated(t, x, "gru1", 6).transpose(0, 1)
    states = gated(t, states, "gru2", 5)
    seen = torch.cat([states[-1], states.mean(0)], 1)
    return seen @ t["dense3.w"] + t["dense3.b"]


@pytest.mark.parametrize(("name", "scores"), [("conv", convolutional), ("gru", recurrent)])
def test_one_step_is_that_of_autograd(digits, name, scores):
    network = model_of(digits, name).network
    tensors = {k: torch.tensor(v, requires_grad=True) for k, v in network.stored().items()}
    control = Control(network, "bp", len(ROWS), 0)
    x, labels = control.buffers.load(images(digits).x_train, digits.y_train, ROWS)
    loss = F.cross_entropy(scores(tensors, torch.tensor(x)), torch.tensor(labels))
    loss.backward()
    assert control.step(x, labels, LR) == pytest.approx(loss.item(), abs=1e-5)
    for key, value in network.stored().items():
        tensor = tensors[key]
        expected = (tensor - LR * tensor.grad).detach().numpy()
        np.testing.assert_allclose(value, expected, atol=1e-6, err_msg=key)
