"""Small ONNX models as other programs write them, each one form of an op."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx  # noqa: TID251  these files are made without our writer

INT_MAX = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Foreign:
    """Nodes that lead from input ``x`` to output ``out``."""

    name: str
    shape: tuple[int | str, ...]
    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[str, Any] = field(default_factory=dict)
    opset: int = 13

    def model(self) -> onnx.ModelProto:
        floats = onnx.TensorProto.FLOAT
        graph = onnx.helper.make_graph(
            self.nodes,
            "foreign",
            [onnx.helper.make_tensor_value_info("x", floats, self.shape)],
            [onnx.helper.make_tensor_value_info("out", floats, None)],
            [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in self.constants.items()],
        )
        imports = [onnx.helper.make_opsetid("", self.opset)]
        model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=7)
        if not any(made.domain for made in self.nodes):
            model = onnx.shape_inference.infer_shapes(model)
        model.graph.output[0].type.tensor_type.shape.SetInParent()
        return model

    def x(self, batch: int) -> np.ndarray:
        shape = [batch if isinstance(d, str) else d for d in self.shape]
        return np.random.default_rng(5).normal(size=shape).astype(np.float32)

    def __str__(self) -> str:
        return self.name


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(6).normal(size=shape).astype(np.float32)


def node(op: str, *inputs: str, out: str = "out", **attributes: Any) -> onnx.NodeProto:
    return onnx.helper.make_node(op, [*inputs], [out], **attributes)


def one(op: str, shape: Any, opset: int = 13, /, *, suffix: str = "", **rest: Any) -> Foreign:
    """A model of one node, whose constants follow ``x`` as inputs."""
    constants = rest.pop("constants", {})
    made = node(op, "x", *constants, **rest)
    return Foreign(f"{op}{suffix}-{opset}", shape, (made,), constants, opset)


IMAGE = ("n", 4, 7, 6)
MATRIX = ("n", 6)

NORMALIZE = {
    "scale": weights(4),
    "offset": weights(4),
    "mean": weights(4),
    "variance": np.abs(weights(4)) + np.float32(0.1),
}

FLATTEN_BY_SHAPE = (
    node("Shape", "x", out="shape"),
    node("Slice", "shape", "zero", "first", out="batch"),
    node("Concat", "batch", "rest", out="target", axis=0),
    node("Reshape", "x", "target"),
)

FOREIGN = [
    one("Gemm", MATRIX, constants={"b": weights(6, 3), "c": weights(3)}),
    one("Gemm", MATRIX, 11, suffix="-flipped", constants={"b": weights(3, 6)}, transB=1),
    one(
        "Gemm",
        MATRIX,
        suffix="-scaled",
        alpha=0.5,
        beta=2.0,
        constants={"b": weights(6, 3), "c": weights(1, 3)},
    ),
    one("Gemm", MATRIX, suffix="-half", alpha=0.5, constants={"b": weights(6, 3)}),
    one(
        "Gemm",
        (5, 6),
        suffix="-update",
        transA=1,
        constants={"b": weights(5, 3), "c": weights(6, 3)},
    ),
    one("Conv", IMAGE, constants={"w": weights(5, 4, 3, 3), "b": weights(5)}, pads=[1, 0, 2, 1]),
    one(
        "Conv",
        IMAGE,
        11,
        suffix="-groups",
        group=2,
        strides=[2, 1],
        constants={"w": weights(6, 2, 3, 3)},
    ),
    *(
        one(
            "Conv",
            IMAGE,
            9,
            suffix=f"-{auto}",
            auto_pad=auto,
            strides=[2, 1],
            constants={"w": weights(5, 4, 3, 2)},
        )
        for auto in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    one("MaxPool", IMAGE, 10, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1]),
    one("MaxPool", IMAGE, suffix="-ceil", kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1),
    one("AveragePool", IMAGE, 9, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 1, 1, 0]),
    one("AveragePool", IMAGE, suffix="-all", kernel_shape=[3, 2], count_include_pad=1),
    one("GlobalAveragePool", IMAGE),
    one("GlobalMaxPool", IMAGE, 9),
    one("BatchNormalization", IMAGE, 9, constants=NORMALIZE),
    one("BatchNormalization", ("n", 4), 15, suffix="-flat", constants=NORMALIZE, epsilon=0.1),
    one("LRN", IMAGE, size=3, alpha=0.5, beta=0.6, bias=1.5),
    one("Clip", IMAGE, 9, min=-0.5, max=0.5),
    one("Clip", IMAGE, constants={"low": np.float32(-0.5), "high": np.float32(0.5)}),
    one("Clip", MATRIX, suffix="-below", constants={"low": np.float32(-0.5)}),
    one("HardSigmoid", IMAGE, alpha=0.3, beta=0.4),
    one("Dropout", MATRIX, 9, ratio=0.5),
    one("Flatten", IMAGE),
    one("Flatten", (2, 4, 7, 6), suffix="-rows", axis=3),
    one("Softmax", IMAGE, 9, suffix="-flattening"),
    one("Softmax", IMAGE, suffix="-channels", axis=1),
    one("Softmax", ("n", 3, 4), 11, suffix="-last", axis=2),
    one("ReduceSum", IMAGE, 11, axes=[1], keepdims=0),
    one("ReduceSum", IMAGE, constants={"axes": np.array([-1, 1])}, keepdims=0),
    one("ReduceMean", IMAGE, 18, constants={"axes": np.array([2, 3])}),
    one("ReduceMax", IMAGE, suffix="-every"),
    one("Sum", MATRIX, suffix="-of-3", constants={"a": weights(6), "b": weights(1, 1)}),
    one("Max", MATRIX, suffix="-of-one"),
    one("Add", IMAGE, suffix="-row", constants={"row": weights(6)}),
    one("Mul", IMAGE, suffix="-channel", constants={"channel": weights(4, 1, 1)}),
    one("Reshape", IMAGE, constants={"shape": np.array([0, -1])}),
    one("Reshape", IMAGE, suffix="-split", constants={"shape": np.array([0, 2, 2, 7, -1])}),
    one("Squeeze", ("n", 1, 6, 1), 11, axes=[1, -1]),
    one("Squeeze", ("n", 1, 6, 1), constants={"axes": np.array([3])}),
    one("Squeeze", (2, 1, 6, 1), suffix="-every"),
    one("Unsqueeze", MATRIX, 11, axes=[0, 3]),
    one("Unsqueeze", MATRIX, constants={"axes": np.array([-1])}),
    one("Transpose", IMAGE),
    one("Transpose", IMAGE, suffix="-perm", perm=[0, 2, 3, 1]),
    one("Slice", IMAGE, 9, starts=[1, -3], ends=[INT_MAX, -1], axes=[1, 2]),
    one(
        "Slice",
        IMAGE,
        constants={"s": np.array([0, 2]), "e": np.array([INT_MAX, 4])},
        suffix="-leading",
    ),
    one("Concat", MATRIX, axis=-1, constants={}),
    Foreign(
        "flatten-by-shape",
        IMAGE,
        FLATTEN_BY_SHAPE,
        {"zero": np.array([0]), "first": np.array([1]), "rest": np.array([-1])},
    ),
    Foreign(
        "channels-first-all-the-way",
        IMAGE,
        (
            node("Conv", "x", "w", out="a", pads=[1, 1, 1, 1]),
            node("Add", "a", "x", out="b"),
            node("Relu", "b", out="c"),
            node("Concat", "c", "x", out="d", axis=1),
            node("Mul", "d", "gate", out="e"),
            node("Transpose", "e", out="f", perm=[0, 2, 3, 1]),
            node("Softmax", "f", out="g", axis=3),
            node("Flatten", "g"),
        ),
        {"w": weights(4, 4, 3, 3), "gate": weights(8, 1, 1)},
    ),
    Foreign(
        "reduce-an-axis-of-an-image",
        IMAGE,
        (
            node("Conv", "x", "w", out="a"),
            node("ReduceMax", "a", axes=[2], keepdims=0),
        ),
        {"w": weights(5, 4, 3, 3)},
    ),
    Foreign(
        "constants",
        MATRIX,
        (
            node("Constant", out="half", value_float=0.5),
            node("Constant", out="ends", value_floats=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            node("Mul", "x", "half", out="a"),
            node("Add", "a", "ends", out="b"),
            node("Constant", out="shape", value_ints=[0, 3, 2]),
            node("Reshape", "b", "shape"),
        ),
    ),
    Foreign(
        "folded-weights",
        MATRIX,
        (
            node(
                "ConstantOfShape",
                "shape",
                out="filled",
                value=onnx.numpy_helper.from_array(np.array([0.25], np.float32)),
            ),
            node("Unsqueeze", "filled", out="column", axes=[1]),
            node("Mul", "column", "row", out="w"),
            node("Transpose", "w", out="flipped"),
            node("MatMul", "x", "flipped"),
        ),
        {"shape": np.array([3]), "row": weights(6)},
        11,
    ),
]
# Scales are powers of two: no sum is rounded, so that runtimes agree to the bit.
INTEGERS = {
    "zero": np.int8(0),
    "low": np.int8(-128),
    "byte": np.uint8(128),
    "s": np.float32(1 / 32),
    "t": np.float32(1 / 4),
}
EACH = {"each": np.float32([1, 2, 4, 8, 16]) / 64, "zeros": np.zeros(5, np.int8)}


def whole(dtype: str, *shape: int) -> np.ndarray:
    low, high = (120, 136) if dtype == "uint8" else (-8, 8)
    return np.random.default_rng(8).integers(low, high, shape).astype(dtype)


def quantised(name: str, shape: Any, zero: str, after: str, *middle: Any, **more: Any) -> Foreign:
    """Nodes `middle` from the integers ``q`` to the integers ``r``."""
    first = node("QuantizeLinear", "x", "s", zero, out="q")
    return Foreign(
        name, shape, (first, *middle, node("DequantizeLinear", "r", "t", after)), INTEGERS | more
    )


FOREIGN += [
    Foreign(
        "quantised-without-zero-point",
        MATRIX,
        (node("QuantizeLinear", "x", "s", out="q"), node("DequantizeLinear", "q", "s")),
        INTEGERS,
    ),
    quantised(
        "QLinearMatMul",
        MATRIX,
        "byte",
        "byte",
        node("QLinearMatMul", "q", "s", "byte", "w", "s", "byte", "t", "byte", out="r"),
        w=whole("uint8", 6, 3),
    ),
    quantised(
        "QLinearConv",
        IMAGE,
        "zero",
        "low",
        node("QLinearConv", "q", "s", "zero", "w", "each", "zeros", "t", "low", "b", out="r"),
        w=whole("int8", 5, 4, 3, 3),
        b=whole("int32", 5),
        **EACH,
    ),
    quantised(
        "QLinearConv-groups",
        IMAGE,
        "zero",
        "zero",
        node(
            "QLinearConv",
            *("q", "s", "zero", "w", "s", "zero", "t", "zero"),
            out="r",
            group=2,
            strides=[2, 1],
            auto_pad="SAME_UPPER",
        ),
        w=whole("int8", 6, 2, 3, 3),
    ),
    Foreign(
        "quantised-between-numbers",
        IMAGE,
        (
            node("QuantizeLinear", "x", "s", "low", out="q"),
            node("DequantizeLinear", "q", "s", "low", out="a"),
            node("DequantizeLinear", "w", "each", "zeros", out="filters", axis=0),
            node("DequantizeLinear", "b", "each", out="bias", axis=0),
            node("Conv", "a", "filters", "bias", out="z"),
            node("Relu", "z"),
        ),
        INTEGERS | EACH | {"w": whole("int8", 5, 4, 3, 3), "b": whole("int32", 5)},
    ),
]
"""``Concat`` of one input, ``Max`` of one input and the like are legal ONNX."""
