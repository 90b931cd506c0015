"""MNIST: 60,000 training and 10,000 test images of handwritten digits (LeCun et al. 1998)."""

from __future__ import annotations

from edgelearn.datasets import _mirror
from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source

URL = "https://ossci-datasets.s3.amazonaws.com/mnist"
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def describe(source: Source) -> DataSpec:
    """28x28 pixels, ten digits."""
    return DataSpec((28, 28), tuple("0123456789"))


def load(source: Source, progress: Progress) -> Dataset:
    """Images of shape (28, 28), uint8 from 0 to 255."""
    return _mirror.load_idx("mnist", URL, SHA256, progress)
