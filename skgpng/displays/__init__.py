"""Pictures of models, in the manner of scikit-learn's displays.

Each is made on one line, by ``from_estimator`` (or ``from_predictions``, where predictions are
enough), and keeps the numbers it shows, its axes and its artists as attributes, so that ``plot``
draws it again elsewhere. They take skgpng's estimators, and most take any other with an
uncertainty, also at the end of a pipeline or a search. Needs matplotlib, which is imported when
something is drawn.
"""

from .additive import AdditiveDisplay, ShownComponent
from .band import BandDisplay
from .coverage import CoverageDisplay
from .maps import MapDisplay
from .relevance import RelevanceDisplay
from .training import TrainingDisplay

__all__ = [
    "AdditiveDisplay",
    "BandDisplay",
    "CoverageDisplay",
    "MapDisplay",
    "RelevanceDisplay",
    "ShownComponent",
    "TrainingDisplay",
]
