"""``GaussianProcessClassifier``: probabilities, latent functions and labels."""

from __future__ import annotations

import numpy as np
import pytest
from estimator.answers import classifier
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from skgpng import GaussianProcessClassifier


def test_predict_proba_of_two_classes(rows):
    X, _ = rows
    y = np.where(X.sum(1) > 0, "yes", "no")
    model = GaussianProcessClassifier(max_iter=60).fit(X, y)
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(1), 1.0)
    assert list(model.classes_) == ["no", "yes"] and model.score(X, y) > 0.95
    np.testing.assert_array_equal(model.decision_function(X) > 0, p[:, 1] > 0.5)
    np.testing.assert_array_equal(model.predict(X), model.classes_[p.argmax(1)])
    mean, variance = model.latent_mean_and_variance(X)
    assert mean.shape == variance.shape == (60,) and np.all(variance > 0)


@pytest.mark.parametrize("n_inducing", [None, 30])
def test_predict_proba_of_three_classes(codes, n_inducing):
    X, y = codes
    names = np.array(["low", "middle", "top"])[y]
    model = classifier(n_inducing=n_inducing, max_iter=60).fit(X, names)
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(1), 1.0)
    assert p.shape == (60, 3) and model.score(X, names) > 0.9
    np.testing.assert_array_equal(model.decision_function(X).argmax(1), p.argmax(1))
    np.testing.assert_array_equal(model.predict(X), model.classes_[p.argmax(1)])
    assert model.latent_mean_and_variance(X)[1].shape == (60, 3)


def test_classifier_refuses_one_class_and_noise(codes):
    X, y = codes
    with pytest.raises(ValueError, match="1 class"):
        classifier().fit(X, np.ones(60))
    with pytest.raises(ValueError, match="WhiteKernel"):
        classifier(RBF() + WhiteKernel()).fit(X, y)
