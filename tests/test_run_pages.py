"""The pages of several runs in one server."""

import gc
import logging
import shutil
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashboard.server import open_runs
from dashboard.server.served import runs_in
from dashboard.server.serving import ServeConfig
from dashboard.server.sharing import Sharing
from explain.run.folder_of_runs import RunEntry
from explain.run.format import MANIFEST, part_files
from models.errors import UserError
from tests.axe import Axe
from tests.command import one_line, run_command
from tests.pages import PHONE, Events, fits_wide_and_narrow, open_tab, resized
from tests.raw import Visitor
from tests.run_lists import LOGIN, listening, made


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("served") / "runs")


# --- the pages of several runs


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def rest() -> None:
    """Wait until no run is read in the background."""
    for thread in threading.enumerate():
        if thread.name in ("analysis", "warm-up", "figures"):
            thread.join(60)


@pytest.mark.slow
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
        rest()
        part_files(folder / "below" / "later")[1].unlink()
        (folder / "below" / "later" / MANIFEST).unlink()
        after = client.get("/runs/below/later/config")
        assert after.json()["app_id"] != before
        assert "partial" in after.text
        rest()
        (folder / "below" / "later").rename(tmp_path / "gone")
        assert client.get("/runs/below/later/").status_code == 503
        assert client.get("/runs/first/").status_code == 200


@pytest.mark.slow
def test_from_the_list_to_a_run_and_back(runs: Path, browser: Any) -> None:
    with listening(runs) as (url, _):
        page, wrong = browser.new_page(), list[str]()
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: wrong.append(str(e)))
        events = Events(page)
        page.goto(url)
        page.locator("#vt-runs tbody tr").nth(5).wait_for()
        assert fits_wide_and_narrow(page)
        assert axe_in_both_themes(page) == []
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


@pytest.mark.slow
def test_a_page_that_is_left_before_its_answers_shows_no_lost_connection(runs: Path, browser: Any) -> None:
    with listening(runs) as (url, _):
        page, wrong = browser.new_page(), list[str]()
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        events = Events(page)
        page.goto(f"{url}/runs/toon%20%26%20co/")
        page.wait_for_selector(".vt-card")
        events.wait()
        page.route("**/queue/data*", lambda _: None)  # the answers never come
        with page.expect_request("**/queue/data*"):
            page.click("#vt-table tr[data-action=class] >> nth=0")
        page.click("text=all runs")
        page.locator("#vt-runs tbody tr").nth(5).wait_for(state="attached")
        page.close()
    assert not wrong


def axe_in_both_themes(page: Any) -> list[str]:
    """The violations, wide and on a phone, light and dark."""
    page.add_style_tag(content="* { transition: none !important }")
    rules, found = Axe(page), list[str]()
    for width in (1280, PHONE):
        resized(page, width)
        found += rules.view()
        page.click("[data-theme-switch]")
        found += rules.contrast()
    resized(page, 1280)
    return found


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


@pytest.mark.slow
def test_a_folder_is_named_once_and_must_hold_a_run(runs: Path, tmp_path: Path) -> None:
    assert runs_in(runs / "toon & co") is None
    assert runs_in(tmp_path) is None
    assert "give only one of them" in one_line(run_command("serve", str(runs), "--run", str(tmp_path)))
    assert "is no run folder" in one_line(run_command("serve", str(tmp_path)))
