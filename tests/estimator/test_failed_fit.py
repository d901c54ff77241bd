"""A ``fit`` that raises leaves the estimator as it was."""

from __future__ import annotations

import numpy as np
import pytest
from estimator.cases import classifier, counted, regressor, state
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF

FAILURES = {
    "rows": ({}, np.nan, "NaN"),
    "kernel": ({"kernel": RBF([1.0, 1.0])}, 0.0, "1 features"),
    "parameter": ({"max_iter": 0}, 0.0, "max_iter"),
    "training": ({}, 0.0, "while training"),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("data", ["ordered", "two"])
def test_failed_fit_leaves_nothing(data, name, request, watched):
    pandas = pytest.importorskip("pandas")
    X, y = request.getfixturevalue(data)
    new = (regressor if data == "ordered" else classifier)(max_iter=5, n_inducing=None)
    fitted = clone(new).fit(pandas.DataFrame(X, columns=["a", "b"]), y)
    parameters, shift, message = FAILURES[name]
    if name == "training":
        watched(counted(lambda result: False, dict.fromkeys((1, 2), ValueError(message))))
    for model in (new, fitted):
        before = state(model.set_params(**parameters))
        with pytest.raises(ValueError, match=message):
            model.fit(pandas.DataFrame(X[:, :1] + shift, columns=["c"]), y)
        assert state(model) == before
    assert fitted.n_features_in_ == 2 and list(fitted.feature_names_in_) == ["a", "b"]
