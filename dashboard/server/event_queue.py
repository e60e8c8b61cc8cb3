"""How many events of a kind run at once, and in which order those of one visitor do."""

from typing import Any

import gradio as gr

READERS = 4
"""Events of a kind that only read which run at once; more would wait for each other in Python."""
READS: dict[str, Any] = {"concurrency_limit": READERS}
"""Options of events that only read what the run holds, whose handlers several threads may be in."""
MODEL: dict[str, Any] = {"concurrency_id": "model"}
"""Options of events that use the network: one at a time."""
WAITING = 64
MAPS: dict[str, Any] = {"concurrency_id": "maps", "concurrency_limit": WAITING}
"""Options of asynchronous events that ask for first maps: they wait in `session.map_queue`, without a
thread."""
SAME_ORDER = {"maps": "model"}
"""Kinds whose events are also in order with those of another kind: they change the same view."""


def next_events(queue: Any) -> tuple[list[Any], bool, str] | None:
    """As Gradio's `Queue.get_events`, which this replaces: the event to start, as a list, whether that is a
    batch, and its kind. The one that waits longest is first. Of kinds with a limit, an event with a
    `gr.State` waits until those before of the same visitor have ended: it begins with the state that they
    leave."""
    kinds = queue.event_queue_per_concurrency_id
    running = (event for job in queue.active_jobs if job is not None for event in job)
    busy = {_turn(event) for event in running if _has_state(event.fn)}
    waiting = (event for kind in kinds.values() for event in kind.queue)
    for event in sorted(waiting, key=lambda event: event.enqueue_time):
        kind = kinds[event.concurrency_id]
        limit, ordered = kind.concurrency_limit, _has_state(event.fn)
        if limit is not None and ordered and _turn(event) in busy:
            continue
        if limit is None or kind.current_concurrency < limit:
            kind.queue.remove(event)
            return [event], False, event.concurrency_id
        if ordered:
            busy.add(_turn(event))
    return None


def _turn(event: Any) -> tuple[str, str]:
    """Events that have this in common are in order."""
    kind = event.concurrency_id
    return SAME_ORDER.get(kind, kind), event.session_hash


def _has_state(fn: Any) -> bool:
    return any(isinstance(component, gr.State) for component in (*fn.inputs, *fn.outputs))
