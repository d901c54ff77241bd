"""What an estimator for Dask is beside its fits: parameters, copies, files, the way back."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest
from processes import fresh
from sklearn.base import clone

import skgpng
import skgpng.dask

PAIRS = [
    (skgpng.dask.GaussianProcessRegressor, skgpng.GaussianProcessRegressor),
    (skgpng.dask.GaussianProcessClassifier, skgpng.GaussianProcessClassifier),
]


@pytest.mark.parametrize("cls, local", PAIRS)
def test_parameters_are_those_of_the_ordinary_class(cls, local):
    model = cls(client="a client", n_inducing=7)
    assert model.get_params() == local(n_inducing=7).get_params()
    assert model.client == "a client"
    assert repr(model) == repr(local(n_inducing=7))
    assert clone(model).client is None and clone(model).n_inducing == 7
    assert model.set_params(jitter=1e-5).jitter == 1e-5
    with pytest.raises(ValueError, match="Invalid parameter 'client'"):
        model.set_params(client=None)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        cls(nonsense=1)
    for method in ("fit", "predict", "score"):
        own, theirs = (inspect.signature(getattr(c, method)).parameters for c in (cls, local))
        assert [*own] == [*theirs]


@pytest.mark.parametrize("cls, local", PAIRS)
def test_pickles_and_files_have_no_client(cls, local, table, tmp_path):
    X, y = table
    y = y[:40] if "Regressor" in cls.__name__ else y[:40] > 0
    model = cls(client=object(), random_state=0).fit(X[:40], y)
    skgpng.save(model, tmp_path / "model.skops")
    for copy in (pickle.loads(pickle.dumps(model)), skgpng.load(tmp_path / "model.skops")):
        assert type(copy) is cls and copy.client is None
        assert np.array_equal(copy.predict(X), model.predict(X))
    back = model.to_local()
    assert type(back) is local and not hasattr(back, "client")
    assert back.elbo_ == model.elbo_ and np.array_equal(back.predict(X), model.predict(X))
    assert b"skgpng.dask" not in pickle.dumps(back)


def test_dask_is_imported_by_whoever_asks_for_it():
    fresh("""
        import sys
        import skgpng
        assert not {"dask", "distributed"} & set(sys.modules)
        sys.modules["distributed"] = None  # as if it were not installed
        try:
            import skgpng.dask
        except ImportError as error:
            assert 'pip install "skgpng[dask]"' in str(error)
        else:
            raise AssertionError
    """)
