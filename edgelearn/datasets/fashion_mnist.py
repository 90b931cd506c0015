"""Fashion-MNIST: 70,000 images of clothes, MIT licence (Xiao, Rasul & Vollgraf 2017)."""

from __future__ import annotations

from dataclasses import replace

from edgelearn.datasets import _mirror
from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source

URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def describe(source: Source) -> DataSpec:
    """28x28 pixels, ten kinds of clothes."""
    return DataSpec((28, 28), CLASSES)


def load(source: Source, progress: Progress) -> Dataset:
    """Images of shape (28, 28), uint8 from 0 to 255."""
    dataset = _mirror.load_idx("fashion_mnist", URL, SHA256, progress)
    return replace(dataset, classes=CLASSES)
