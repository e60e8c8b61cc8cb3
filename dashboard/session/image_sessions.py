"""Image sessions of the last few subjects: each keeps the forward passes and maps of one image."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache
from PIL import Image

from dashboard.session.types import HoldClassifier, Subject

if TYPE_CHECKING:
    from explain.methods.live import ImageSession
    from models.faces.crop import FaceCrop

KEPT = 8  # sessions, each with its maps and some passes


class ImageSessions:
    """By subject; used by the thread that holds the network. `photo` opens the whole image of a subject;
    `face`: which part of it is used, None for all."""

    def __init__(
        self,
        classifier: HoldClassifier,
        photo: Callable[[Subject], Image.Image],
        face: "Callable[[Subject], FaceCrop | None]" = lambda subject: None,
    ):
        self._classifier, self._photo, self._face = classifier, photo, face
        self._kept: LRUCache[tuple[tuple[str, Any], ...], ImageSession] = LRUCache(KEPT)

    def at(self, subject: Subject) -> "ImageSession":
        """The session of a subject; call it while holding the network. Raises UserError where its image
        cannot be read."""
        from explain.methods.live import open_session

        key = _key(subject)
        if (session := self._kept.get(key)) is None:
            with self._classifier() as classifier:
                session = open_session(classifier, self._photo(subject), self._face(subject))
            self._kept[key] = session
        return session

    def forget(self, subject: Subject) -> None:
        """Its sessions, whichever face they are of."""
        for key in [key for key in self._kept if set(subject.items()) <= set(key)]:
            self._kept.pop(key, None)


def _key(subject: Subject) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(subject.items()))
