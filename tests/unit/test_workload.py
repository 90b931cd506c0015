"""Which nodes run as one kernel, and of what kind it is."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.ir import Builder
from edgelearn.ir.ops import AddConvOuter, AddOuter, Concat, Conv2d, Reshape
from firmware_sim.costs import AMOUNTS, amounts
from firmware_sim.workload import kernels


def ones(*shape):
    return np.ones(shape, np.float32)


def conv(b, x, filters, size=3, stride=1, groups=1):
    channels = b.specs[x].shape[3] // groups
    w = b.constant(b.fresh("w"), ones(size, size, channels, filters))
    y = b.apply(Conv2d((stride, stride), groups=groups), x, w, name=b.fresh("conv"))
    return b.binary("add", y, b.constant(b.fresh("b"), ones(filters)))


def kinds(b, *outputs):
    return [(k.kind, k.nodes) for k in kernels(b.graph(outputs))]


def image(channels):
    b = Builder("g")
    return b, b.input("x", (1, 9, 9, channels))


@pytest.mark.parametrize(
    ("channels", "filters", "size", "stride", "groups", "kind"),
    [
        (3, 8, 3, 2, 1, "stem"),
        (8, 8, 3, 1, 1, "conv3x3"),
        (8, 8, 3, 2, 1, "conv"),
        (8, 8, 5, 1, 1, "conv"),
        (8, 16, 1, 1, 1, "pointwise"),
        (8, 8, 3, 1, 8, "depthwise"),
        (8, 16, 1, 1, 2, "grouped"),
    ],
)
def test_kinds_of_convolutions(channels, filters, size, stride, groups, kind):
    b, x = image(channels)
    assert kinds(b, conv(b, x, filters, size, stride, groups)) == [(kind, 2)]


def test_a_convolution_takes_bias_and_bounded_relu_along():
    b, x = image(8)
    y = b.binary("min", b.unary("relu", conv(b, x, 8)), b.scalar(6))
    assert kinds(b, y) == [("conv3x3", 4)]


def test_what_is_read_twice_or_returned_ends_its_kernel():
    b, x = image(8)
    y = conv(b, x, 8)
    swish = b.binary("mul", y, b.unary("sigmoid", y))
    assert kinds(b, swish) == [("conv3x3", 2), ("elementwise", 2)]
    b, x = image(8)
    y = conv(b, x, 8)
    assert kinds(b, b.unary("relu", y), y) == [("conv3x3", 2), ("elementwise", 1)]


def test_a_shortcut_is_a_pass_of_its_own_with_its_activation():
    b, x = image(8)
    y = conv(b, x, 8, 1)
    z = b.unary("relu", b.binary("add", x, y))
    assert kinds(b, z) == [("pointwise", 2), ("elementwise", 2)]


def test_a_third_operand_starts_another_pass():
    b = Builder("g")
    x, y, z = (b.input(n, (1, 4)) for n in "xyz")
    assert kinds(b, b.binary("add", b.binary("mul", x, y), z)) == [("elementwise", 1)] * 2


def test_views_cost_nothing_and_copies_do():
    b, x = image(8)
    y = b.apply(Concat(3), x, b.apply(Reshape((1, 9, 9, 8)), x))
    [kernel] = kernels(b.graph([y]))
    assert (kernel.kind, kernel.op, kernel.outputs) == ("move", "Concat", 9 * 9 * 16)


def test_updates_of_weights_count_as_the_products_they_are():
    b, x = image(8)
    w, d = b.state("w", ones(3, 3, 8, 4)), b.input("d", (1, 7, 7, 4))
    b.update(w, b.apply(AddConvOuter(), w, x, d))
    v = b.state("v", ones(6, 5))
    b.update(v, b.apply(AddOuter(), v, b.input("u", (2, 6)), b.input("e", (2, 5))))
    filters, matrix = kernels(b.graph([]))
    assert (filters.kind, filters.positions, filters.fan_in) == ("conv3x3", 49, 8)
    assert (matrix.kind, matrix.positions, matrix.fan_in, matrix.fan_out) == ("dense", 6, 2, 5)
    assert matrix.macs == 2 * 6 * 5


def test_amounts_by_hand():
    b, x = image(6)
    row = dict(zip(AMOUNTS, amounts(kernels(b.graph([conv(b, x, 10)])), "float32")[0], strict=True))
    macs = 7 * 7 * 9 * 6 * 10
    assert row["conv3x3"] == pytest.approx(macs * (12 / 10) * (56 / 54)), "10 and 54 filled to 4s"
    assert row["unaligned4"] == macs
    assert row["unaligned8"] == 0
    assert row["activations"] == 4 * (9 * 9 * 6 + 7 * 7 * 10)
    assert row["weights"] == 4 * (9 * 6 * 10 + 10)
    assert row["transform"] == 7 * 7 * (6 + 10)
    assert row["start"] == 1
    assert sum(row.values()) == pytest.approx(
        sum(row[k] for k in ("conv3x3", "unaligned4", "activations", "weights", "transform")) + 1
    )
