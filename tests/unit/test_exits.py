"""Early exits: the same answers as every layer gives by itself, for less work."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tolerances import ENGINE_F32

from edgelearn import workflow
from edgelearn.errors import ConfigError
from edgelearn.evaluation import evaluate, predict
from edgelearn.exits import EarlyExits
from edgelearn.ir import run
from edgelearn.lowering import to_exit_graph, to_graph
from edgelearn.progress import Observer


@pytest.fixture(scope="module")
def trained(digits):
    recipe = workflow.embedded_recipe(("train.epochs=5",))
    hidden, head = recipe.layers
    recipe = msgspec.structs.replace(recipe, layers=(hidden, hidden, head))
    return workflow.train(workflow.new_model(recipe, digits), digits, Observer())[0].network


def test_every_exit_is_the_readout_of_its_layer(trained, digits):
    graph = to_exit_graph(trained)
    outputs = run(graph, {"x": digits.x_test.astype(np.float32)}).outputs
    report = evaluate(trained, digits.x_test, digits.y_test)
    assert list(outputs) == ["dense1/probabilities", "dense2/probabilities", "dense3/probabilities"]
    for layer, found in zip(report.layers, outputs.values(), strict=True):
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=ENGINE_F32)
        assert (found.argmax(axis=1) == digits.y_test).mean() == pytest.approx(layer.accuracy)


def test_a_threshold_out_of_reach_is_the_whole_network(trained, digits):
    exits = EarlyExits(trained, 1.1)
    expected = predict(trained, digits.x_test[:20])
    for sample, probabilities in zip(digits.x_test[:20], expected, strict=True):
        answer = exits.answer(sample.astype(np.float32))
        assert answer.layer == "dense3"
        np.testing.assert_allclose(answer.probabilities, probabilities, atol=ENGINE_F32)


def test_a_threshold_of_zero_leaves_at_the_first_layer_and_runs_no_more(trained, digits):
    answer = EarlyExits(trained, 0.0).answer(digits.x_test[0].astype(np.float32))
    first = trained.blocks[0]
    assert answer.layer == "dense1"
    assert answer.macs == first.params["w"].size + first.readout.projection.size


def test_early_answers_cost_less_and_are_nearly_as_good(trained, digits):
    whole = evaluate(trained, digits.x_test, digits.y_test).accuracy
    early = EarlyExits(trained, 0.9).evaluate(digits.x_test, digits.y_test)
    macs = sum(
        n.op.macs(*(g.specs[i] for i in n.inputs))
        for g in [to_graph(trained).bind(1)]
        for n in g.nodes
    )
    assert early.all_macs == macs
    assert early.macs < macs
    assert early.accuracy >= whole - 0.02
    assert sum(e.share for e in early.exits) == pytest.approx(1)
    right = sum(e.share * e.accuracy for e in early.exits if e.accuracy is not None)
    assert right == pytest.approx(early.accuracy)


def test_a_network_that_cannot_answer_early(digits):
    recipe = workflow.embedded_recipe()
    hidden, head = recipe.layers
    local = msgspec.structs.replace(hidden.local, loss="l2")
    hidden = msgspec.structs.replace(hidden, local=local)
    network = workflow.new_model(msgspec.structs.replace(recipe, layers=(hidden, head)), digits)
    with pytest.raises(ConfigError, match="cross_entropy"):
        EarlyExits(network.network, 0.9)
