"""Clusters of a run of many images block no page: they are computed once for all who wait for them, and put
over nothing that a visitor has chosen since."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from dashboard.components.errors import cluster_view
from dashboard.session.background import Background
from dashboard.session.context import Context
from dashboard.tabs.errors import ErrorsTab
from explain.analysis.clusters import Cluster, Clustering
from explain.analysis.findings import Findings
from explain.analysis.proposals import evidence
from explain.run.reader import RunData
from models.errors import Cancelled, UserError
from tests.pages import served
from tests.raw import Visitor

TO_COME = "being computed. They are shown here"


class Slow:
    """Clusters of a class that are computed when the test releases them."""

    def __init__(self) -> None:
        self.inside, self.released = threading.Event(), threading.Event()
        self.begun, self.error = list[Any](), ""

    def __call__(self, run: RunData, rows: np.ndarray, *given: Any, **options: Any) -> Clustering:
        self.begun.append(rows)
        self.inside.set()
        assert self.released.wait(60)
        if self.error:
            raise UserError(self.error)
        maps = np.ones(run.manifest.request.map_shape)
        return Clustering([Cluster(rows, 0, maps), Cluster(rows, 0, maps)], 0.625, 0.25, 0)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    """Of a run that counts as one of many images, and of maps that say something."""
    monkeypatch.setattr(cluster_view, "AT_ONCE", 3)
    monkeypatch.setattr(cluster_view, "not_said_of", lambda *given: "")
    found = Slow()
    monkeypatch.setattr(evidence, "cluster_maps", found)
    yield found
    found.released.set()


def pieces(answer: dict[str, Any]) -> str:
    assert answer["success"], answer
    return json.dumps(answer["output"]["data"])


def chain(visitor: Visitor) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """The state that says that clusters are to come, what follows its change, and what follows that."""
    held = visitor.events("vt-table", "select")[0]["outputs"]
    events = visitor.config["dependencies"]
    waits = next(d for d in events if any(t[1] == "change" and t[0] in held for t in d["targets"]))
    return waits["targets"][0][0], waits, next(d for d in events if d["trigger_after"] == waits["id"])


@pytest.mark.slow
def test_a_click_on_clusters_waits_for_nothing(small_run: RunData, slow: Slow) -> None:
    with served(Context(small_run)) as url:
        one, other, third = (Visitor(url) for _ in range(3))
        missing, waits, show = chain(one)
        for visitor in (one, other):
            answer = visitor.click("vt-gallery", "lens", "clusters")
            assert TO_COME in pieces(answer)
            assert missing in answer["output"]["changed_state_ids"]
            visitor.join(waits).raise_for_status()
        assert slow.inside.wait(30)
        assert missing not in third.click("vt-confusion", "norm", "row")["output"]["changed_state_ids"]
        chosen = other.click("vt-gallery", "lens", "images")
        assert "vt-card" in pieces(chosen)
        assert TO_COME in pieces(one.ask(show))  # the page that asks early learns that they are to come
        slow.released.set()
        for visitor in (one, other):
            assert visitor.ask(waits)["success"]
        assert "silhouette 0.62" in pieces(one.ask(show))
        later = other.ask(show)
        assert "vt-gallery" not in pieces(later)
        assert "silhouette" not in pieces(later)
        assert "silhouette 0.62" in pieces(third.click("vt-gallery", "lens", "clusters"))
    assert len(slow.begun) == 1


@pytest.mark.parametrize("link", [{"lens": "clusters"}, {"group": "cluster:0:1:METHOD:label"}])
def test_a_link_to_clusters_arrives_before_them(link: dict[str, str], small_run: RunData, slow: Slow) -> None:
    method = small_run.manifest.request.methods[0]
    request: Any = SimpleNamespace(query_params={k: v.replace("METHOD", method) for k, v in link.items()})
    with gr.Blocks():
        tab = ErrorsTab(Context(small_run))

    async def arrive() -> list[Any]:
        async for values in tab.arrive(request):  # type: ignore[attr-defined]
            return list(values)
        raise AssertionError

    shown = asyncio.run(arrive())
    keys = shown[0]
    assert TO_COME in str(shown[5])
    assert isinstance(shown[len(tab._areas)], int)
    slow.released.set()
    asyncio.run(tab.work_out_clusters(keys))
    view, drawn, missing = tab.show_clusters(keys)
    assert [view, missing] == [gr.skip(), gr.skip()]
    assert TO_COME not in drawn
    assert "of the cluster" in drawn or "cluster 2" in drawn
    assert len(slow.begun) == 1


def test_too_few_maps_are_said_and_read_once(small_run: RunData, slow: Slow) -> None:
    slow.error = "2 of 9 images have a map"
    slow.released.set()
    with gr.Blocks():
        tab = ErrorsTab(Context(small_run))
    keys = asdict(replace(tab._first, lens="clusters"))
    for _ in range(2):
        asyncio.run(tab.work_out_clusters(keys))
        assert slow.error in tab.show_clusters(keys)[1]
    assert len(slow.begun) == 1


def test_few_images_are_clustered_by_the_click(
    small_run: RunData, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_view, "AT_ONCE", len(small_run.table))
    slow.released.set()
    with gr.Blocks():
        tab = ErrorsTab(Context(small_run))
    event: Any = SimpleNamespace(index="lens", value="clusters")
    shown = tab.act(asdict(tab._first), event)
    assert "silhouette 0.62" in shown[5]
    assert shown[len(tab._areas)] == gr.skip()  # nothing else is asked for
    assert len(slow.begun) == 1


def test_clusters_at_a_threshold_are_known_with_those_of_the_run(tmp_path: Any, slow: Slow) -> None:
    from benchmarks.synthetic import synthetic_run
    from explain.run.reader import open_run

    slow.released.set()
    synthetic_run(tmp_path / "run", 40, 2)
    findings = Findings(open_run(tmp_path / "run"))
    at = findings.at(0.3, 1)
    for target in ("label", "pred"):
        assert not at.has_clusters(1, "layer_cam", target)
        at.clusters(1, "layer_cam", target)
        assert at.has_clusters(1, "layer_cam", target)
    assert findings.has_clusters(1, "layer_cam", "label")
    assert not findings.has_clusters(1, "layer_cam", "pred")  # a threshold changes which class is predicted


def test_who_waits_gets_what_another_computes() -> None:
    background, made, released = Background(), list[str](), threading.Event()

    def compute() -> None:
        assert released.wait(30)
        made.append("x")

    async def leaves() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(background.done("x", compute), 0)

    async def all_wait() -> None:
        waiting = [asyncio.ensure_future(background.done("x", compute)) for _ in range(20)]
        await asyncio.sleep(0)
        await leaves()
        released.set()
        await asyncio.gather(*waiting)

    asyncio.run(all_wait())
    assert made == ["x"]
    asyncio.run(background.done("x", compute))  # it is not kept here
    assert made == ["x", "x"]


def test_an_error_reaches_who_waits_and_the_next_one_tries_again() -> None:
    background, made = Background(), list[int]()

    def fails() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        asyncio.run(background.done("x", fails))
    asyncio.run(background.done("x", lambda: made.append(1)))
    assert made == [1]


def test_the_end_of_a_run_ends_what_is_computed() -> None:
    background, inside = Background(), threading.Event()

    def steps() -> None:
        while True:
            inside.set()
            background.raise_if_ended()

    async def both() -> list[Any]:
        waiting = [asyncio.ensure_future(background.done(key, steps)) for key in ("x", "queued")]
        await asyncio.to_thread(inside.wait, 30)
        await asyncio.to_thread(background.end)
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(error) for error in asyncio.run(both())] == [Cancelled, Cancelled]
    with pytest.raises(Cancelled):
        asyncio.run(background.done("x", steps))


# --- in a browser, whose loop runs until the end of the module


@pytest.fixture
def server(small_run: RunData, slow: Slow) -> Iterator[str]:
    with served(Context(small_run)) as url:
        yield url


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("page", [(1280, False, "?lens=clusters")], indirect=True)
def test_clusters_follow_in_the_page_and_replace_nothing_else(
    page: Any, arrived: list[Any], slow: Slow
) -> None:
    to_come = f"#vt-gallery .vt-empty:has-text('{TO_COME}')"
    page.wait_for_selector(to_come)
    page.click(".vt-lenses :text('Images')")
    page.wait_for_selector("#vt-gallery .vt-card")
    page.click(".vt-lenses :text('Clusters')")
    page.wait_for_selector(to_come)
    slow.released.set()
    page.wait_for_selector("#vt-gallery small:has-text('silhouette')")
    slow.released.clear()
    page.click("#vt-gallery [data-action=target][data-value=pred]")
    page.wait_for_selector(to_come)
    page.click(".vt-lenses :text('Images')")
    page.wait_for_selector("#vt-gallery .vt-card")
    slow.released.set()
    arrived[0].wait()
    assert page.locator("#vt-gallery :text('silhouette')").count() == 0
    assert page.locator("#vt-gallery .vt-card").count() > 0
    assert len(slow.begun) == 2
