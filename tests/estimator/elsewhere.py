"""Rows that are elsewhere, though in this process: shards that have numbers, and pools."""

import numpy as np

from skgpng._estimator.elsewhere import RowsElsewhere, Sample


class _Held(RowsElsewhere):
    """All rows, as a user would hand them over; ``most``: of the sample."""

    def __init__(self, X, y, sample_weight=None, most=None):
        super().__init__()
        self._given, self._most = (X, y, sample_weight), most
        weights = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight)
        self._n, self._total, self.ended = int((weights > 0).sum()), float(weights.sum()), 0
        self.n_sums = 0

    n_rows = property(lambda self: self._n)
    total_weight = property(lambda self: self._total)

    def sample(self, n_bytes, rng):
        X, y, weights = self._given
        chosen = np.arange(len(X))
        if self._most is not None and self._most < len(X):
            chosen = np.sort(rng.choice(len(X), self._most, replace=False))
        own = None if weights is None else weights[chosen]
        return Sample(X[chosen], y[chosen], own, self._n, self._total)

    def begin(self, encoder):
        self._rows = encoder(*self._given)

    def end(self):
        self.ended += 1


class Shards(_Held):
    """Rows in so many parts, each of which adds up its own."""

    def __init__(self, *args, n_shards=3, fails_at=None, **kwargs):
        super().__init__(*args, **kwargs)
        self._n_shards, self._fails_at = n_shards, fails_at

    def sums(self, call, arrays, rows=None, scale=1.0):
        self.n_sums += 1
        if self.n_sums == self._fails_at:
            raise OSError("the cable is out")
        chosen = np.arange(self._n) if rows is None else rows
        edges = np.linspace(0, self._n, self._n_shards + 1).astype(int)
        total = None
        for low, high in zip(edges[:-1], edges[1:], strict=True):
            own = self._rows.some(chosen[(chosen >= low) & (chosen < high)])
            found = call.on(own._replace(weights=scale * own.weights), arrays)
            total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
        return total


class Pools(_Held):
    """Rows in an order that is drawn, and sums without numbers."""

    by_number = False

    def sums(self, call, arrays, rows=None, scale=1.0):
        assert rows is None and scale == 1.0
        self.n_sums += 1
        return call.on(self._rows, arrays)

    def pools(self, n_rows, rng):
        order = np.zeros(0, int)
        while True:
            while len(order) < n_rows:
                order = np.concatenate([order, rng.permutation(self._n)])
            yield self._rows.some(order[:n_rows])
            order = order[n_rows:]
