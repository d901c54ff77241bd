"""A function that optimisers are tried on, with its smallest value."""

from __future__ import annotations

import numpy as np

LEAST = 0.39788735772973816  # 10 / (8 pi), at three places
BOUNDS = {"x": (-5.0, 10.0), "y": (0.0, 15.0)}


def branin(x, y):
    bowl = y - 5.1 / (4.0 * np.pi**2) * x**2 + 5.0 / np.pi * x - 6.0
    return bowl**2 + 10.0 * (1.0 - 1.0 / (8.0 * np.pi)) * np.cos(x) + 10.0
