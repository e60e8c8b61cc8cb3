"""A folder of runs: what the list says of each, and the pages of several runs in one server."""

import gc
import logging
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from benchmarks.synthetic import Faults, synthetic_run
from dashboard.components.runs_table import chosen, runs_table
from dashboard.server import open_runs
from dashboard.server.served import Served, list_of_runs, runs_in
from dashboard.server.serving import ServeConfig, options
from dashboard.server.sharing import Sharing
from dashboard.session.run_index import ListedRun, RunIndex
from dashboard.tabs.runs_state import SORTS, RunsView, from_query
from explain.analysis.main_figure import MainFigure, main_figure
from explain.run import folder_of_runs
from explain.run.engine import run
from explain.run.folder_of_runs import RunEntry, RunFolder
from explain.run.format import MANIFEST, REQUEST, Manifest, part_files
from explain.run.reader import open_run
from models.errors import UserError
from tests import number_source, test_label_sets
from tests.command import one_line, run_command
from tests.conftest import TOON_RUN
from tests.pages import Events, open_tab
from tests.ports import free_port
from tests.raw import Visitor

LOGIN = ("me", "secret")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, one below a group, one of two classes at chance, and some that cannot be opened."""
    folder = tmp_path_factory.mktemp("served") / "runs"
    shutil.copytree(TOON_RUN, folder / "toon & co")
    synthetic_run(folder / "group" / "small", 60, 3, part_rows=30)
    synthetic_run(folder / "at chance", 60, 2, Faults(flipped=0.5), apart=0.05)
    for name, content in (("broken", "{"), ("newer", '{"schema": 99}')):
        (folder / name).mkdir()
        (folder / name / REQUEST).write_text(content)
    (folder / "begun").mkdir()
    shutil.copy(TOON_RUN / REQUEST, folder / "begun")
    (folder / "no run").mkdir()
    shutil.copytree(TOON_RUN, folder / ".hidden")
    return folder


@contextmanager
def listening(folder: Path, **wishes: Any) -> Iterator[tuple[str, Served]]:
    """The list, live: its address, and what is served."""
    sharing = Sharing(**wishes)
    found = runs_in(folder)
    assert found is not None
    found._every = 0
    config = ServeConfig(folder, sharing)
    served = list_of_runs(found, sharing, options(sharing), config.opened)
    rules = sharing.rules()
    rules.runs = served.runs
    login = sharing.login()
    named = options(sharing, login, rules) | {"server_name": "127.0.0.1"}
    _, url, _ = served.page.launch(prevent_thread_lock=True, server_port=free_port(), **named)
    yield url.rstrip("/"), served
    assert served.runs is not None
    served.runs.close()
    served.page.close(verbose=False)
    served.end()


# --- the list


def test_runs_are_found_and_what_cannot_be_read_says_why(runs: Path) -> None:
    found = {e.name: e for e in RunFolder(runs).entries()}
    assert list(found) == ["at chance", "begun", "broken", "group/small", "newer", "toon & co"]
    assert (found["toon & co"].images, found["toon & co"].status) == (800, "complete")
    assert found["toon & co"].network == "fer_vgg:toon_faces"
    assert found["begun"].status == "partial"
    assert "cannot be read" in found["broken"].problem
    assert found["newer"].problem == "This run has format 99, this Vitrine reads 1 and 2 and 3: run it again."
    for path, name in (("group/small/x", "group/small"), ("toon & co", "toon & co"), ("group", "")):
        folder = RunFolder(runs)
        folder.entries()
        assert folder.named(path) == name


def test_only_what_has_changed_is_read_again(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, kept = list[Path](), folder_of_runs.read_manifest

    def noted(folder: Path) -> Manifest:
        read.append(folder)
        return kept(folder)

    monkeypatch.setattr(folder_of_runs, "read_manifest", noted)
    for name in ("a", "b"):
        shutil.copytree(runs / "group" / "small", tmp_path / name)
    folder = RunFolder(tmp_path, every=0)
    assert [e.name for e in folder.entries()] == ["a", "b"]
    folder.entries()
    assert len(read) == 2
    os.utime(tmp_path / "b" / MANIFEST, (1, 1))
    shutil.copytree(runs / "group" / "small", tmp_path / "c")
    shutil.rmtree(tmp_path / "a")
    assert [e.name for e in folder.entries()] == ["b", "c"]
    assert read[2:] == [tmp_path / "b", tmp_path / "c"]


def test_the_main_figure_is_that_of_a_loop(runs: Path) -> None:
    table = open_run(runs / "toon & co").table
    right = [int(a == b) for a, b in zip(table["label"], table["pred"], strict=True)]
    found = main_figure(runs / "toon & co")
    assert (found.name, found.caution, found.images) == ("accuracy", "", 800)
    assert found.value == pytest.approx(sum(right) / len(right))
    assert found.text == f"{100 * sum(right) / len(right):.1f} %"
    assert main_figure(runs / "at chance").caution == "the network is at chance"


def test_the_main_figure_of_several_labels_and_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    run(
        test_label_sets.answering(),
        test_label_sets.Patches(tmp_path / "data"),
        tmp_path / "labels",
        ["grad_cam"],
    )
    sets = open_run(tmp_path / "labels").label_sets
    assert sets is not None
    truth, prob = sets.truth, sets.prob
    both = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
    expected = np.mean([average_precision_score(truth[:, k], prob[:, k]) for k in both])
    found = main_figure(tmp_path / "labels")
    assert found.name == "mAP"
    assert found.value == pytest.approx(expected)
    source = number_source.Tinted(tmp_path / "tinted")
    run(number_source.answering(source), source, tmp_path / "numbers", ["grad_cam"])
    opened: Any = open_run(tmp_path / "numbers")
    known = ~np.isnan(opened.truth[:, 0]) & ~np.isnan(opened.predicted[:, 0])
    error = np.abs(opened.truth[known, 0] - opened.predicted[known, 0]).mean()
    found = main_figure(tmp_path / "numbers")
    assert found.name == f"MAE of {opened.outputs[0]}"
    assert found.value == pytest.approx(error)


def listed(runs: Path, private: bool = True) -> list[ListedRun]:
    """The list, when all figures are there."""
    index = RunIndex(RunFolder(runs), private)
    found = index.runs()
    while any(one.pending for one in found):
        assert index._working is not None
        index._working.join(60)
        found = index.runs()
    index.close()
    return found


def test_the_list_shows_every_run_and_no_folder(runs: Path) -> None:
    shown = str(runs_table(listed(runs), RunsView(), "/x/runs/"))
    assert 'href="/x/runs/toon%20%26%20co/"' in shown
    assert 'href="/x/runs/group/small/"' in shown
    assert "the network is at chance" in shown
    assert "This run has format 99" in shown
    assert "holds no images yet" in shown
    assert str(runs) not in shown
    assert "hidden" not in shown


def test_figures_come_later_and_one_that_fails_stops_no_other(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(folder: Path) -> MainFigure:
        if folder.name == "small":
            raise RuntimeError
        return MainFigure("accuracy", 0.5, "50.0 %", "", 3)

    monkeypatch.setattr("dashboard.session.run_index.main_figure", fails)
    found = {one.entry.name: one for one in listed(runs)}
    assert found["group/small"].entry.problem == "This run cannot be read (RuntimeError): run it again."
    assert found["toon & co"].figure == MainFigure("accuracy", 0.5, "50.0 %", "", 3)


def entry(name: str, figure: float | None, **more: Any) -> ListedRun:
    made = RunEntry(name, Path(name), (), **more)
    value = None if figure is None else MainFigure("accuracy", figure, str(figure), "", 7)
    return ListedRun(made, value, False)


def test_search_and_order_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    made = [
        entry(
            f"run {i:02d}" if i % 3 else f"Other {i}",
            None if i % 7 == 0 else float(rng.integers(0, 5)) / 5,
            date=f"2026-0{1 + i % 9}-01T00:00:00",
            network=("vgg", "resnet")[i % 2],
            images=None if i % 5 == 0 else i,
        )
        for i in range(40)
    ]
    for sort in SORTS:
        for down in (False, True):
            found = chosen(made, RunsView(find="run VGG", sort=sort, down=down))
            assert {r.entry.name for r in found} == {
                r.entry.name for r in made if r.entry.name.startswith("run") and r.entry.network == "vgg"
            }
            values = [r.figure.value if r.figure else None for r in found] if sort == "figure" else None
            if values is not None:
                known = [v for v in values if v is not None]
                assert values == [*sorted(known, reverse=down), *[None] * (len(values) - len(known))]
            if sort == "name":
                assert found == sorted(found, key=lambda r: r.entry.name, reverse=down)
    assert len(chosen(made, RunsView())) == 40
    assert "No run has &#39;zzz&#39;" in runs_table(made, RunsView(find="zzz"), "/runs/")


def test_a_link_to_the_list_is_read_as_it_was_written() -> None:
    view = RunsView()
    clicks = [("find", "vgg"), ("sort", "figure"), ("sort", "figure"), ("page", "2"), ("sort", "date")]
    for action, value in [*clicks, ("sort", "date"), ("sort", "x"), ("page", "-1"), ("open", "1")]:
        view = view.apply(action, value)
        parts = dict(httpx.QueryParams(view.query()[1:]))
        assert from_query(parts) == view
    assert from_query({"sort": "nothing", "order": "x", "sheet": "x"}) == RunsView()


# --- the pages of several runs


def test_pages_of_several_runs_behind_one_login(runs: Path) -> None:
    wishes = {"host": "0.0.0.0", "auth": ":".join(LOGIN)}
    with listening(runs, **wishes) as (url, served), httpx.Client(base_url=url) as client:
        front = client.get("/runs/group/small/")
        assert (front.status_code, '"auth_required":true' in front.text) == (200, True)
        for unknown in ("no such run", "group/no such run"):
            assert client.get(f"/runs/{unknown}/").status_code == front.status_code
            assert client.get(f"/runs/{unknown}/config").status_code == 401
        assert client.get("/runs/group/small/config").status_code == 401
        assert served.runs is not None
        assert served.runs.names == []  # before the login, nothing is opened
        form = {"username": LOGIN[0], "password": LOGIN[1]}
        client.post("/runs/group/small/login", data=form).raise_for_status()
        config = client.get("/runs/group/small/config").raise_for_status()
        assert client.get("/config").raise_for_status().json()["title"] == "Vitrine"
        assert str(runs) not in config.text
        assert (client.get("/runs/no such run/").status_code, served.runs.names) == (404, ["group/small"])
        away = client.get("/runs/group/small?class=1")
        assert (away.status_code, away.headers["location"]) == (307, "small/?class=1")
        assert client.get("/runs/newer/").text.startswith("This run has format 99")
        assert client.post("/gradio_api/run/x").status_code == 404
        assert client.post("/runs/group/small/gradio_api/run/x").status_code == 404


@pytest.mark.parametrize(
    ("wishes", "headers", "root"),
    [
        ({}, {}, "{url}/runs/group/small"),
        ({"root_path": "/vitrine", "public": True}, {}, "{url}/vitrine/runs/group/small"),
        (
            {"root_path": "https://faces.example/v", "public": True},
            {"x-forwarded-host": "faces.example", "x-forwarded-proto": "https"},
            "https://faces.example/v/runs/group/small",
        ),
    ],
)
def test_addresses_behind_a_proxy(
    wishes: dict[str, Any], headers: dict[str, str], root: str, runs: Path
) -> None:
    with listening(runs, **wishes) as (url, _):
        page = httpx.get(f"{url}/runs/group/small/", headers=headers).raise_for_status().text
        assert f'"root":"{root.format(url=url)}"' in page
        first = httpx.get(f"{url}/", headers=headers).raise_for_status().text
        assert root.format(url="").removeprefix("https://faces.example") + "/" in first


def test_runs_answer_side_by_side_and_are_closed_for_others(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a closed run held in memory is freed; its pages say so, and are opened again by a reload."""
    logged = list[object]()
    monkeypatch.setattr(logging.getLogger("vitrine"), "exception", lambda *said: logged.append(said))
    monkeypatch.setattr(open_runs, "MOST", 2)
    monkeypatch.setattr(open_runs, "IN_USE", 0.0)
    with listening(runs) as (url, served):
        assert served.runs is not None
        held = list[Any]()
        kept: Callable[..., Any] = served.runs._make

        def make(one: RunEntry) -> Any:
            made = kept(one)
            held.append(weakref.ref(made[0].run.table))
            return made

        monkeypatch.setattr(served.runs, "_make", make)
        small, toon = (Visitor(f"{url}/runs/{name}") for name in ("group/small", "toon & co"))
        for visitor, name in ((small, "class 1"), (toon, "happiness"), (small, "class 2")):
            answer = visitor.click("vt-gallery", "class", 1 if name != "class 2" else 2)
            assert answer["success"]
            assert name in str(answer["output"])
        assert served.runs.names == ["toon & co", "group/small"]
        path = f"/gradio_api/heartbeat/{toon.session}"
        with toon.client.stream("GET", path) as heartbeat:
            assert next(lines := heartbeat.iter_lines()) == "data: ALIVE"
            chance = Visitor(f"{url}/runs/at chance")
            assert not any(lines)  # it ends with the run
        with toon.client.stream("GET", path) as heartbeat:
            assert next(heartbeat.iter_lines()) == "data: ALIVE"
        assert served.runs.names == ["group/small", "at chance"]
        assert chance.config["components"]
        for thread in threading.enumerate():
            if thread.name == open_runs.FREEING:
                thread.join(60)
        gc.collect()
        assert [ref() is None for ref in held] == [False, True, False]
        said = toon.click("vt-gallery", "class", 1)["output"]
        assert (said["status"], said["error"]) == (503, open_runs.CLOSED)
        assert toon.client.get("/").status_code == 200
        assert served.runs.names == ["at chance", "toon & co"]
    assert not logged


def test_no_run_is_closed_while_it_is_used_and_images_are_counted(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_runs, "MOST_IMAGES", 100)
    now = [0.0]
    with listening(runs) as (url, served), httpx.Client(base_url=url) as client:
        assert served.runs is not None
        monkeypatch.setattr(served.runs, "_clock", lambda: now[0])
        assert client.get("/runs/group/small/").status_code == 200
        busy = client.get("/runs/at chance/")
        assert busy.status_code == 503
        assert busy.text.startswith("1 run is open and in use")
        now[0] = open_runs.IN_USE
        served.runs._open["group/small"].under_way = 1
        assert client.get("/runs/at chance/").status_code == 503
        served.runs._open["group/small"].under_way = 0
        assert client.get("/runs/at chance/").status_code == 200
        assert served.runs.names == ["at chance"]


def test_a_run_that_appears_or_changes_is_opened_as_it_is(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(runs / "group" / "small", folder / "first")
    with listening(folder) as (url, served), httpx.Client(base_url=url) as client:
        assert served.runs is not None
        assert client.get("/runs/later/").status_code == 404
        shutil.copytree(runs / "group" / "small", folder / "below" / "later")
        assert client.get("/runs/below/later/").status_code == 200
        before = client.get("/runs/below/later/config").json()["app_id"]
        assert client.get("/runs/below/later/config").json()["app_id"] == before
        part_files(folder / "below" / "later")[1].unlink()
        (folder / "below" / "later" / MANIFEST).unlink()
        after = client.get("/runs/below/later/config")
        assert after.json()["app_id"] != before
        assert "partial" in after.text
        (folder / "below" / "later").rename(tmp_path / "gone")
        assert client.get("/runs/below/later/").status_code == 503
        assert client.get("/runs/first/").status_code == 200


def test_from_the_list_to_a_run_and_back(runs: Path, browser: Any) -> None:
    with listening(runs) as (url, _):
        page, wrong = browser.new_page(), list[str]()
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: wrong.append(str(e)))
        events = Events(page)
        page.goto(url)
        page.locator("#vt-runs tbody tr").nth(5).wait_for()
        page.fill("#vt-runs input", "toon_faces CO")
        page.press("#vt-runs input", "Enter")
        page.locator("#vt-runs tbody tr").nth(1).wait_for(state="detached")
        page.click("#vt-runs tbody a")
        page.wait_for_selector(".vt-card")
        assert page.url == f"{url}/runs/toon%20%26%20co/"
        page.click("#vt-table tr[data-action=class] >> nth=0")
        page.wait_for_selector("#vt-gallery h3")
        open_tab(page, "Inspect")
        events.wait()
        page.click("text=all runs")
        page.locator("#vt-runs tbody tr").nth(5).wait_for()
        assert page.url == f"{url}/"
        page.close()
    assert not wrong


# --- the command


def test_options_of_one_run_are_refused(runs: Path) -> None:
    config = ServeConfig(runs)
    config.require_no_option_of_one_run()
    for given in (
        {"label": "x"},
        {"against": (runs,)},
        {"measure_trust": True},
        {"sharing": Sharing(mcp=True)},
    ):
        with pytest.raises(UserError, match="is of one run"):
            replace(config, **given).require_no_option_of_one_run()  # type: ignore[arg-type]


def test_a_folder_is_named_once_and_must_hold_a_run(runs: Path, tmp_path: Path) -> None:
    assert runs_in(runs / "toon & co") is None
    assert runs_in(tmp_path) is None
    assert "give only one of them" in one_line(run_command("serve", str(runs), "--run", str(tmp_path)))
    assert "is no run folder" in one_line(run_command("serve", str(tmp_path)))
