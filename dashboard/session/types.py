"""Types that the services of a page share."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.classifier import Classifier

Subject = dict[str, Any]
"""The image that is explained: {"row": n} of the run, {"upload": key of `Photos`}, or {"example": name}.
Of the last two, "faces" says which face is used (`models.faces.crop.FaceRequest.which`)."""
HoldClassifier = Callable[[], AbstractContextManager["Classifier"]]
"""Returns a context manager that holds the run's network for this thread alone (`Context.classifier`)."""
