"""A two-layer perceptron trained by plain SGD with momentum, in NumPy."""

from __future__ import annotations

import numpy as np

from logsvc.demo.digits import CLASSES, PIXELS, Array, Labels

HIDDEN = 32
LEARNING_RATE = 0.15
MOMENTUM = 0.8


class Perceptron:
    """Weights, their gradients and one step."""

    def __init__(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        self.weights: list[Array] = [
            chance.normal(0, PIXELS**-0.5, (PIXELS, HIDDEN)),
            np.zeros(HIDDEN),
            chance.normal(0, HIDDEN**-0.5, (HIDDEN, CLASSES)),
            np.zeros(CLASSES),
        ]
        self._speed: list[Array] = [np.zeros_like(weight) for weight in self.weights]

    def forward(self, images: Array) -> tuple[Array, Array]:
        """Hidden activations and class probabilities."""
        hidden = np.maximum(images @ self.weights[0] + self.weights[1], 0)
        scores = hidden @ self.weights[2] + self.weights[3]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return hidden, scores / scores.sum(axis=1, keepdims=True)

    def gradients(self, images: Array, labels: Labels) -> tuple[float, list[Array]]:
        """Mean cross-entropy of a batch, and its gradients."""
        hidden, found = self.forward(images)
        rows = np.arange(len(labels))
        loss = float(-np.log(found[rows, labels] + 1e-12).mean())
        back = found.copy()
        back[rows, labels] -= 1
        back /= len(labels)
        inner = (back @ self.weights[2].T) * (hidden > 0)
        return loss, [images.T @ inner, inner.sum(axis=0), hidden.T @ back, back.sum(axis=0)]

    def step(self, gradients: list[Array]) -> None:
        """Move the weights."""
        for weight, speed, gradient in zip(self.weights, self._speed, gradients, strict=True):
            speed *= MOMENTUM
            speed -= LEARNING_RATE * gradient
            weight += speed

    def accuracy(self, images: Array, labels: Labels) -> float:
        """Share of images whose digit is found, 0-1."""
        return float((self.forward(images)[1].argmax(axis=1) == labels).mean())
