"""Convolution of images: ``a = act(conv(x, w) + b)``."""

from __future__ import annotations

from typing import ClassVar, Literal

from edgelearn.layers._convolution import Convolution
from edgelearn.layers._images import IMAGES, Form, Padding


class Conv2d(Convolution, frozen=True):
    """A convolution of images (height, width, channels), or of each image of a sequence.

    Its readout sees the means of up to 4 x 4 cells, over all images of a sequence.

    Parameters
    ----------
    padding : {"same", "valid"}
        same: ``ceil(size / stride)`` rows and columns come out, and filters may be larger than
        the image, as in Keras and PyTorch, if every weight meets a pixel somewhere; valid: nothing
        beyond the image is seen.
    """

    kind: ClassVar[str] = "conv2d"
    form: ClassVar[Form] = IMAGES
    padding: Literal["same", "valid"] = "same"

    def padding_kind(self) -> Padding:
        return self.padding


LAYER = Conv2d
EXAMPLES = (
    (Conv2d(filters=4), (6, 5, 3)),
    (Conv2d(filters=6, kernel=5, stride=2, activation="leaky_relu"), (9, 8, 2)),
    (Conv2d(filters=3, kernel=2, padding="valid", activation="tanh"), (7, 7)),
    (Conv2d(filters=5, kernel=1, activation="linear"), (4, 4, 6)),
    (Conv2d(filters=5, kernel=1, stride=2, groups=5, activation="tanh"), (5, 4, 5)),
    (Conv2d(filters=6, groups=2, stride=2), (7, 6, 4)),
    (Conv2d(filters=4, groups=4, dilation=2, activation="tanh"), (7, 6, 4)),
    (Conv2d(filters=6, groups=3, padding="valid"), (9, 8, 3)),
    (Conv2d(filters=4), (3, 6, 5, 2)),
    (Conv2d(filters=4, groups=2, stride=2, activation="linear"), (4, 5, 6, 2)),
)
