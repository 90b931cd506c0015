"""TFLite as a target: the writer, judged by every runtime and delegate that is installed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from edgelearn.export.target import Draft, Lane, Options, Target
from edgelearn.export.tflite_writer import INITIAL, MAIN, names_of, to_bytes
from edgelearn.export.verify import Runner
from edgelearn.ir.graph import Graph
from edgelearn.runtimes import tflite


def _draft(graph: Graph, metadata: Mapping[str, str], options: Options) -> Draft:
    batch = 1 if options.batch is None else options.batch
    content = to_bytes(graph, batch=batch, metadata=metadata)
    return Draft(content, *names_of(graph), batch=batch)


def _lanes(draft: Draft) -> Iterator[Lane]:
    for runtime, delegate in itertools.product(tflite.runtimes(), tflite.DELEGATES):
        session = tflite.TfliteSession(draft.content, runtime, delegate)
        yield Lane(f"{runtime}/{delegate}", session.version, _runner(session, draft))


def _runner(session: tflite.TfliteSession, draft: Draft) -> Runner:
    first = session.run(INITIAL, {}) if draft.states else {}
    return lambda feeds: session.run(MAIN, {**first, **feeds})


TARGET = Target("tflite", frozenset({"batch", "dense"}), _draft, _lanes)
