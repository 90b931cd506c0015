"""The gate of every export: the file must compute what the Graph computes, or it is not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from edgelearn.arrays import Array
from edgelearn.errors import ParityError
from edgelearn.ir.graph import Graph
from edgelearn.ir.interp import run
from edgelearn.ir.ops import Dequantize, Gather, OneHot, Quantize

TOLERANCES: dict[tuple[str, str], float] = {
    # float32 has 24 bits: 6e-8 a rounding. Runtimes sum in other orders and approximate exp and
    # tanh, which over some layers, or over a step of training, stays below 100 roundings.
    ("onnx", "float32"): 1e-5,
    ("tflite", "float32"): 1e-5,
    ("c", "float32"): 1e-5,
    # onnxruntime and C make the numbers that int8 weights mean. TFLite kernels round what meets
    # them too, to 8 bits: 9e-3 at most of a product alone (LiteRT 2.3), 5.4e-2 at most of the
    # probabilities of a trained 64-128-10 (8 seeds), whose logits are large and lie close by.
    ("onnx", "int8 weights"): 1e-5,
    ("tflite", "int8 weights"): 1e-1,
    ("c", "int8 weights"): 1e-5,
    # Where the interpreter multiplies numbers that integers mean, runtimes multiply integers. A
    # sum that falls between two of them may go either way: 256 steps are 4e-3 each. TFLite also
    # rounds the scales of its products: 1.5e-2 at most of the same 8 networks.
    ("onnx", "int8"): 1.5e-2,
    ("tflite", "int8"): 3e-2,
    ("c", "int8"): 1.5e-2,
}
"""Largest error by format and precision: absolute, or relative to the largest value if over 1."""

TRAIN_STEPS = 20
GOLDEN_LR = 0.05
FALLBACK_SAMPLES = 8

Precision: TypeAlias = Literal["float32", "int8 weights", "int8"]
Feeds: TypeAlias = dict[str, Array]
Runner: TypeAlias = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True, slots=True)
class Parity:
    """How far a runtime is from the interpreter, and where."""

    max_abs_error: float
    value: str

    def require(self, where: str, runtime: str, tolerance: float) -> None:
        """Raise `ParityError` if the error is over `tolerance` or is no number."""
        if self.max_abs_error <= tolerance:
            return
        raise ParityError(
            where,
            expected=f"what the Graph computes, within {tolerance:g}",
            got=f"{self.max_abs_error:.3g} in {self.value!r} on {runtime}; the file was not kept",
            fix="export to another format, and report the model to us",
        )


def precision_of(graph: Graph) -> Precision:
    """The second key of `TOLERANCES`: what of `graph` is of integers."""
    kinds = {type(node.op) for node in graph.nodes}
    return "int8" if Quantize in kinds else "int8 weights" if Dequantize in kinds else "float32"


def compare(
    graph: Graph,
    output_names: Mapping[str, str],
    state_names: Mapping[str, str],
    runner: Runner,
    steps: Iterator[Feeds],
) -> Parity:
    """Run `graph` and the exported file side by side, over the states that the file comes to.

    Each step is compared from the same states: the file is fed its own, and so is the
    interpreter. Roundings of earlier steps, which learning may make larger, are no error then.

    Parameters
    ----------
    graph : Graph
    output_names, state_names : mapping of str to str
        What the file calls each output, and the next value of each state.
    runner : callable
        One run of the file: inputs and states in, outputs by name out.
    steps : iterator of dict
        What to feed at each step.

    Returns
    -------
    Parity
        The largest error over all steps and values; infinite if a value is not finite in one
        of the two only, or has another shape or dtype.
    """
    worst = Parity(0.0, "")
    theirs: dict[str, Array] = {}
    for feeds in steps:
        want = run(graph, feeds, theirs)
        got = runner({**feeds, **theirs})
        theirs = {state: got[output] for state, output in state_names.items()}
        pairs = {name: (value, got[output_names[name]]) for name, value in want.outputs.items()}
        pairs.update({state: (want.states[state], theirs[state]) for state in state_names})
        for name, (a, b) in pairs.items():
            error = error_between(a, b)
            if error > worst.max_abs_error:
                worst = Parity(error, name)
    return worst


def error_between(want: Array, got: Array) -> float:
    """The largest absolute difference, divided by the largest value if that is over 1.

    >>> error_between(np.array([1.0, 200.0]), np.array([1.0, 201.0]))
    0.005
    """
    if want.shape != got.shape or want.dtype != got.dtype:
        return float("inf")
    if want.size == 0 or np.array_equal(want, got, equal_nan=want.dtype.kind == "f"):
        return 0.0
    if not (np.isfinite(want) & np.isfinite(got)).all():
        return float("inf")
    wide = want.astype(np.float64)
    return float(np.abs(wide - got).max() / max(1.0, np.abs(wide).max()))


def golden_steps(
    graph: Graph, extra: Mapping[str, Array], batch: int | None = None
) -> Iterator[Feeds]:
    """What the gate feeds: real samples if the model file holds some, else seeded random ones.

    Without states: all samples at once, then the first alone. With states: `TRAIN_STEPS` steps
    by turns of all samples and of one. With states of each sample: all, one time step after the
    other. Where a file fixes the `batch`, every step takes the next so many samples, and begins
    again with the first when there are no more.
    """
    samples = golden_feeds(graph, extra)
    lengths = [samples[n].shape[0] for n in graph.inputs if graph.specs[n].has_batch]
    count = lengths[0] if lengths else 1
    if any(graph.specs[state.input].has_batch for state in graph.states):
        rows = np.arange(count if batch is None else batch) % count
        yield from _time_steps(graph, _take(graph, samples, rows))
        return
    for step in range(TRAIN_STEPS if graph.states else 2):
        if batch is None:
            first = step % count if graph.states else 0
            rows = np.arange(count) if step % 2 == 0 else np.array([first])
        else:
            rows = np.arange(step * batch, (step + 1) * batch) % count
        yield _take(graph, samples, rows)


def _time_steps(graph: Graph, samples: Feeds) -> Iterator[Feeds]:
    """Whole sequences where the Graph takes one time step; other inputs come again and again."""
    timed = {n: v for n, v in samples.items() if v.ndim > len(graph.specs[n].shape)}
    count = min((v.shape[1] for v in timed.values()), default=TRAIN_STEPS)
    for t in range(count):
        yield {**samples, **{n: np.ascontiguousarray(v[:, t]) for n, v in timed.items()}}


def _take(graph: Graph, samples: Feeds, rows: Array) -> Feeds:
    return {n: v[rows] if graph.specs[n].has_batch else v for n, v in samples.items()}


def golden_feeds(graph: Graph, extra: Mapping[str, Array]) -> Feeds:
    """One array for every input of `graph`: ``golden/NAME`` of `extra`, or random numbers.

    Random numbers may lie far from what the model was trained on, where its own rounding errors
    are large: a model file should hold real samples.
    """
    found = {n: extra[f"golden/{n}"] for n in graph.inputs if f"golden/{n}" in extra}
    lengths = [len(v) for n, v in found.items() if graph.specs[n].has_batch and v.ndim]
    batch = lengths[0] if lengths and lengths[0] else FALLBACK_SAMPLES
    rng = np.random.default_rng(0)
    return {
        name: found[name]
        if name in found and found[name].size
        else _made_up(graph, name, batch, rng)
        for name in graph.inputs
    }


def _made_up(graph: Graph, name: str, batch: int, rng: np.random.Generator) -> Array:
    spec = graph.specs[name].bind(batch)
    if spec.dtype == "float32":
        if not spec.shape:
            return np.array(GOLDEN_LR, np.float32)
        return rng.standard_normal(spec.shape, dtype=np.float32)
    high = min((_range(graph, n.op, n.inputs) for n in graph.nodes if name in n.inputs), default=2)
    values: Any = rng.integers(0, high, spec.shape)
    return np.asarray(values, spec.dtype)


def _range(graph: Graph, op: object, inputs: tuple[str, ...]) -> int:
    """How many values an integer input may take, by the op that reads it."""
    if isinstance(op, OneHot):
        return op.depth
    if isinstance(op, Gather):
        return graph.specs[inputs[0]].shape[0]
    return 2
