"""Rows of Dask collections for a fit: a sample, a shard for each worker, sums over these."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import cloudpickle
import numpy as np
from distributed import Client
from sklearn.utils.random import sample_without_replacement

from .._estimator.elsewhere import Encoder, RowsElsewhere, Sample, refuse_not_finite
from .._estimator.problem import Rows
from .._version import __version__
from ._cluster import gathered, new_key, released, told
from ._parts import About, Part, about, joined, parts_of, some_rows
from ._summing import Question, Summing, added

__all__ = ["DaskRows"]


class DaskRows(RowsElsewhere):
    """Rows on the workers of a cluster, which stay there but for a sample.

    Parameters
    ----------
    client : distributed.Client
    X, y, sample_weight : Dask collections
    by_label : bool
        Whether y has labels.
    """

    def __init__(self, client: Client, X: Any, y: Any, sample_weight: Any, by_label: bool) -> None:
        super().__init__()
        self._client, self._by_label = client, by_label
        self._parts = client.compute(parts_of(X, y, sample_weight))
        self._about: list[About] = []
        self._summing: Summing | None = None
        self._pickled = functools.lru_cache(maxsize=64)(cloudpickle.dumps)
        self._total_weight = 0.0

    @property
    def n_rows(self) -> int:
        """All that have a weight."""
        return int(self._edges[-1])

    @property
    def total_weight(self) -> float:
        """Of all rows; once they are encoded, with the weights of classes."""
        return self._total_weight

    # --- the sample ------------------------------------------------------------------------

    def sample(self, n_bytes: int, rng: np.random.RandomState) -> Sample:
        """All rows, or some of all parts, each row as likely; and the first of labels not among."""
        with told(self._client):
            self._count()
            return self._drawn(n_bytes, rng)

    def _drawn(self, n_bytes: int, rng: np.random.RandomState) -> Sample:
        one = self._take([(k, np.arange(1)) for k in self._filled[:1]])
        width = np.shape(one.X)[1] + np.size(np.asarray(one.y)) + 1
        most = max(1, n_bytes // (8 * width))
        chosen = None
        if self.n_rows > most:
            chosen = np.sort(sample_without_replacement(self.n_rows, most, random_state=rng))
        found = self._rows_numbered(chosen)
        if chosen is not None and self._by_label:
            seen = set(np.asarray(found.y).ravel().tolist())
            missing = [row for label, row in self._first_of_labels().items() if label not in seen]
            if missing:
                chosen = np.union1d(chosen, missing)
                found = self._rows_numbered(chosen)
        _refuse_wrong(found, chosen)
        return Sample(*found, self.n_rows, self.total_weight)

    def _count(self) -> None:
        asked = self._client.map(about, self._parts, by_label=self._by_label, pure=False)
        self._about = gathered(self._client, asked)
        self._edges = np.cumsum([0, *(a.n_rows for a in self._about)])
        self._filled = [k for k, a in enumerate(self._about) if a.n_rows]
        self._total_weight = float(sum(a.total_weight for a in self._about))
        if not self._filled:
            raise ValueError(
                "Found array with 0 sample(s) while a minimum of 1 is required: all partitions of "
                "X are empty, or all weights zero."
            )
        for one in self._about:
            if one.version != __version__:
                raise RuntimeError(
                    f"The worker at {one.address} has skgpng {one.version}, but this process "
                    f"{__version__}: install one version everywhere."
                )

    def _first_of_labels(self) -> dict:
        found: dict = {}
        for edge, one in zip(self._edges, self._about):
            for label, row in one.labels.items():
                found.setdefault(label, int(edge) + row)
        return found

    def _rows_numbered(self, chosen: np.ndarray | None) -> Part:
        """Rows with these numbers, in order; all without."""
        if chosen is None:
            return self._take([(k, None) for k in self._filled])
        part = np.searchsorted(self._edges, chosen, "right") - 1
        return self._take([(k, chosen[part == k] - self._edges[k]) for k in np.unique(part)])

    def _take(self, each: Sequence[tuple[int, np.ndarray | None]]) -> Part:
        submit = self._client.submit
        asked = [submit(some_rows, self._parts[k], rows, pure=False) for k, rows in each]
        return joined(gathered(self._client, asked))

    # --- shards ----------------------------------------------------------------------------

    def begin(self, encoder: Encoder) -> None:
        """Each worker encodes the rows that it holds; the parts are let go of."""
        with told(self._client):
            self._make_shards(encoder)

    def _make_shards(self, encoder: Encoder) -> None:
        shards = self._share_out()
        encoder_there = self._client.submit(_same, encoder, key=new_key("encoder"))
        encoded = [
            self._client.submit(
                _encode,
                encoder_there,
                [int(self._edges[k]) for k in own],
                *(self._parts[k] for k in own),
                workers=[address],
                allow_other_workers=True,
                key=new_key("shard"),
            )
            for address, own in shards
        ]
        try:
            weights = gathered(self._client, [self._client.submit(_weight, s) for s in encoded])
        except BaseException:
            released([encoder_there, *encoded])  # a traceback would keep them
            raise
        self._total_weight = float(sum(weights))
        self._number([own for _, own in shards])
        # what is needed to make a shard again the scheduler knows, from where the rows came
        self._let_go_of_parts()
        self._summing = Summing(self._client, encoded)

    def _let_go_of_parts(self) -> None:
        released(self._parts)
        self._parts = []

    def _share_out(self) -> list[tuple[str, list[int]]]:
        """Workers with the parts that they hold, in the order of the first of these."""
        parts = [self._parts[k] for k in self._filled]
        holders = self._client.who_has(parts)
        shards: dict[str, list[int]] = {}
        load: dict[str, int] = {}
        for k in self._filled:
            # none where its worker just died: whoever took the last ones gets it, made again
            able = holders.get(self._parts[k].key) or [*shards] or [self._about[k].address]
            address = min(able, key=lambda a: (load.get(a, 0), a))
            shards.setdefault(address, []).append(k)
            load[address] = load.get(address, 0) + self._about[k].n_rows
        return [*shards.items()]

    def _number(self, shards: list[list[int]]) -> None:
        """Where each part is: its shard, and its first row there."""
        self._shard_of = np.zeros(len(self._about), int)
        self._first_in_shard = np.zeros(len(self._about), int)
        for s, own in enumerate(shards):
            sizes = [self._about[k].n_rows for k in own]
            self._shard_of[own] = s
            self._first_in_shard[own] = np.cumsum([0, *sizes])[:-1]
        self._n_shards = len(shards)

    def sums(
        self,
        call: Any,
        arrays: list[np.ndarray],
        rows: np.ndarray | None = None,
        scale: float = 1.0,
    ) -> list[np.ndarray]:
        """Of each shard, added up in the order of shards."""
        assert self._summing is not None
        pickled = self._pickled(call)
        if rows is None:
            questions = {s: Question(pickled, arrays, None, scale) for s in range(self._n_shards)}
        else:
            own = self._by_shard(rows)
            questions = {s: Question(pickled, arrays, own[s], scale) for s in own}
        with told(self._client):
            found = self._summing.ask(questions)
        return added([found[s] for s in sorted(found)])

    def _by_shard(self, rows: np.ndarray) -> dict[int, np.ndarray]:
        """Numbers in each shard that has some of these rows."""
        part = np.searchsorted(self._edges, rows, "right") - 1
        shard, place = self._shard_of[part], rows - self._edges[part] + self._first_in_shard[part]
        own = {s: place[shard == s] for s in range(self._n_shards)}
        return {s: numbers for s, numbers in own.items() if len(numbers)}

    def end(self) -> None:
        """Let go of all that the cluster holds for this."""
        self._let_go_of_parts()
        if self._summing is not None:
            self._summing.close()
            self._summing = None


def _refuse_wrong(found: Part, chosen: np.ndarray | None) -> None:
    """ValueError that names a row of the sample with NaN or infinity, as those of shards are.

    Several targets may have gaps: the likelihood knows.
    """
    place = np.arange(len(found.X)) if chosen is None else chosen
    for name, values in (("X", np.asarray(found.X)), ("y", np.asarray(found.y))):
        if values.dtype.kind == "f" and (name == "X" or values.size == len(values)):
            refuse_not_finite(name, values, place)


# --- on the workers ---------------------------------------------------------------------------


def _same(encoder: Encoder) -> Encoder:
    return encoder


def _encode(encoder: Encoder, first: list[int], *parts: Part) -> Rows:
    """Rows of some parts, one after the other; ``first`` has the number of the first of each."""
    each = [encoder(*part, first=row) for row, part in zip(first, parts, strict=True)]
    return each[0] if len(each) == 1 else Rows(*map(np.concatenate, zip(*each, strict=True)))


def _weight(shard: Rows) -> float:
    return float(shard.weights.sum())
