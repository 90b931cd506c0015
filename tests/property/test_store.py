"""A model file comes back as it was written, or is refused: never anything in between."""

from __future__ import annotations

import hashlib
import json
import struct
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from edgelearn import modelfile, workflow
from edgelearn.errors import Diverged, MissingFile, ModelFileError
from edgelearn.ir import Builder, Graph, TensorSpec, run, store
from edgelearn.ir.store import Bundle

HERE = Path("model.safetensors")
DTYPES = ["float32", "int32", "int64", "int8", "uint8"]


def same_array(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def same_graph(a: Graph, b: Graph) -> bool:
    fields = ("name", "inputs", "outputs", "nodes")
    return (
        all(getattr(a, f) == getattr(b, f) for f in fields)
        and dict(a.specs) == dict(b.specs)
        and list(a.constants) == list(b.constants)
        and all(same_array(a.constants[k], b.constants[k]) for k in a.constants)
        and [(s.input, s.output) for s in a.states] == [(s.input, s.output) for s in b.states]
        and all(same_array(s.init, t.init) for s, t in zip(a.states, b.states, strict=True))
    )


def same_bundle(a: Bundle, b: Bundle) -> bool:
    return (
        a.graphs.keys() == b.graphs.keys()
        and all(same_graph(a.graphs[k], b.graphs[k]) for k in a.graphs)
        and dict(a.meta) == dict(b.meta)
        and a.extra.keys() == b.extra.keys()
        and all(same_array(a.extra[k], b.extra[k]) for k in a.extra)
    )


NAMES = st.text(min_size=1, max_size=12)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@st.composite
def arrays(draw, dtypes=tuple(DTYPES), shapes=((), (0,), (1,), (3,), (2, 3), (2, 0, 2), (1, 2, 3))):
    shape, dtype = draw(st.sampled_from(shapes)), draw(st.sampled_from(dtypes))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = rng.integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8)
    array = values.view(dtype).reshape(shape)
    return np.asfortranarray(array) if draw(st.booleans()) and array.ndim else array


@st.composite
def drawn_graphs(draw, name: str):
    b = Builder(name)
    x = b.input(draw(NAMES), (-1, 3))
    float_rows = arrays(dtypes=("float32",), shapes=((3,), (1, 3), ()))
    for key in draw(st.lists(NAMES.map(lambda n: f"k{n}"), max_size=3, unique=True)):
        x = b.binary("add", x, b.constant(key, draw(float_rows)), name=b.fresh("sum"))
    if draw(st.booleans()):
        h = b.state("h", np.ones((1, 3), np.float32), (-1, 3))
        x = b.binary("mul", x, h, name=b.fresh("sum"))
        b.update(h, x)
    return b.graph([b.unary(draw(st.sampled_from(["tanh", "neg"])), x, name=b.fresh("out"))])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    phases=st.lists(NAMES, max_size=2, unique=True),
    meta=st.dictionaries(st.text(max_size=8), JSON, max_size=4),
    extra=st.dictionaries(NAMES, arrays(), max_size=3),
    data=st.data(),
)
def test_round_trip(phases, meta, extra, data):
    graphs = {
        phase: data.draw(drawn_graphs(f"g{i}")) for i, phase in enumerate(phases[:1], start=1)
    }
    bundle = Bundle(graphs, meta, extra)
    content = store.to_bytes(bundle)
    assert content == store.to_bytes(bundle)
    again = store.from_bytes(content, HERE)
    assert same_bundle(bundle, again)
    assert store.to_bytes(again) == content


def test_graphs_share_arrays_of_one_name(trained):
    bundle = modelfile.to_bundle(trained)
    once = sum(p.nbytes for p in trained.network.stored().values())
    assert len(store.to_bytes(bundle)) < 2 * once + 20_000
    again = store.from_bytes(store.to_bytes(bundle), HERE)
    assert same_bundle(bundle, again)


def test_two_graphs_with_other_values_under_one_name_are_refused():
    """Stored once, one of the two would come back wrong."""

    def graph(value):
        b = Builder("g")
        x = b.input("x", (-1, 2))
        return b.graph([b.binary("add", x, b.constant("k", np.array(value, np.float32)))])

    bundle = Bundle({"infer": graph(1), "train": graph(2)}, {})
    with pytest.raises(ValueError, match="'k'"):
        store.to_bytes(bundle)


@pytest.fixture(scope="module")
def small(digits):
    """A real model, small enough to damage a thousand times: its bytes and its bundle."""
    recipe = workflow.embedded_recipe()
    hidden, head = recipe.layers
    layer = msgspec.structs.replace(hidden.layer, units=3)
    hidden = msgspec.structs.replace(hidden, layer=layer)
    model = workflow.new_model(msgspec.structs.replace(recipe, layers=(hidden, head)), digits)
    bundle = modelfile.to_bundle(model)
    return store.to_bytes(bundle), bundle


def refused(content: bytes) -> str:
    """The reason for which `content` is refused; no other exception may come."""
    with pytest.raises(ModelFileError) as caught:
        store.from_bytes(content, HERE)
    message = str(caught.value)
    assert "\n" not in message
    assert "model.safetensors" in message
    return message


def test_every_truncation_is_refused(small):
    content, _ = small
    lengths = [*range(64), *range(64, len(content), 97), len(content) - 1]
    for length in lengths:
        refused(content[:length])


def test_every_flipped_bit_is_noticed(small):
    """Also in the weights, where the file would still be well formed."""
    content, _ = small
    rng = np.random.default_rng(0)
    places = [*range(120), *rng.integers(0, len(content), 600).tolist()]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        refused(bytes(damaged))


def test_appended_and_overwritten_bytes_are_noticed(small):
    content, _ = small
    refused(content + b"\0")
    refused(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    refused(content[:8] + content[9:] + b" ")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        b"\0" * 64,
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 2**64 - 1) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"null",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 20) + b'{"__metadata__": [3]',
        struct.pack("<Q", 22) + b'{"__metadata__": "abc"}'[:22],
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        struct.pack("<Q", 200_005) + b'{"a":' + b"[" * 200_000,
        struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc",
        b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x05hello\x94.",
        b"PK\x03\x04" + b"\0" * 100,
        b"\x93NUMPY\x01\x00" + b"\0" * 100,
        b"GIF89a" * 40,
    ],
)
def test_what_is_no_safetensors_file(content):
    refused(content)


def test_a_safetensors_file_of_another_program():
    tensors = {"w": np.zeros(3, np.float32)}
    assert "another program" in refused(save(tensors))
    assert "another program" in refused(save(tensors, metadata={"format": "pt"}))
    assert "another program" in refused(save(tensors, metadata={"edgelearn": "3"}))
    refused(save(tensors, metadata={"edgelearn": "[" * 100_000}))
    refused(save(tensors, metadata={"edgelearn": "not JSON"}))


def test_a_newer_version_is_refused_by_name(small):
    content, _ = small
    message = refused(marked(content, lambda mark: mark.update(version=2)))
    assert "version 2" in message
    assert "use the edgelearn that wrote it" in message


def marked(content: bytes, change) -> bytes:
    """`content` with its mark changed: version, digest and header, as an attacker would."""
    length = int.from_bytes(content[:8], "little")
    mark = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["edgelearn"])
    change(mark)
    return save(load(content), metadata={"edgelearn": json.dumps(mark)})


def rewritten(content: bytes, change) -> bytes:
    """`content` with its header changed and its digest made to fit again."""

    def both(mark):
        change(mark["header"])
        tensors = load(content)
        digest = hashlib.sha256(json.dumps(mark["header"]).encode())
        for name, value in sorted(tensors.items()):
            digest.update(f"{name} {value.dtype.name} {value.shape}".encode())
            digest.update(value.tobytes())
        mark["sha256"] = digest.hexdigest()

    return marked(content, both)


def test_rewriting_alone_changes_nothing(small):
    """The tests below would pass if `rewritten` always gave a wrong digest."""
    content, bundle = small
    again = store.from_bytes(rewritten(content, lambda header: None), HERE)
    assert same_bundle(again, bundle)


def places(value, path=()):
    """Every place in a JSON document."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def put(document, path, value):
    for key in path[:-1]:
        document = document[key]
    if value is DROP:
        del document[path[-1]]
    else:
        document[path[-1]] = value


DROP = object()
WRONG = [
    DROP, None, True, 0, -1, -2, 3, 1 << 62, 1 << 70, 1.5, 1e308, float("nan"), "", "x", "batch",
    "float64", "MatMul", "dense1.w", [], [3], [-1, -1], ["x"], [[]], {}, {"x": 1}, "a" * 10_000,
]  # fmt: skip


def test_wrong_headers_are_refused_or_still_consistent(small):
    """Every place of the header with values that do not belong there, the digest made to fit."""
    content, _ = small
    length = int.from_bytes(content[:8], "little")
    mark = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["edgelearn"])
    graphs = mark["header"]["graphs"]
    rng = np.random.default_rng(1)
    every = [p for p in places({"graphs": graphs}) if p]
    outcomes = {"refused": 0, "read": 0}
    for place in [every[i] for i in rng.permutation(len(every))[:250]]:
        for wrong in [WRONG[i] for i in rng.permutation(len(WRONG))[:4]]:
            damaged = rewritten(content, lambda header, w=wrong, p=place: put(header, p, w))
            try:
                bundle = store.from_bytes(damaged, HERE)
            except ModelFileError:
                outcomes["refused"] += 1
                continue
            outcomes["read"] += 1
            store.to_bytes(bundle)
    assert outcomes["refused"] > 500
    assert outcomes["read"] > 10


def test_huge_shapes_take_no_memory(small):
    content, _ = small

    def change(header):
        specs = header["graphs"]["infer"]["specs"]
        for spec in specs.values():
            spec["shape"] = [1 << 40] * len(spec["shape"])

    damaged = rewritten(content, change)
    tracemalloc.start()
    began = time.perf_counter()
    refused(damaged)
    took = time.perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * len(content)
    assert took < 5


def test_many_names_take_no_time():
    """Checks are linear in the number of values: a large header is no hang."""
    b = Builder("many")
    x = b.input("x", (-1, 2))
    for i in range(20_000):
        b.constant(f"k{i}", np.zeros((), np.int8))
    content = store.to_bytes(Bundle({"infer": b.graph([x])}, {}))
    began = time.perf_counter()
    store.from_bytes(content, HERE)
    assert time.perf_counter() - began < 5


def test_a_tensor_that_the_header_names_but_the_file_lacks(small):
    content, _ = small
    tensors = load(content)
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    del tensors["graph/dense1.w"]
    assert "digest" in refused(save(tensors, metadata=metadata))


def test_reading_from_disk(tmp_path, small):
    content, bundle = small
    path = tmp_path / "model.safetensors"
    store.write(path, bundle)
    assert path.read_bytes() == content
    assert same_bundle(store.read(path), bundle)
    with pytest.raises(MissingFile, match="no such file"):
        store.read(tmp_path / "other.safetensors")
    with pytest.raises(MissingFile, match="a folder"):
        store.read(tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch, small):
    content, _ = small
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    monkeypatch.setattr(store, "MAX_BYTES", len(content) - 1)
    with pytest.raises(ModelFileError, match="at most"):
        store.read(path)


# What `modelfile.load` asks for beyond a consistent bundle.


def load_changed(bundle: Bundle, **changes) -> modelfile.Model:
    parts = {"graphs": bundle.graphs, "meta": bundle.meta, "extra": bundle.extra} | changes
    content = store.to_bytes(Bundle(**parts))
    return modelfile.from_bundle(store.from_bytes(content, HERE), "model 'm'")


def meta_with(bundle: Bundle, place: str, value: object):
    meta = json.loads(json.dumps(bundle.meta))
    put(meta, place.split("."), value)
    return meta


def test_a_whole_model_loads(small):
    _, bundle = small
    model = load_changed(bundle)
    assert model.network.stored().keys() == {"dense1.w", "dense1.b", "dense2.w", "dense2.b"}


@pytest.mark.parametrize("key", ["recipe", "classes", "card", "position"])
@pytest.mark.parametrize("wrong", [DROP, 3, "abc", [1, 2], {"x": 1}, [[1]]])
def test_damaged_metadata_is_refused(small, key, wrong):
    _, bundle = small
    if key == "card" and wrong == {"x": 1}:
        return
    with pytest.raises(ModelFileError, match="train the model again"):
        load_changed(bundle, meta=meta_with(bundle, key, wrong))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("recipe.layers", []),
        ("recipe.layers", [{"kind": "dense", "units": 10, "activation": "softmax"}]),
        ("recipe.train.epochs", 0),
        ("recipe.train", None),
        ("recipe.dataset", {"wrong": 1}),
        ("recipe.input.normalize", "no such"),
        ("position", {"stage": -1, "epoch": 0, "step": 0}),
        ("position", {"stage": 0, "epoch": 0, "step": 1.5}),
        ("position", {"layer": 0}),
        ("classes", []),
        ("classes", ["0", "1"]),
        ("classes", [str(i) for i in range(11)]),
    ],
)
def test_metadata_that_does_not_fit_is_refused(small, place, value):
    _, bundle = small
    with pytest.raises(ModelFileError):
        load_changed(bundle, meta=meta_with(bundle, place, value))


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("units", [1, 4, 1 << 20])
def test_a_recipe_that_does_not_fit_the_arrays_takes_no_memory(small, layer, units):
    _, bundle = small
    meta = json.loads(json.dumps(bundle.meta))
    meta["recipe"]["layers"][layer]["units"] = units
    tracemalloc.start()
    with pytest.raises(ModelFileError):
        load_changed(bundle, meta=meta)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_model_without_its_training_graph_is_refused(small):
    _, bundle = small
    with pytest.raises(ModelFileError, match="'train'"):
        load_changed(bundle, graphs={"infer": bundle.graphs["infer"]})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_not_finite_are_refused(small, trained, value):
    _, bundle = small
    model = modelfile.from_bundle(bundle, "model")
    model.network.blocks[0].params["w"][1, 2] = value
    damaged = modelfile.to_bundle(model)
    with pytest.raises(ModelFileError, match=r"dense1\.w.*finite"):
        load_changed(damaged)


def test_parameters_that_are_not_finite_are_not_written(tmp_path, small):
    _, bundle = small
    model = modelfile.from_bundle(bundle, "model")
    model.network.blocks[1].params["b"][0] = np.nan
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(Diverged, match=r"dense2\.b"):
        modelfile.save(path, model)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_normaliser_of_another_shape_is_refused(digits):
    """The engine's kernel would read beyond its end."""
    recipe = workflow.embedded_recipe()
    model = workflow.new_model(recipe, digits)
    bundle = modelfile.to_bundle(model)
    graphs = {}
    for phase, graph in bundle.graphs.items():
        specs = dict(graph.specs)
        constants = dict(graph.constants)
        for name in ("input.mean", "input.scale"):
            constants[name] = constants[name].reshape(1, 64)
            specs[name] = TensorSpec((1, 64))
        graphs[phase] = replace(graph, specs=specs, constants=constants)
    with pytest.raises(ModelFileError, match=r"input\.mean"):
        load_changed(bundle, graphs=graphs)


def test_what_is_loaded_computes_the_same(small, digits):
    _, bundle = small
    again = load_changed(bundle)
    feeds = {"x": digits.x_test[:4].astype(np.float32)}
    before = run(bundle.graphs["infer"], feeds).outputs["probabilities"]
    after = run(modelfile.to_bundle(again).graphs["infer"], feeds).outputs["probabilities"]
    assert np.array_equal(before, after)
