"""Image sessions of the last subjects, shared by all visitors: each keeps the forward passes and maps of one
image."""

from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache
from PIL import Image

from dashboard.session.types import HoldClassifier, Subject

if TYPE_CHECKING:
    from explain.methods.live import ImageSession, OfNetwork
    from models.classifier import Classifier
    from models.faces.crop import FaceCrop

LIMIT = 512 * 2**20
"""At most so many bytes are kept in pictures, maps, captured passes and networks of checks, by all sessions
together; the session that is used now is kept also where it alone has more."""
MOST = 256
"""At most so many sessions are kept: those of a small network would fill the bytes with photos that nobody
looks at any more."""
AT_ONCE = 32
"""Sessions that may be in use at a time, by as many visitors."""


class ImageSessions:
    """By subject. `photo` opens the whole image of a subject; `face`: which part of it is used, None for all.
    `limit`: in bytes."""

    def __init__(
        self,
        classifier: HoldClassifier,
        photo: Callable[[Subject], Image.Image],
        face: "Callable[[Subject], FaceCrop | None]" = lambda subject: None,
        limit: int = LIMIT,
    ):
        self._classifier, self._photo, self._face, self._limit = classifier, photo, face, limit
        self._kept: LRUCache[tuple[tuple[str, Any], ...], ImageSession] = LRUCache(limit, self._size)
        self._last: list[tuple[tuple[str, Any], ...]] = []
        self._of_network: tuple[Any, OfNetwork] | None = None
        self._lock = RLock()

    def __len__(self) -> int:
        return len(self._kept)

    def at(self, subject: Subject) -> "ImageSession":
        """The session of a subject; call it while holding the network. Raises UserError where its image
        cannot be read."""
        from explain.methods.live import open_session

        if (session := self.known(subject)) is None:
            with self._classifier() as classifier:
                photo, face, shared = self._photo(subject), self._face(subject), self.shared(classifier)
                session = open_session(classifier, photo, face, shared)
        return self.keep(subject, session)

    def known(self, subject: Subject) -> "ImageSession | None":
        """The session, where it is kept."""
        with self._lock:
            return self._kept.get(_key(subject))

    def keep(self, subject: Subject, session: "ImageSession") -> "ImageSession":
        """As the one that was used last. The last ones before it are weighed again: they grow while they are
        used."""
        mine = _key(subject)
        with self._lock:
            self._kept.pop(mine, None)
            self._last = [key for key in self._last if key != mine][1 - AT_ONCE :]
            for key in self._last:
                if (other := self._kept.pop(key, None)) is not None:
                    self._kept[key] = other
            self._last.append(mine)
            self._kept[mine] = session
        return session

    def shared(self, classifier: "Classifier") -> "OfNetwork":
        """What all sessions of the network share."""
        from explain.methods.live import OfNetwork

        if self._of_network is None or self._of_network[0] is not classifier.model:
            self._of_network = classifier.model, OfNetwork.of(classifier.model)
        return self._of_network[1]

    def forget(self, subject: Subject) -> None:
        """Its sessions, whichever face they are of."""
        with self._lock:
            for key in [key for key in self._kept if set(subject.items()) <= set(key)]:
                del self._kept[key]

    def _size(self, session: "ImageSession") -> int:
        """What a session counts, in bytes: at least the share that leaves `MOST` of them room."""
        from explain.quality.one_map.map_scores import held_bytes

        return min(max(session.nbytes + held_bytes(session), self._limit // MOST), self._limit)


def _key(subject: Subject) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(subject.items()))
