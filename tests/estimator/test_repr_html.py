"""What a notebook shows of an estimator."""

from __future__ import annotations

from email.message import Message
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import sklearn
from estimator.cases import classifier, regressor
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from sklearn.utils.fixes import parse_version

from skgpng._estimator import notebook
from skgpng._estimator.summary import Fact, facts

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# Before 1.7 scikit-learn shows the text of a block and no tables, before 1.8 these have no links.
HAS_TABLES, HAS_LINKS = (
    parse_version(sklearn.__version__) >= parse_version(first) for first in ("1.7", "1.8")
)
PUBLISHED = notebook._published.__wrapped__


class Page(HTMLParser):
    """Text and tags of a page; ``strict``: all tags are closed in order.

    Of pages that scikit-learn writes this does not hold before 1.9.
    """

    def __init__(self, source, strict=False):
        super().__init__()
        self.text, self.links, self.tags, self._open = [], [], [], []
        self._strict = strict
        self.feed(source)
        assert not (strict and self._open), f"left open: {self._open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name == "href"]
        self._open.append(tag)

    def handle_endtag(self, tag):
        assert not self._strict or self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def __contains__(self, text):
        return text in " ".join("\n".join(self.text).split())


@pytest.fixture(autouse=True)
def no_address(monkeypatch):
    monkeypatch.delenv("SKGPNG_DOCS", raising=False)
    monkeypatch.setattr(notebook, "_published", lambda: "")


@pytest.fixture
def fitted(ordered):
    return regressor(max_iter=3).fit(*ordered)


@pytest.mark.parametrize("make", [regressor, classifier])
def test_a_fitted_estimator_shows_what_was_learned(make, ordered):
    X, y = ordered
    model = make(max_iter=2).fit(X, y > 5 if make is classifier else y)
    page = Page(estimator_html_repr(model))
    for fact in facts(model):
        assert " ".join(fact.text.split()) in page
        for row in fact.rows:
            assert row[0].strip() in page and row[1] in page
    assert "as there are at most 1,000 rows" in page
    assert page.links == []  # no address of the pages is known


def test_before_fit_nothing_was_learned():
    page = Page(estimator_html_repr(regressor()))
    assert "What was learned" not in page and "Training" not in page
    assert "n_inducing" in page if HAS_TABLES else "GaussianProcessRegressor" in page


def test_inside_of_pipelines_and_searches(ordered):
    X, y = ordered
    pipeline = make_pipeline(StandardScaler(), regressor(n_inducing=8, max_iter=2))
    told = "8 inducing points (collapsed bound), as n_inducing=8"
    assert told not in Page(estimator_html_repr(pipeline))
    page = Page(estimator_html_repr(clone(pipeline).fit(X, y)))
    assert told in page and "8 inducing points (collapsed bound), 60 rows" in page
    search = GridSearchCV(pipeline, {"gaussianprocessregressor__jitter": [1e-6, 1e-5]}, cv=2)
    assert told in Page(estimator_html_repr(search.fit(X, y)))


def test_a_regressor_as_mean_is_shown_inside(ordered):
    model = regressor(mean=Ridge(alpha=3.5), max_iter=2)
    assert "mean: Ridge" in Page(estimator_html_repr(model))
    page = Page(estimator_html_repr(model.fit(*ordered)))
    assert "mean: Ridge" in page and ("What was learned" in page or not HAS_TABLES)


def test_names_of_columns_and_classes_are_escaped(ordered):
    X, y = ordered
    bad = "<script>alert('x')</script> & \"q\""
    model = classifier(max_iter=1).set_params(kernel=None)
    frame = pd.DataFrame(X, columns=[bad, "b"])
    source = estimator_html_repr(model.fit(frame, np.where(y > 5, bad, "no")))
    assert "<script>alert" not in source
    assert f"{bad}" in Page(source)
    told = notebook.as_html([Fact("<i>", "a < b & c", (("<x>", "1 > 0", "'\"<y>"),))])
    page = Page(told, strict=True)
    assert "a < b & c" in page and "<x>" in page and "'\"<y>" in page and "i" not in page.tags


def test_many_rows_are_counted():
    rows = tuple((f"name {k}", str(k), "") for k in range(130))
    page = Page(notebook.as_html([Fact("Kernel", "k", rows)]), strict=True)
    assert "name 99" in page and "name 100" not in page and "and 30 lines more" in page


def test_warnings_stand_out(fitted):
    assert fitted._record["warning"]
    assert notebook.as_html(facts(fitted)).count('class="warning"') == 1


@pytest.mark.parametrize("make", [regressor, classifier])
def test_links_lead_to_the_pages_that_an_address_is_given_of(make, monkeypatch):
    model = make()
    assert model._get_doc_link() == ""
    name = f"generated/skgpng.{type(model).__name__}.html"
    monkeypatch.setattr(notebook, "_published", lambda: "https://of.package/")
    assert model._get_doc_link() == f"https://of.package/{name}"
    monkeypatch.setenv("SKGPNG_DOCS", 'https://x.y/a{b}"c/latest/')
    assert model._get_doc_link() == f"https://x.y/a%7Bb%7D%22c/latest/{name}"
    links = Page(estimator_html_repr(model)).links
    assert links and all(link.startswith("https://x.y/a%7Bb%7D%22c/latest/") for link in links)
    assert any("n_inducing" in link for link in links) or not HAS_LINKS


def test_a_subclass_of_somebody_else_has_no_page_here(monkeypatch):
    monkeypatch.setenv("SKGPNG_DOCS", "https://x.y")
    own = type("Own", (type(regressor()),), {"__module__": "elsewhere"})
    assert own()._get_doc_link() == ""


def test_the_address_in_the_metadata_of_the_package(monkeypatch):
    package = Message()
    package["Project-URL"] = "Source, https://source"
    package["Project-URL"] = "Documentation, https://docs"
    monkeypatch.setattr(notebook.metadata, "metadata", lambda name: package)
    assert PUBLISHED() == "https://docs"
    del package["Project-URL"]
    assert PUBLISHED() == ""

    def missing(name):
        raise notebook.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(notebook.metadata, "metadata", missing)
    assert PUBLISHED() == ""
