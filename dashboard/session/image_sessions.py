"""Image sessions of the last few subjects: each keeps the forward passes and maps of one image."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from cachetools import LRUCache
from PIL import Image

from dashboard.session.types import HoldClassifier, Subject

if TYPE_CHECKING:
    from explain.methods.live import ImageSession

KEPT = 8  # sessions, each with its maps and some passes


class ImageSessions:
    """By subject; used by the thread that holds the network. `picture` opens the image of a subject."""

    def __init__(self, classifier: HoldClassifier, picture: Callable[[Subject], Image.Image]):
        self._classifier, self._picture = classifier, picture
        self._kept: LRUCache[str, ImageSession] = LRUCache(KEPT)

    def at(self, subject: Subject) -> "ImageSession":
        """The session of a subject; call it while holding the network. Raises UserError where its image
        cannot be read."""
        from explain.methods.live import open_session

        key = _key(subject)
        if (session := self._kept.get(key)) is None:
            with self._classifier() as classifier:
                session = open_session(classifier, self._picture(subject))
            self._kept[key] = session
        return session

    def forget(self, subject: Subject) -> None:
        self._kept.pop(_key(subject), None)


def _key(subject: Subject) -> str:
    return repr(sorted(subject.items()))
