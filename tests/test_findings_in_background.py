"""Findings that are being computed block no page: visitors wait without a thread, for one computation."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.components.errors.audit import _rows
from dashboard.session import context
from dashboard.session.context import Context
from dashboard.tabs import errors
from dashboard.tabs.errors import WAITS, ErrorsTab, changed
from dashboard.tabs.errors_state import first_view
from explain.analysis.clusters import cluster_maps
from explain.analysis.few_parts import of_few_parts
from explain.analysis.findings import Findings, analyze
from explain.analysis.mean_maps import mean_maps
from explain.analysis.numbers.proposals import NumberFindings
from explain.analysis.once import Once
from explain.analysis.proposals.evidence import MEANS
from explain.run.reader import RunData, open_run
from tests.number_runs import made_up
from tests.pages import served
from tests.raw import Visitor

VISITORS = 20
ARRIVING = 16  # as many as the server has threads


@pytest.mark.slow
def test_visitors_wait_for_one_computation_and_hold_no_thread(
    small_run: RunData, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, begun = threading.Event(), list[Findings]()

    def slow(findings: Findings) -> Iterator[float]:
        begun.append(findings)
        yield 0.25
        assert released.wait(60)
        yield from analyze(findings)

    monkeypatch.setattr(context, "analyze", slow)
    monkeypatch.setattr(Findings, "inconclusive", "")
    monkeypatch.setattr(errors, "EVERY", 0.01)
    with gr.Blocks():
        tab = ErrorsTab(Context(small_run))
    request: Any = SimpleNamespace(query_params={})
    percent, proposals = [], []

    async def visit() -> None:
        async for values in tab.arrive(request):  # type: ignore[attr-defined]
            shown = str(values[2])
            if "25 %" in shown:
                percent.append(shown)
                if len(percent) == VISITORS:  # all of them have seen the page, and none has the findings
                    released.set()
            elif "What to" in shown and "Checking" not in shown:
                proposals.append(shown)

    async def all_visit() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        await asyncio.gather(*(visit() for _ in range(VISITORS)))

    asyncio.run(all_visit())
    assert (len(percent), len(proposals), len(begun)) == (VISITORS, VISITORS, 1)


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [False, True])
def test_visitors_who_arrive_together_use_the_page_before_its_findings_are_there(
    numbers: bool, small_run: RunData, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, all_clicked, begun = threading.Event(), threading.Barrier(ARRIVING, timeout=60), list[object]()
    kept = NumberFindings.compute

    def slow(findings: Any) -> Iterator[float]:
        begun.append(findings)
        assert released.wait(60)
        yield from kept(findings) if numbers else analyze(findings)

    monkeypatch.setattr(*((NumberFindings, "compute") if numbers else (context, "analyze")), slow)
    monkeypatch.setattr(Findings, "inconclusive", "")
    run = made_up(40, ("age",), seed=11) if numbers else small_run
    run.__dict__["metadata"] = None
    group = "over" if numbers else "errors"

    def arrive(visitor: Visitor) -> tuple[str, str]:
        return _arrive_and_click(visitor, group, all_clicked, released)

    with served(Context(run)) as url, ThreadPoolExecutor(ARRIVING) as pool:
        shown = list(pool.map(lambda _: arrive(Visitor(url)), range(ARRIVING)))
    assert len(begun) == 1
    for clicked, found in shown:
        assert "vt-card" in clicked
        assert "What to" in found
        assert "Checking labels" not in found


def _arrive_and_click(
    visitor: Visitor, group: str, all_clicked: threading.Barrier, released: threading.Event
) -> tuple[str, str]:
    """What a click shows while findings are computed, then what to try. Findings are computed when all
    visitors have been answered."""
    what, answers = visitor.piece("vt-what"), dict[str, str]()
    loads = (d for d in visitor.config["dependencies"] if any(t[1] == "load" for t in d["targets"]))
    arrived = visitor.join(next(d for d in loads if what in d["outputs"])).json()["event_id"]
    click = visitor.events("vt-gallery", "select")[0]
    with visitor.client.stream(
        "GET", "/gradio_api/queue/data", params={"session_hash": visitor.session}
    ) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            event, kind = message.get("event_id"), message.get("msg")
            if event == arrived and kind == "process_generating" and not answers:
                assert not released.is_set()
                wanted = {"index": "group", "value": group}
                answers[visitor.join(click, event=wanted).json()["event_id"]] = ""
            elif event in answers and kind == "process_completed":
                answers[event] = json.dumps(message["output"])
                all_clicked.wait()
                released.set()
            if event == arrived and kind in ("process_generating", "process_completed"):
                found = json.dumps(message["output"])
                if released.is_set() and "What to" in found and "Checking" not in found:
                    return next(iter(answers.values())), found
    raise AssertionError("the page has no findings")


def test_a_list_that_follows_from_findings_waits_for_them(
    small_run: RunData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "AT_ONCE", 3)
    monkeypatch.setattr(Findings, "checked", property(lambda self: pytest.fail("computed by a click")))
    findings, view = Findings(small_run), first_view(small_run)
    for action, value in (("group", "labels"), ("lens", "attention"), ("lens", "slices"), ("lens", "means")):
        assert str(WAITS.split("'")[0]) in str(
            changed(findings, view, view.apply(action, value, small_run))[4]
        )
    for action, value in (("group", "errors"), ("lens", "notes"), ("class", "0")):
        assert "being computed" not in str(changed(findings, view, view.apply(action, value, small_run))[4])


def test_what_several_threads_ask_for_is_computed_once() -> None:
    once, kept, made, all_there = Once(), dict[str, int](), list[int](), threading.Barrier(8)

    def compute() -> int:
        made.append(1)
        return 7

    def ask(_: int) -> int:
        all_there.wait(30)
        return once.get(kept, "x", compute)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [7] * 8
    assert len(made) == 1


def test_after_an_error_the_next_one_computes() -> None:
    once, kept = Once(), dict[str, int]()

    def fails() -> int:
        raise ValueError

    with pytest.raises(ValueError):
        once.get(kept, "x", fails)
    assert once.get(kept, "x", lambda: once.get(kept, "y", lambda: 2) + 1) == 3


def test_kept_means_and_suspicion_are_the_computed_ones(
    small_run: RunData, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Findings(small_run)
    list(analyze(before, clicks=False))
    again = Findings(open_run(small_run.folder))
    for name in ("mean_maps", "wrong_probability", "checked", "fit"):
        monkeypatch.setattr(
            f"explain.analysis.proposals.evidence.{name}", lambda *args: pytest.fail("computed again")
        )
    np.testing.assert_array_equal(again.suspicion, before.suspicion)
    for method in small_run.manifest.request.methods:
        for target in ("pred", "label"):
            found, expected = again.means(method, target), mean_maps(small_run, method, target)
            np.testing.assert_allclose(found.maps, expected.maps)
            np.testing.assert_array_equal(found.count, expected.count)
    monkeypatch.undo()
    for damaged in (b"", (small_run.folder / MEANS).read_bytes()[:-40]):
        (small_run.folder / MEANS).write_bytes(damaged)
        found = Findings(open_run(small_run.folder)).means(method, target)
        np.testing.assert_allclose(found.maps, expected.maps)


def test_mean_maps_are_those_of_a_loop(small_run: RunData) -> None:
    method = small_run.manifest.request.methods[0]
    found, ok = mean_maps(small_run, method, "pred"), small_run.ok
    for k in range(len(small_run.classes)):
        for right in (0, 1):
            maps = []
            for row in ok.index[(ok["label"] == k) & (ok["correct"] == bool(right))]:
                one = np.clip(small_run.maps(method, "pred", [int(row)])[0], 0, None)
                if one.sum() > 0:
                    maps.append(one / one.sum())
            assert found.count[k, right] == len(maps)
            if maps:
                np.testing.assert_allclose(found.maps[k, right], np.mean(maps, 0), rtol=1e-5)


@given(
    part=st.lists(st.integers(0, 9), min_size=1, max_size=60),
    most=st.integers(1, 60),
    seed=st.integers(0, 99),
)
def test_a_sample_is_of_whole_parts(part: list[int], most: int, seed: int) -> None:
    table = pd.DataFrame({"part": sorted(part)})
    run: Any = SimpleNamespace(table=table)
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(rng.random(len(part)) < 0.7)
    found = of_few_parts(run, rows, most)
    if len(rows) <= most:
        np.testing.assert_array_equal(found, rows)
        return
    chosen = set(table["part"].iloc[found])
    assert found.tolist() == [row for row in rows if table["part"].iloc[row] in chosen]
    every = len(set(table["part"].iloc[rows]))
    assert len(chosen) == max(1, round(every * most / len(rows)))


def test_clusters_of_a_sample_say_so(small_run: RunData, monkeypatch: pytest.MonkeyPatch) -> None:
    method, rows = "layer_cam", small_run.ok.index.to_numpy()
    monkeypatch.setattr("explain.analysis.clusters.FEWEST", 1)
    whole = cluster_maps(small_run, rows, method)
    assert (whole.images, whole.sampled) == (len(rows), "")
    monkeypatch.setattr("explain.analysis.clusters.of_few_parts", lambda run, rows, most: rows[:9])
    assert cluster_maps(small_run, rows, method).sampled == f"a sample of 9 of {len(rows)} images"


@pytest.mark.parametrize("by", ["id", "label", "pred", "loss", "entropy"])
@pytest.mark.parametrize("down", [True, False])
@pytest.mark.parametrize("limits", [("", ""), ("0.5", "2")])
def test_rows_of_the_audit_are_those_of_a_loop(
    by: str, down: bool, limits: tuple[str, str], small_run: RunData
) -> None:
    view = replace(first_view(small_run), by=by, down=down)
    if limits[0] and by not in ("id", "label", "pred"):
        view = replace(view, low=limits[0], high=limits[1])
    name = f"map.{view.method}.pred.entropy" if by == "entropy" else by
    for label in (None, 1):
        of_class = small_run.ok if label is None else small_run.ok[small_run.ok["label"] == label]
        items = []
        for row, item in of_class.iterrows():
            value = small_run.classes[int(item[name])] if by in ("label", "pred") else item[name]
            if view.low and not float(view.low) <= value <= float(view.high):
                continue
            items.append((value, row))
        known = sorted((i for i in items if i[0] == i[0]), key=lambda i: i[0], reverse=down)
        expected = [row for _, row in [*known, *(i for i in items if i[0] != i[0])]]
        assert _rows(small_run, replace(view, label=label), "pred").tolist() == expected
