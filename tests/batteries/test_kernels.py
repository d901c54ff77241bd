"""Any tree of kernels: scikit-learn's covariance, which is one."""

from __future__ import annotations

import numpy as np
from batteries.drawn import cases, cases_each, norm, smallest_eigenvalue
from hypothesis import given

from skgpng import kernels


@cases_each(200)
@given(cases(more=True))
def test_covariance_is_scikit_learns(case):
    structure, values = case.parsed.structure, case.parsed.values
    found = (
        kernels.covariance(structure, values, case.X),
        kernels.covariance(structure, values, case.Z, case.X),
        kernels.diagonal(structure, values, case.X),
    )
    expected = case.kernel(case.X), case.kernel(case.Z, case.X), case.kernel.diag(case.X)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


@cases_each(200)
@given(cases(more=True))
def test_covariance_is_symmetric_and_positive_semidefinite(case):
    structure, values = case.parsed.structure, case.parsed.values
    K = kernels.covariance(structure, values, case.X).numpy()
    np.testing.assert_allclose(K, K.T, rtol=0, atol=1e-15 * norm(K))
    assert smallest_eigenvalue(K) >= -1e-13 * norm(K)
