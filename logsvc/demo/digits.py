"""Digits that nobody drew: 8 x 8 images made from a small font, shifted and with noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLASSES = 10
PIXELS = 64  # of an image, 8 x 8

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_FONT = (
    "01110 10001 10011 10101 11001 10001 01110",
    "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00110 01000 10000 11111",
    "11110 00001 00001 01110 00001 00001 11110",
    "00010 00110 01010 10010 11111 00010 00010",
    "11111 10000 11110 00001 00001 10001 01110",
    "01110 10000 10000 11110 10001 10001 01110",
    "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110",
    "01110 10001 10001 01111 00001 00001 01110",
)


def make(chance: np.random.Generator, count: int, *, noise: float = 0.35) -> tuple[Array, Labels]:
    """Images, shape (count, 64), and the digit that each one shows."""
    glyphs = np.array([[[int(dot) for dot in row] for row in digit.split()] for digit in _FONT], dtype=float)
    labels = chance.integers(0, CLASSES, count)
    images = np.zeros((count, 8, 8))
    for index, label in enumerate(labels):
        down, right = chance.integers(0, 2), chance.integers(0, 4)
        images[index, down : down + 7, right : right + 5] = glyphs[label]
    images += chance.normal(0, noise, images.shape)
    return images.reshape(count, PIXELS), labels


def save_shard(file: Path, images: Array, labels: Labels, *, torn: bool = False) -> None:
    """
    Write a shard as raw numbers.

    Args:
        torn: the last pixel of each image is missing, as after a broken export.
    """
    np.savez(file, images=images[:, :-1] if torn else images, labels=labels)


def load_shard(file: Path) -> tuple[Array, Labels]:
    """Read a shard as it lies; nobody checks it, which is what the demo is about."""
    with np.load(file) as shard:
        return shard["images"], shard["labels"]
