"""Recurrent cells over a chunk of steps: products, cells, and what a readout sees."""

from __future__ import annotations

from typing import Final, NamedTuple

from edgelearn.kernels import cells, sparse
from edgelearn.kernels._jit import F32, U16, U32, kernel
from edgelearn.kernels.functions import tanh
from edgelearn.kernels.products import product

ELMAN: Final = 0
ELMAN_RELU: Final = 1
LEAKY: Final = 2
GRU: Final = 3
LSTM: Final = 4

LAST: Final = 0
MEAN: Final = 1
LAST_MEAN: Final = 2


class Weights(NamedTuple):
    """What a cell computes with: recurrent weights `u` (fed, gates * units) and bias `b`.

    `starts`, `places` and `block` say where weights are of which `u` (1, weights) holds what is
    left: see `edgelearn.kernels.sparse`. Without starts it holds all.

    `o` (units, fed): what is fed back is ``tanh(h @ o)``; of no rows: it is h. `rates` (units,):
    how fast units leak, of leaky cells.
    """

    u: F32
    starts: U32
    places: U16
    block: int
    b: F32
    o: F32
    rates: F32


class Chunk(NamedTuple):
    """Steps of all samples: arrays (steps, batch, ...), and `z` (batch, gates * units) for work.

    `x` are inputs; `a` their products with weights, then slopes; `fed` what was fed back; `seen`
    what a readout sees after each step; `gain` what `edgelearn.kernels.cells` says, 0 where the
    mask is; `mask` and `counts` (steps, batch) which steps count and how many did so far, at
    least 1.
    """

    x: F32
    a: F32
    fed: F32
    gain: F32
    seen: F32
    mask: F32
    counts: F32
    z: F32


class Carried(NamedTuple):
    """What goes on from step to step: `states` (memories, batch, units), the state h first.

    `total` (batch, units) is the sum of states that counted, `sofar` (batch,) how many those are.
    """

    states: F32
    total: F32
    sofar: F32


@kernel
def _feed(h: F32, o: F32, fed: F32) -> None:
    """Onto `fed`: what recurrent weights see of states `h`."""
    if o.shape[0] > 0:
        product(h, o, fed)
    for n in range(fed.shape[0]):
        for j in range(fed.shape[1]):  # to copy a whole array takes seconds to compile
            fed[n, j] = tanh(fed[n, j]) if o.shape[0] > 0 else h[n, j]


@kernel
def _recur(w: Weights, fed: F32, z: F32) -> None:
    """Onto `z`: what is fed back times the recurrent weights."""
    if w.starts.size == 0:
        product(fed, w.u, z)
    elif w.block == 1:
        sparse.product(w.starts, w.places, w.u[0], fed, z)
    else:
        sparse.block_product(w.starts, w.places, w.u[0], fed, z)


@kernel
def _move(cell: int, w: Weights, u: F32, h: F32, second: F32, a: F32, gain: F32) -> None:
    """One step of one sample: its state `h`, and the cell of an LSTM."""
    if cell == GRU:
        cells.gru(u, w.b, h, a, gain)
    elif cell == LSTM:
        cells.lstm(u, w.b, h, second, a)
    elif cell == LEAKY:
        cells.leaky(u, w.b, w.rates, h, a, gain)
    else:
        cells.elman(u, w.b, cell == ELMAN_RELU, h, a)


@kernel
def _see(sees: int, h: F32, total: F32, count: float, seen: F32) -> None:
    """Onto `seen`: the state, the mean of states, or both."""
    units = h.size
    share = h.dtype.type(1) / h.dtype.type(count)
    if sees != MEAN:
        for j in range(units):
            seen[j] = h[j]
    if sees != LAST:
        mean = seen[seen.size - units :]
        for j in range(units):
            mean[j] = share * total[j]


@kernel
def steps(cell: int, sees: int, w: Weights, chunk: Chunk, carried: Carried) -> None:
    """All steps of a chunk, for every sample. Where the mask is 0 a state stays as it is."""
    zero, one = chunk.a.dtype.type(0), chunk.a.dtype.type(1)
    states, total = carried.states, carried.total
    second = states[states.shape[0] - 1]
    for t in range(chunk.a.shape[0]):
        _feed(states[0], w.o, chunk.fed[t])
        _recur(w, chunk.fed[t], chunk.z)
        for n in range(chunk.a.shape[1]):
            h = states[0, n]
            if chunk.mask[t, n] != zero:
                a, gain = chunk.a[t, n], chunk.gain[t, n]
                _move(cell, w, chunk.z[n], h, second[n], a, gain)
                for j in range(h.size):
                    total[n, j] += h[j]
                carried.sofar[n] += one
            else:
                chunk.gain[t, n] = zero
            chunk.counts[t, n] = max(carried.sofar[n], one)
            _see(sees, h, total[n], chunk.counts[t, n], chunk.seen[t, n])


@kernel
def weigh(counts: F32, mask: F32, lengths: F32, every: bool, weights: F32) -> None:
    """Onto `weights` (steps * batch,): what the loss at each step of sequences weighs.

    ``(t / T)^2``, scaled to sum 1; unless of `every` step, 1 at the last. 0 where the mask is.
    """
    one, two, six = counts.dtype.type(1), counts.dtype.type(2), counts.dtype.type(6)
    samples = lengths.size
    for t in range(counts.shape[0]):
        for n in range(samples):
            length = lengths[n]
            place = counts[t, n] / length
            share = one if place == one else counts.dtype.type(0)
            if every:
                share = place * place * (six * length / ((length + one) * (two * length + one)))
            weights[t * samples + n] = share * mask[t, n]


@kernel
def scale_rows(weights: F32, e: F32) -> None:
    """Onto `e` (rows, features): each row times its weight. NumPy would make a copy on the way."""
    for n in range(e.shape[0]):
        for j in range(e.shape[1]):
            e[n, j] *= weights[n]


@kernel
def scale_last(gain: F32, d: F32) -> None:
    """Onto the last columns of `d`: times `gain` (rows, units)."""
    first = d.shape[1] - gain.shape[1]
    for n in range(gain.shape[0]):
        for j in range(gain.shape[1]):
            d[n, first + j] *= gain[n, j]


@kernel
def credit(sees: int, e: F32, counts: F32, d: F32) -> None:
    """Onto slopes `d` (rows, gates * units): times the error of each row's state.

    `e` (rows, features) is the error of what is seen, and is used up; a state is one part in
    `counts` (rows,) of the mean.
    """
    units = e.shape[1] // 2 if sees == LAST_MEAN else e.shape[1]
    for n in range(d.shape[0]):
        share = e.dtype.type(1) / counts[n]
        own, mean = e[n, :units], e[n, e.shape[1] - units :]
        if sees == MEAN:
            for j in range(units):
                own[j] *= share
        elif sees == LAST_MEAN:
            for j in range(units):
                own[j] += share * mean[j]
        for first in range(0, d.shape[1], units):
            gate = d[n, first : first + units]
            for j in range(units):
                gate[j] *= own[j]
