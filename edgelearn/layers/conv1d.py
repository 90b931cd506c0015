"""Convolution of sequences: ``a = act(conv(x, w) + b)``."""

from __future__ import annotations

from typing import ClassVar, Literal

from edgelearn.layers._convolution import Convolution
from edgelearn.layers._images import SEQUENCES, Form, Padding


class Conv1d(Convolution, frozen=True):
    """A convolution of sequences (steps, channels) along time: (steps', filters).

    `w` has shape (kernel, 1, channels / groups, filters): a sequence is an image one column wide.
    Its readout sees the means of up to 8 stretches of time. A mask in the last channel is a channel
    like any other here.

    Parameters
    ----------
    padding : {"same", "valid", "causal"}
        same: ``ceil(steps / stride)`` steps come out; causal: as many, and none sees a later one;
        valid: nothing beyond the sequence is seen.
    """

    kind: ClassVar[str] = "conv1d"
    form: ClassVar[Form] = SEQUENCES
    padding: Literal["same", "valid", "causal"] = "same"

    def padding_kind(self) -> Padding:
        return self.padding


LAYER = Conv1d
EXAMPLES = (
    (Conv1d(filters=4), (9, 3)),
    (Conv1d(filters=5, kernel=4, stride=3, padding="valid", activation="tanh"), (20, 2)),
    (Conv1d(filters=3, dilation=4, padding="causal", activation="leaky_relu"), (13, 2)),
    (Conv1d(filters=4, groups=2, stride=2, activation="linear"), (11, 4)),
    (Conv1d(filters=6, kernel=5, groups=3, padding="causal"), (10, 3)),
)
