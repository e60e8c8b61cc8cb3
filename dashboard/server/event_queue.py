"""How many events of a kind run at once, and in which order those of one visitor do."""

from typing import Any

import gradio as gr
from gradio.queueing import Queue
from gradio.server_messages import ProcessCompletedMessage, ProcessGeneratingMessage

READERS = 2
"""Events of a kind that only read which run at once; more would wait for each other in Python."""
READS: dict[str, Any] = {"concurrency_limit": READERS}
"""Options of events that only read what the run holds, whose handlers several threads may be in."""
MODEL: dict[str, Any] = {"concurrency_id": "model"}
"""Options of events that use the network: one at a time."""
WAITING = 64
MAPS: dict[str, Any] = {"concurrency_id": "maps", "concurrency_limit": WAITING}
"""Options of asynchronous events that ask for first maps: they wait in `session.map_queue`, without a
thread."""
NETWORK = {"maps", "model"}
"""Kinds whose events change the same panels."""


class OrderedQueue(Queue):
    """Gradio's queue, which knows nothing of the order of events with different handlers: one that takes long
    would put an old state back over what a later one has made of it. Here an event waits for those before it
    of the same visitor

    - that have the same handler or use the network as it does, until they have ended;
    - that change a `gr.State` which it changes, or a text that it writes, until their first answer: a page
      that arrives goes on with its findings for long, and has set its state by then.

    The event that waits longest begins first."""

    def get_events(self) -> tuple[list[Any], bool, str] | None:
        """The event to start, as a list, whether that is a batch, and its kind; None where none can start."""
        kinds = self.event_queue_per_concurrency_id
        ready = []
        for kind in kinds.values():
            if kind.concurrency_limit is None or kind.current_concurrency < kind.concurrency_limit:
                ready += [event for event in kind.queue if not self._waits(event)][:1]
        if not ready:
            return None
        first = min(ready, key=lambda event: event.enqueue_time)
        kinds[first.concurrency_id].queue.remove(first)
        return [first], False, first.concurrency_id

    def send_message(self, event: Any, event_message: Any) -> None:
        if isinstance(event_message, ProcessGeneratingMessage | ProcessCompletedMessage):
            event.answered = True
        super().send_message(event, event_message)

    def _waits(self, event: Any) -> bool:
        known = (
            self.event_ids_to_events.get(one)
            for one in self.pending_event_ids_session.get(event.session_hash, ())
        )
        return any(
            other is not None and other.enqueue_time < event.enqueue_time and _follows(event, other)
            for other in known
        )


def _follows(event: Any, other: Any) -> bool:
    """Whether an event waits for one before it of the same visitor, which has not ended."""
    if event.fn._id == other.fn._id or {event.concurrency_id, other.concurrency_id} <= NETWORK:
        return True
    return not getattr(other, "answered", False) and not _changed(event.fn).isdisjoint(other.fn.outputs)


def _changed(fn: Any) -> set[Any]:
    """The states that a handler takes and gives back, and the texts that it writes."""
    states = {one for one in fn.inputs if isinstance(one, gr.State)}
    return {one for one in fn.outputs if isinstance(one, gr.Textbox) or one in states}
