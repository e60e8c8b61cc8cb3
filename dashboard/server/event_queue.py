"""How many events of a kind run at once, and in which order those of one visitor do."""

import random
from typing import Any

import gradio as gr

READERS = 4
"""Events of a kind that only read which run at once; more would wait for each other in Python."""
READS: dict[str, Any] = {"concurrency_limit": READERS}
"""Options of events that only read what the run holds, whose handlers several threads may be in."""
MODEL: dict[str, Any] = {"concurrency_id": "model"}
"""Options of events that use the network: one at a time."""


def next_events(queue: Any) -> tuple[list[Any], bool, str] | None:
    """As Gradio's `Queue.get_events`, which this replaces: the events to start, whether they are one batch,
    and their kind. Of kinds that run in parallel, an event with a `gr.State` waits until the one before of
    the same visitor has ended: it begins with the state that the other leaves."""
    kinds = list(queue.event_queue_per_concurrency_id.values())
    random.shuffle(kinds)
    for kind in kinds:
        limit = kind.concurrency_limit
        if limit is not None and kind.current_concurrency >= limit:
            continue
        busy = set() if limit is None else _visitors(queue, kind.concurrency_id)
        for event in kind.queue:
            if event.session_hash not in busy or not _has_state(event.fn):
                kind.queue.remove(event)
                return [event], False, kind.concurrency_id
    return None


def _visitors(queue: Any, kind: str) -> set[str]:
    """Those of whom an event of this kind runs."""
    running = (event for job in queue.active_jobs if job is not None for event in job)
    return {event.session_hash for event in running if event.concurrency_id == kind and _has_state(event.fn)}


def _has_state(fn: Any) -> bool:
    return any(isinstance(component, gr.State) for component in (*fn.inputs, *fn.outputs))
