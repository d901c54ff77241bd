"""Covariances of a few rows by NumPy are those that TensorFlow computes of many."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import tensorflow as tf
from kernels.cases import KERNELS, MIXED, mixed_rows
from sklearn.gaussian_process.kernels import RBF, CompoundKernel, Matern

from skgpng._inference import covariances
from skgpng.kernels import Kernel, parse

ALL = {
    **KERNELS,
    **MIXED,
    "black box": 2.0 * Matern(0.8, nu=1.0),
    "of each": CompoundKernel([RBF(0.7), 2.0 * Matern([0.5, 1.0, 2.0])]),
}
POINTS, ROWS = mixed_rows(1, 30), mixed_rows(2, 7)


def at(kernel, points=POINTS):
    parsed = parse(kernel)
    return covariances.CrossCovariances(parsed.structure, parsed.values, points)


@pytest.mark.parametrize("kernel", ALL.values(), ids=ALL.keys())
def test_few_rows_are_as_many(kernel):
    few = at(kernel)
    assert few._replay is not None
    for rows in ROWS, ROWS[:1]:
        found, expected = few(rows), few._by_tensorflow(rows)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-14 * theirs.max())


@pytest.mark.parametrize("kernel", [RBF(0.7), 2.0 * Matern([0.5, 1.0, 2.0], nu=2.5)])
def test_float32_stays(kernel):
    found = at(kernel, POINTS.astype(np.float32))(ROWS)
    assert {a.dtype for a in found} == {np.dtype(np.float32)}
    np.testing.assert_allclose(found[0], at(kernel)(ROWS)[0], atol=1e-5)


def test_the_quicker_way_is_taken(monkeypatch):
    one = at(RBF(0.7))
    assert one(np.tile(ROWS, (200, 1)))[0].shape == (1, 30, 1400)
    monkeypatch.setattr(covariances.CrossCovariances, "_by_tensorflow", None)
    one(ROWS)
    with pytest.raises(TypeError):
        one(np.tile(ROWS, (200, 1)))


class Looped(Kernel):
    """Of a loop, which is TensorFlow's."""

    def __init__(self, scale=1.0, scale_bounds=(0.1, 10.0)):
        self.scale = scale
        self.scale_bounds = scale_bounds

    def covariance(self, X1, X2=None):
        X2 = X1 if X2 is None else X2
        return tf.map_fn(lambda x: self.scale * tf.linalg.matvec(X2, x), X1)


def test_a_formula_with_a_loop_is_left_to_tensorflow():
    few = at(Looped(2.0))
    assert few._replay is None
    np.testing.assert_allclose(few(ROWS)[0][0], 2.0 * POINTS @ ROWS.T, rtol=1e-12)


def test_a_copy_computes_anew():
    one = at(RBF(0.7))
    expected = one(ROWS)[0]
    again = pickle.loads(pickle.dumps(one))
    assert "_replay" in vars(one) and "_replay" not in vars(again)
    np.testing.assert_array_equal(again(ROWS)[0], expected)
