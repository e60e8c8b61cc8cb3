"""Events that only read run in parallel, those of one visitor in their order, and none waits for the
network."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.server_messages import ProcessGeneratingMessage

import dashboard.endpoints
import dashboard.tabs.errors
import dashboard.tabs.inspect
from dashboard.server.event_queue import OrderedQueue
from dashboard.session.context import Context
from dashboard.tabs.errors import ErrorsTab
from dashboard.tabs.errors_state import View
from explain.run.reader import open_run
from tests.pages import served
from tests.raw import Visitor

STATE, TEXT, PANEL = (object.__new__(kind) for kind in (gr.State, gr.Textbox, gr.HTML))
CLOCK, NUMBERS = count(), count()


@pytest.mark.slow
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


def handler(inputs: tuple[Any, ...] = (), outputs: tuple[Any, ...] = ()) -> Any:
    return SimpleNamespace(_id=next(NUMBERS), inputs=[*inputs], outputs=[*outputs])


READ, ACT, OTHER_ACT = handler((STATE,), (PANEL,)), handler((STATE,), (STATE,)), handler((STATE,), (STATE,))
ARRIVE, TYPED, LOAD = handler((), (STATE, PANEL)), handler((), (TEXT,)), handler((), (TEXT,))


def event(visitor: str, fn: Any = ACT, kind: str = "read") -> Any:
    """Each is asked for after those before."""
    number = next(CLOCK)
    return SimpleNamespace(
        session_hash=visitor, concurrency_id=kind, fn=fn, enqueue_time=number, _id=number, alive=False
    )


def queue_of(*events: Any, running: tuple[Any, ...] = (), **limits: int | None) -> OrderedQueue:
    """`limits`: of the kinds."""
    queue = object.__new__(OrderedQueue)
    queue.event_queue_per_concurrency_id = {
        name: SimpleNamespace(
            concurrency_id=name,
            concurrency_limit=limit,
            current_concurrency=sum(one.concurrency_id == name for one in running),
            queue=[one for one in events if one.concurrency_id == name],
        )
        for name, limit in limits.items()
    }
    queue.event_ids_to_events = {one._id: one for one in (*running, *events)}
    queue.pending_event_ids_session = {
        one.session_hash: {e._id for e in (*running, *events) if e.session_hash == one.session_hash}
        for one in (*running, *events)
    }
    return queue


def started(queue: OrderedQueue) -> Any:
    found = queue.get_events()
    if found is None:
        return None
    events, batch, kind = found
    assert not batch
    assert kind == events[0].concurrency_id
    assert events[0] not in queue.event_queue_per_concurrency_id[kind].queue
    return events[0]


def end(queue: OrderedQueue, one: Any) -> None:
    del queue.event_ids_to_events[one._id]


def test_events_of_one_visitor_begin_in_their_order() -> None:
    """The second begins with the state that the first leaves, so it waits; others do not."""
    running, second, third, other = event("a"), event("a"), event("a"), event("b")
    queue = queue_of(second, third, other, running=(running,), read=4)
    assert started(queue) is other
    assert started(queue) is None
    end(queue, running)
    assert started(queue) is second
    assert started(queue) is None
    end(queue, second)
    assert started(queue) is third


def test_a_state_is_set_in_order_by_different_handlers() -> None:
    """Of whatever kind they are; once the first has answered, it may go on."""
    arrival, click, reading = event("a", ARRIVE, "load"), event("a", ACT), event("a", READ)
    queue = queue_of(click, reading, running=(arrival,), load=None, read=4)
    assert started(queue) is reading  # it changes nothing
    assert started(queue) is None
    queue.send_message(arrival, ProcessGeneratingMessage(output={}, success=True))
    assert started(queue) is click
    other = event("a", OTHER_ACT)
    assert started(queue_of(other, running=(click,), read=4)) is None
    typed, load = event("a", TYPED), event("a", LOAD)
    assert (
        started(queue_of(load, running=(typed,), read=4)) is None
    )  # the text of the first would come after that of the second
    stranger, waiting, later = event("b", READ, "full"), event("a", ACT, "full"), event("a", OTHER_ACT)
    queue = queue_of(waiting, later, running=(stranger,), full=1, read=4)
    assert started(queue) is None  # the one that waits for its turn is the first, all the same


def test_the_network_is_asked_in_order_and_limits_hold() -> None:
    model = event("a", READ, "model")
    own, others = event("a", handler(), "maps"), event("b", handler(), "maps")
    queue = queue_of(own, others, running=(model,), model=1, maps=64)
    assert started(queue) is others  # its own would change the same panels
    queue.send_message(model, ProcessGeneratingMessage(output={}, success=True))
    assert started(queue) is None
    end(queue, model)
    assert started(queue) is own
    busy = tuple(event("c", READ) for _ in range(4))
    assert started(queue_of(event("b"), running=busy, read=4)) is None
    oldest, newer = event("a", READ, "read"), event("b", READ, "other")
    assert started(queue_of(newer, oldest, read=1, other=1)) is oldest


@pytest.mark.slow
def test_a_slow_arrival_does_not_undo_what_follows(
    demo: Path, trainings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class that was chosen meanwhile stays chosen."""
    clicked, change = threading.Event(), dashboard.tabs.errors.changed

    def slow(tab: ErrorsTab, parameters: dict[str, str]) -> tuple[View, list[Any]]:
        if clicked.wait(0.5):  # the click has overtaken the arrival, which ends after it
            time.sleep(0.5)
        return tab._first, [asdict(tab._first), *tab._pieces(tab._first)]

    def noted(*given: Any) -> Any:
        clicked.set()
        return change(*given)

    monkeypatch.setattr(ErrorsTab, "_arrived", slow)
    monkeypatch.setattr(dashboard.tabs.errors, "changed", noted)
    with served(Context(open_run(demo), trainings=trainings)) as url:
        visitor = Visitor(url)
        sets = visitor.piece("vt-gallery")
        arrival = next(
            d for d in visitor.config["dependencies"] if sets in d["outputs"] and d["targets"][0][1] == "load"
        )
        assert visitor.join(arrival).status_code == 200
        click = {"index": "class", "value": "1"}
        assert all(
            one["success"] for one in visitor.answers(visitor.events("vt-table", "select")[0], click, 2)
        )
        shown = visitor.click("vt-gallery", "sort", "least confident")
    assert clicked.is_set()
    assert f"{open_run(demo).classes[1]}, misclassified" in str(shown["output"]["data"])
