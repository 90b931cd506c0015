"""Twins in PyTorch compute what our layers do, for every example of every kind that has one."""

from __future__ import annotations

import numpy as np
import pytest
from layer_cases import CASES, arrays, is_head, scratch
from tolerances import ENGINE_F32

from edgelearn.block import Block
from edgelearn.wiring import SAMPLE, Wiring

torch = pytest.importorskip("torch")
twins = pytest.importorskip("edgelearn.bench.twins")


def block_of(layer, in_shape, params):
    wiring = Wiring(layer.kind, (SAMPLE,))
    return Block(wiring, layer, 1.0, in_shape, layer.out_shape(in_shape), params, None)


TWINNED = [c for c in CASES if twins.known(block_of(*c.values[:2], {})) and c.values[2] == 3]


def test_every_kind_with_a_twin_is_tried():
    assert {case.values[0].kind for case in TWINNED} == set(twins.TWINS)


@pytest.mark.parametrize(("layer", "in_shape", "batch"), TWINNED)
def test_a_twin_computes_the_same(layer, in_shape, batch):
    params, x, _, out = arrays(layer, in_shape, batch)
    a = layer.forward(params, x, out, scratch(layer, in_shape, batch)).a
    twin = twins.TWINS[layer.kind](block_of(layer, in_shape, params))
    with torch.no_grad():
        found = twin(torch.from_numpy(x))
        if is_head(layer):  # the twin's loss takes scores
            found = found.softmax(dim=-1)
    np.testing.assert_allclose(found.numpy().reshape(a.shape), a, atol=ENGINE_F32)
