"""Requests for first maps that wait for the network: those that want the same of it go through one pass."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dashboard.session.image_sessions import ImageSessions
from dashboard.session.types import HoldClassifier, Subject

if TYPE_CHECKING:
    from PIL import Image

    from explain.methods.first_maps import Asked, Kind
    from explain.methods.live import ImageSession
    from explain.methods.request import MapRequest
    from models.classifier import Classifier
    from models.faces.crop import FaceCrop, FaceRequest

MOST = 16
"""Images of one pass."""
LOOKS = 0.05
"""Seconds between two looks whether a request that waits was cancelled."""
EVERY = 0.5
"""Seconds between two messages to a visitor who waits."""
NEWEST = 0.3
"""Weight of the last pass in the mean time of passes."""


@dataclass(eq=False)
class Waiting:
    """One request. `subject`: under which its session is kept; None: it is not."""

    asked: "Asked"
    kind: "Kind"
    subject: Subject | None
    session: "Future[ImageSession]" = field(default_factory=Future)


class MapQueue:
    """In the order in which they were asked for; whoever wants the same as the first goes with it, `MOST` at
    most. One thread asks for the network, once for each pass, behind everybody who has asked before; it ends
    when nobody waits."""

    def __init__(self, classifier: HoldClassifier, sessions: ImageSessions):
        self._classifier, self._sessions = classifier, sessions
        self._waiting, self._lock, self._works = list[Waiting](), threading.Lock(), False
        self._took = 0.0  # seconds of a pass and of the wait for the network, mean of the last ones

    def ask(
        self,
        image: "Image.Image",
        faces: "FaceRequest | FaceCrop | None",
        requests: "tuple[MapRequest, ...]",
        subject: Subject | None = None,
    ) -> "Future[ImageSession]":
        """The session of a picture, which keeps those maps that `first_maps.one_pass` names; to be cancelled
        as long as it waits. `faces` as of `open_session`. It has the errors of `open_session`, and of
        `Context.classifier`. Raises UserError for a method that there is not."""
        from explain.methods.first_maps import Asked, kind_of, one_pass

        together = one_pass(requests)
        waiting = Waiting(Asked(image, faces, together), kind_of(together), subject)
        with self._lock:
            self._waiting.append(waiting)
            if not self._works:
                self._works = True
                threading.Thread(target=self._work, daemon=True, name="maps").start()
        return waiting.session

    def place(self, session: "Future[ImageSession]") -> tuple[int, float]:
        """Its position among the requests that wait, from 1; 0 where it is computed. And in about how many
        seconds it is answered, of the measured time of passes; 0 where none was measured."""
        with self._lock:
            left, passes = list(self._waiting), 0
        position = next((k for k, one in enumerate(left, 1) if one.session is session), 0)
        while left:
            group = [one for one in left if one.kind == left[0].kind][:MOST]
            left, passes = [one for one in left if one not in group], passes + 1
            if any(one.session is session for one in group):
                break
        return position, passes * self._took if position else 0.0

    async def places(
        self, session: "Future[ImageSession]", raise_if_cancelled: Callable[[], None]
    ) -> AsyncIterator[tuple[int, float]]:
        """Of a request, again and again until its session is there; then as `answer`."""
        task = asyncio.ensure_future(answer(session, raise_if_cancelled))
        try:
            while not (await asyncio.wait([task], timeout=EVERY))[0]:
                yield self.place(session)
            task.result()
        finally:
            task.cancel()

    def _work(self) -> None:
        while self._someone_waits():
            group, began = list[Waiting](), time.monotonic()
            try:
                with self._classifier() as classifier:
                    group = self._next()
                    if group:
                        self._answer(classifier, group)
            except BaseException as error:  # the network cannot be loaded, or an error of ours
                for one in group or self._next():
                    if not one.session.done():
                        one.session.set_exception(error)
            took = time.monotonic() - began
            self._took = took if not self._took else (1 - NEWEST) * self._took + NEWEST * took

    def _someone_waits(self) -> bool:
        with self._lock:
            self._works = bool(self._waiting)
            return self._works

    def _next(self) -> list[Waiting]:
        """The first that was not cancelled, and others of its kind; they do not wait any more."""
        with self._lock:
            group, left = list[Waiting](), list[Waiting]()
            for one in self._waiting:
                if len(group) == MOST or (group and one.kind != group[0].kind):
                    left.append(one)
                elif one.session.set_running_or_notify_cancel():
                    group.append(one)
            self._waiting = left
        return group

    def _answer(self, classifier: "Classifier", group: list[Waiting]) -> None:
        """Call it while holding the network. A subject that several ask for is computed once."""
        from explain.methods.first_maps import first_maps

        own = dict[object, list[Waiting]]()
        for one in group:
            known = None if one.subject is None else self._sessions.known(one.subject)
            if known is not None:
                one.session.set_result(known)
            else:
                key = one if one.subject is None else (repr(sorted(one.subject.items())), one.asked.requests)
                own.setdefault(key, []).append(one)
        groups = [*own.values()]
        if not groups:
            return
        shared = self._sessions.shared(classifier)
        made = first_maps(classifier, [same[0].asked for same in groups], shared)
        for same, session in zip(groups, made, strict=True):
            subject = same[0].subject
            if not isinstance(session, Exception) and subject is not None:
                self._sessions.keep(subject, session)
            for one in same:
                if isinstance(session, Exception):
                    one.session.set_exception(session)
                else:
                    one.session.set_result(session)


async def answer(
    session: "Future[ImageSession]", raise_if_cancelled: Callable[[], None] = lambda: None
) -> "ImageSession":
    """The session, once it is there; waiting takes no thread. What `raise_if_cancelled` raises takes the
    request out of the queue."""
    future = asyncio.wrap_future(session)
    try:
        while not future.done():
            raise_if_cancelled()
            await asyncio.wait([future], timeout=LOOKS)
        return future.result()
    except BaseException:
        session.cancel()
        raise
