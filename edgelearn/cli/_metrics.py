"""The value of each metric that a budget can name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgelearn.cli._subject import Subject
from edgelearn.errors import ConfigError, ModelFileError
from edgelearn.ir import plan_arena
from firmware_sim.budgets import METRICS, Value, at_least, exactly
from firmware_sim.memory import account
from firmware_sim.report import SimReport, simulate

if TYPE_CHECKING:
    from firmware_sim.budget_file import CheckPlan
    from firmware_sim.devices import DeviceProfile


def measure(subject: Subject, metric: str, profile: DeviceProfile | None, plan: CheckPlan) -> Value:
    """What `metric` is for `subject`, on the device of `profile` if it depends on one.

    Of a latency the interval of the prediction counts if the budget file names the runtime and
    it was measured on such cores; else only the lower bound is known.

    Raises
    ------
    ConfigError
        If that kind of file cannot have the metric.
    ModelFileError
        If the model was not trained to the end.
    """
    special = _SPECIAL.get(metric)
    if special:
        return special(subject)
    phase, key = metric.split(".")
    if phase not in subject.graphs:
        raise _not_in(subject, metric, f"the phase {phase}")
    graph, batch = subject.graphs[phase], subject.batch_of(phase)
    if profile is None:
        bound = graph.bind(batch)
        return exactly(getattr(account(bound, plan_arena(bound), "linux"), f"{key}_bytes"))
    if METRICS[metric].dimension == "seconds":
        report = simulated(subject, phase, profile, plan)
        return _latency(report) if plan.runtime else at_least(report.bound_s)
    return exactly(getattr(simulate(graph, profile, batch=batch), f"{key}_bytes"))


def simulated(subject: Subject, phase: str, profile: DeviceProfile, plan: CheckPlan) -> SimReport:
    """One phase on one device, run as `plan` says."""
    return simulate(
        subject.graph(phase),
        profile,
        phase=phase,
        threads=plan.threads,
        batch=subject.batch_of(phase),
        runtime=plan.runtime,
        precision=plan.precision,
    )


def _latency(report: SimReport) -> Value:
    high = report.latency_high_s
    if high is not None and report.basis in ("calibrated", "transferred"):
        return Value(report.latency_s, "estimated", report.latency_low_s, high)
    return at_least(report.bound_s)


def _working_set(subject: Subject) -> Value:
    if subject.working_set_bytes is None:
        raise _not_in(subject, "train.working_set", "training by edgelearn's own engine")
    return exactly(subject.working_set_bytes)


def _peak_rss(subject: Subject) -> Value:
    return exactly(_card(subject, "train.peak_rss", "peak_rss_bytes"), "measured")


def _accuracy(subject: Subject) -> Value:
    return exactly(_card(subject, "accuracy.min", "accuracy"), "measured")


def _r2(subject: Subject) -> Value:
    return exactly(_card(subject, "r2.min", "r2"), "measured")


def _card(subject: Subject, metric: str, key: str) -> float:
    if subject.bundle is None:
        raise _not_in(subject, metric, "the record of a training run")
    card = subject.bundle.meta["card"]
    value = card.get(key)
    if isinstance(value, int | float):
        return value
    if card:
        raise _not_in(subject, metric, f"{key!r} in the record of its training")
    raise ModelFileError(
        f"model {str(subject.path)!r}, {metric}",
        expected="a model that was trained to the end",
        got="one without that record",
        fix="finish it with 'edgelearn train --resume'",
    )


def _onnx_size(subject: Subject) -> Value:
    """Exact for a file or a trained model; a recipe's export still lacks the model card."""
    if subject.path.suffix.lower() == ".onnx":
        return exactly(subject.path.stat().st_size)
    from edgelearn.export.exporter import metadata
    from edgelearn.export.onnx_writer import to_bytes

    graph = subject.graph("infer")
    if subject.bundle is None:
        return exactly(len(to_bytes(graph)), "estimated")
    return exactly(len(to_bytes(graph, metadata=metadata(subject.bundle, "infer"))))


_SPECIAL: dict[str, Callable[[Subject], Value]] = {
    "train.working_set": _working_set,
    "train.peak_rss": _peak_rss,
    "accuracy.min": _accuracy,
    "r2.min": _r2,
    "export.onnx.size": _onnx_size,
}


def _not_in(subject: Subject, metric: str, what: str) -> ConfigError:
    return ConfigError(
        f"budget {metric}",
        expected=f"a model that has {what}",
        got=f"{str(subject.path)!r}, which has none",
        fix='remove the budget, or write file = "model.safetensors" for a trained model',
    )
