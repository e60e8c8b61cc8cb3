"""Events that only read run in parallel, those of one visitor in their order, and none waits for the
network."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

import dashboard.endpoints
import dashboard.tabs.errors
import dashboard.tabs.inspect
from dashboard.server.event_queue import next_events
from dashboard.session.context import Context
from explain.run.reader import open_run
from tests.pages import served
from tests.raw import Visitor

STATE, TEXT = object.__new__(gr.State), object.__new__(gr.Textbox)
CLOCK = count()
ORDERED, FREE = (SimpleNamespace(inputs=[kind], outputs=[]) for kind in (STATE, TEXT))


def test_two_visitors_are_inside_a_handler_at_once(
    demo: Path, trainings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each handler waits for the other visitor's, in the same function: one after the other would time
    out. The network is in use all the while."""

    def together(module: Any, name: str) -> None:
        inside, real = threading.Barrier(2), getattr(module, name)

        def gated(*given: Any) -> Any:
            inside.wait(30)
            return real(*given)

        monkeypatch.setattr(module, name, gated)

    ctx = Context(open_run(demo), trainings=trainings)
    with served(ctx) as url, ThreadPoolExecutor(2) as both, ctx._lock:
        visitors = [Visitor(url) for _ in range(2)]

        def named(visitor: Visitor, name: str) -> dict[str, Any]:
            return next(d for d in visitor.config["dependencies"] if d["api_name"] == name)

        together(dashboard.tabs.errors, "changed")
        clicks = list(both.map(lambda visitor: visitor.click("vt-table", "class", 1), visitors))
        together(dashboard.endpoints, "headline")
        listed = list(both.map(lambda visitor: visitor.ask(named(visitor, "errors")), visitors))
        for visitor in visitors:
            assert visitor.click("vt-gallery", "open", 3)["success"]
        together(dashboard.tabs.inspect, "show_row")
        shown = list(both.map(lambda visitor: visitor.ask(named(visitor, "from_run")), visitors))
        waits = visitors[1].join(named(visitors[1], "choices"))  # for the network, until this block ends
        opened = [visitors[0].ask(event) for event in tabs_that_read(visitors[0])]
    assert waits.status_code == 200
    assert len(opened) == 5
    assert all(answer["success"] for answer in (*clicks, *listed, *shown, *opened))


def tabs_that_read(visitor: Visitor) -> list[dict[str, Any]]:
    """What happens when Compare, Review, New run, Train and Export are opened."""
    wanted = ("compare", "review", "run", "train", "export")
    tabs = [[c["id"], "select"] for c in visitor.config["components"] if c["props"].get("id") in wanted]
    return [d for d in visitor.config["dependencies"] if d["targets"] and list(d["targets"][0]) in tabs]


def queue_of(*kinds: Any, running: Any = ()) -> Any:
    by_id = {kind.concurrency_id: kind for kind in kinds}
    return SimpleNamespace(event_queue_per_concurrency_id=by_id, active_jobs=[[e] for e in running] + [None])


def kind_of(name: str, limit: int | None, current: int, *events: Any) -> Any:
    return SimpleNamespace(
        concurrency_id=name, concurrency_limit=limit, current_concurrency=current, queue=list(events)
    )


def event(visitor: str, kind: str = "read", fn: Any = ORDERED) -> Any:
    """Each is asked for after those before."""
    return SimpleNamespace(session_hash=visitor, concurrency_id=kind, fn=fn, enqueue_time=next(CLOCK))


def test_events_of_one_visitor_begin_in_their_order() -> None:
    """The second begins with the state that the first leaves, so it waits; others do not."""
    running, second, third, other = event("a"), event("a"), event("a"), event("b")
    kind = kind_of("read", 4, 1, second, third, other)
    queue = queue_of(kind, running=[running])
    assert next_events(queue) == ([other], False, "read")
    assert next_events(queue) is None
    queue.active_jobs = [None]
    assert next_events(queue) == ([second], False, "read")
    queue.active_jobs = [[second], None]
    assert next_events(queue) is None
    assert kind.queue == [third]


def test_events_without_a_state_need_no_order_and_limits_hold() -> None:
    running, free = event("a", fn=FREE), event("a", fn=FREE)
    assert next_events(queue_of(kind_of("read", 4, 1, free), running=[running])) == ([free], False, "read")
    assert next_events(queue_of(kind_of("read", 4, 4, event("b")))) is None
    unlimited = event("a")
    queue = queue_of(kind_of("read", None, 9, unlimited), running=[event("a")])
    assert next_events(queue) == ([unlimited], False, "read")
    full, own, others = event("a", "model"), event("a", "maps"), event("b", "maps")
    kinds = kind_of("model", 1, 1, full), kind_of("maps", 64, 0, own, others)
    assert next_events(queue_of(*kinds)) == ([others], False, "maps")  # own changes the same view, later
    other_kind = queue_of(kind_of("model", 1, 0, event("a", "model")), running=[event("a")])
    assert next_events(other_kind) is not None
