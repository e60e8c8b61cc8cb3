"""Sharing: who may come in and do what, the public link, and how a server begins and ends."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from dashboard.server.permissions import Access
from dashboard.server.sharing import Sharing
from explain.run.reader import open_run
from models.errors import UserError
from tests.raw import Visitor

ROOT = Path(__file__).parent.parent
LOGIN = ("colleague", "a long password")


@pytest.mark.parametrize(
    ("wishes", "access", "asks"),
    [
        ({}, Access.OWNER, False),
        ({"share": True}, Access.VISITOR, True),
        ({"share": True, "public": True}, Access.VISITOR, False),
        ({"share": True, "allow_compute": True}, Access.OWNER, True),
        ({"share": True, "read_only": True}, Access.READER, True),
        ({"host": "0.0.0.0"}, Access.VISITOR, True),
        ({"root_path": "/vitrine"}, Access.VISITOR, True),
        ({"host": "localhost"}, Access.OWNER, False),
        ({"read_only": True}, Access.READER, False),
    ],
)
def test_who_may_do_what(wishes: dict[str, Any], access: Access, asks: bool) -> None:
    sharing = Sharing(**wishes)
    assert (sharing.access, sharing.login() is not None) == (access, asks)


def test_passwords() -> None:
    first, second = (Sharing(share=True).login() or ("", "") for _ in range(2))
    assert first != second
    assert len(first[1]) >= 12
    assert Sharing(share=True, auth="me:a:b").login() == ("me", "a:b")


@pytest.mark.parametrize(
    "wishes",
    [
        {"auth": "nobody"},
        {"auth": ":x"},
        {"auth": "x:"},
        {"auth": "a:b", "public": True},
        {"allow_compute": True, "read_only": True},
        {"mcp": True, "share": True},
        {"mcp": True, "auth": "a:b"},
        {"mcp": True, "host": "0.0.0.0"},
        {"mcp": True, "root_path": "/x"},
    ],
)
def test_wishes_that_exclude_each_other(wishes: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Sharing(**wishes)


def test_names_of_the_page() -> None:
    named = Sharing(root_path="https://Vitrine.example/x").rules()
    assert (named.names, named.any_host) == ({"vitrine.example"}, False)
    assert not Sharing().rules().any_host
    assert Sharing(root_path="/vitrine").rules().any_host  # a proxy whose name nobody said
    assert Sharing(host="0.0.0.0").rules().any_host


@pytest.mark.parametrize(
    ("host", "open_to_others", "told"),
    [
        ("::", True, "[::]"),
        ("[::]", True, "[::]"),
        ("::1", False, "[::1]"),
        ("127.0.0.1", False, "127.0.0.1"),
    ],
)
def test_addresses_of_ipv6(host: str, open_to_others: bool, told: str) -> None:
    from dashboard.server.serving import options

    sharing = Sharing(host=host)
    assert (sharing.open, options(sharing)["server_name"]) == (open_to_others, told)


def test_a_damaged_run_to_compare_with_is_left_out(demo: Path, tmp_path: Path, capfd: Any) -> None:
    import shutil

    from dashboard.server.serving import _readable

    shutil.copytree(demo, tmp_path / "damaged")
    for part in (tmp_path / "damaged" / "samples").glob("*.parquet"):
        part.write_bytes(b"x")
    assert _readable([tmp_path / "damaged", demo]) == (demo,)
    assert "is left out of Compare" in capfd.readouterr().out
    with pytest.raises(UserError):
        _readable([tmp_path / "none"])


def page_for(access: Access, run: Path, trainings: Path, login: tuple[str, str] | None) -> Iterator[str]:
    from dashboard.app import build
    from dashboard.server.serving import options
    from dashboard.session.context import Context

    page = build(Context(open_run(run), trainings=trainings, access=access))
    _, url, _ = page.launch(prevent_thread_lock=True, **options(login=login))
    yield url
    page.close(verbose=False)


@pytest.fixture(scope="module")
def shared(demo: Path, trainings: Path) -> Iterator[str]:
    yield from page_for(Access.VISITOR, demo, trainings, LOGIN)


@pytest.fixture(scope="module")
def reading(demo: Path, trainings: Path) -> Iterator[str]:
    yield from page_for(Access.READER, demo, trainings, None)


def titles(visitor: Visitor) -> list[str]:
    return [c["props"]["label"] for c in visitor.config["components"] if c["type"] == "tabitem"]


@pytest.mark.slow
def test_without_the_password_nothing_is_seen(shared: str) -> None:
    for path in (
        "config",
        "gradio_api/info",
        "gradio_api/file=/etc/passwd",
        "gradio_api/queue/data?session_hash=x",
    ):
        assert httpx.get(shared + path).status_code == 401
    for path in ("gradio_api/queue/join", "gradio_api/upload", "gradio_api/call/predict"):
        assert httpx.post(shared + path, json={"data": []}).status_code in (401, 422)
    assert "vt-card" not in httpx.get(shared).text
    assert httpx.get(f"{shared}healthz").status_code == 200


@pytest.mark.slow
def test_visitors_look_filter_and_explain(shared: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (120, 90), (90, 120, 30)).save(photo)
    visitor = Visitor(shared, LOGIN)
    assert titles(visitor) == ["Errors", "Inspect", "Layers", "Filters", "Inversion", "Gaze", "Compare"]
    assert visitor.click("vt-table", "class", 2)["success"]
    event = visitor.events("vt-upload", "upload")[0]
    values = {c["id"]: c["props"].get("value") for c in visitor.config["components"]}
    data = [
        {"path": visitor.upload(photo), "meta": {"_type": "gradio.FileData"}},
        *[values[number] for number in event["inputs"][1:]],
    ]
    answer = visitor.ask(event, data)
    assert answer["success"], answer


@pytest.mark.slow
def test_visitors_do_not_write_train_or_survey(shared: str, demo: Path) -> None:
    visitor = Visitor(shared, LOGIN)
    before = {p: p.stat().st_mtime_ns for p in demo.rglob("*")}
    note = visitor.ask(
        visitor.events("vt-gallery", "submit")[0], event={"index": "text 0", "value": "was here"}
    )
    shown = visitor.ask(next(d for d in visitor.config["dependencies"] if d["api_name"] == "show"))
    assert shown["success"], shown
    survey = visitor.ask(visitor.events("vt-depth", "select")[-1], event={"index": "survey", "value": ""})
    start = visitor.events("vt-maximize", "click")[0]
    made = visitor.ask(start)
    optimized = visitor.ask(visitor.events("vt-optimize", "click")[0])
    for answer in (note, survey, made, optimized):
        assert not answer["success"], answer
        assert "--allow-compute" in answer["output"]["error"]
    names = {d["api_name"] for d in visitor.config["dependencies"]}
    assert not names & {"begin", "preview", "export", "report", "charts_zip"}
    assert {p: p.stat().st_mtime_ns for p in demo.rglob("*")} == before
    assert "data-keep" not in json.dumps(visitor.click("vt-table", "cell", "4,6")["output"])


@pytest.mark.slow
def test_readers_read(reading: str) -> None:
    visitor = Visitor(reading)
    assert titles(visitor) == ["Errors", "Inspect", "Gaze", "Compare"]
    opened = visitor.click("vt-gallery", "open", 0)
    assert opened["success"]
    info = httpx.get(f"{reading}gradio_api/info").json()["named_endpoints"]
    assert sorted(info) == ["/errors"]
    assert not [
        c
        for c in visitor.config["components"]
        if c["props"].get("elem_id") == "vt-upload"
        and c["props"].get("visible") is True
        and not _hidden(visitor.config, c["id"])
    ]
    assert not visitor.events("vt-upload", "upload")
    assert not visitor.events("vt-gaze-upload", "upload")


def _hidden(config: dict[str, Any], number: int) -> bool:
    """Whether a component lies in an invisible one."""
    seen = {c["id"]: c["props"].get("visible", True) for c in config["components"]}

    def inside(node: dict[str, Any], hidden: bool) -> bool | None:
        hidden = hidden or seen.get(node["id"], True) is False
        if node["id"] == number:
            return hidden
        return next(
            (found for child in node.get("children") or [] if (found := inside(child, hidden)) is not None),
            None,
        )

    return bool(inside(config["layout"], False))


def test_the_time_of_visitors_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard.session.cancellation import Cancellation

    cancellation, now = Cancellation(limit=120), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    cancellation.begin("a")
    now[0] = 119.0
    cancellation.raise_if_cancelled("a")
    now[0] = 121.0
    with pytest.raises(UserError, match="120 s"):
        cancellation.raise_if_cancelled("a")
    Cancellation().raise_if_cancelled("a")


def test_no_folder_of_this_machine_is_shown_to_visitors(small_run: Any, pictures: Path) -> None:
    from dashboard.session.context import Context

    run = open_run(small_run.folder)
    for access, told in ((Access.OWNER, True), (Access.VISITOR, False)):
        ctx = Context(run, access=access)
        for file in pictures.rglob("*.png"):
            file.unlink()
        with pytest.raises(UserError) as error:
            ctx.subjects.picture({"row": 0})
        assert (str(pictures) in str(error.value)) is told


def test_messages_are_text(reading: str) -> None:
    visitor = Visitor(reading)
    errors = next(d for d in visitor.config["dependencies"] if d["api_name"] == "errors")
    told = visitor.ask(errors, ["class:<img src=x onerror=alert(1)>", 20])["output"]["error"]
    assert "<" not in told
    assert "&lt;img" in told


@pytest.mark.slow
def test_before_login_nothing_is_said_and_nothing_is_done(shared: str) -> None:
    for path in (
        "gradio_api/heartbeat/abc",
        "gradio_api/info",
        "gradio_api/queue/data?session_hash=x",
        "gradio_api/upload_progress?upload_id=x",
    ):
        assert httpx.get(shared + path, timeout=5).status_code == 401
    for path in ("gradio_api/cancel", "gradio_api/reset", "gradio_api/queue/join", "gradio_api/upload"):
        assert (
            httpx.post(shared + path, json={"session_hash": "x", "fn_index": 0, "event_id": "x"}).status_code
            == 401
        )
    front = httpx.get(shared).text
    assert '"auth_required":true' in front
    assert "/explain" not in front
    assert "photo" not in front
    client = Visitor(shared, LOGIN).client
    assert "/explain" in client.get("/").text


@pytest.mark.slow
def test_other_pages_get_no_answer_that_they_may_read(shared: str) -> None:
    foreign = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for host in ("127.0.0.1:7860", "rebound.example", "evil.example"):
        for forwarded in (
            {},
            {"x-forwarded-host": "evil.example"},
            {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"},
        ):
            for method, path in (
                ("OPTIONS", "gradio_api/queue/join"),
                ("GET", "config"),
                ("POST", "login"),
                ("OPTIONS", "login"),
            ):
                answer = httpx.request(method, shared + path, headers={**foreign, "host": host, **forwarded})
                assert answer.status_code == 403
                assert "access-control-allow-origin" not in answer.headers


def test_the_live_cookie_and_the_end_of_a_session(shared: str) -> None:
    one, two = Visitor(shared, LOGIN), Visitor(shared, LOGIN)
    set_cookie = httpx.post(
        f"{shared}login", data={"username": LOGIN[0], "password": LOGIN[1]}
    ).headers.get_list("set-cookie")
    assert len(set_cookie) == 1
    assert {"HttpOnly", "SameSite=Lax"} <= {part.strip() for part in set_cookie[0].split(";")}
    assert one.client.get("/logout").status_code == 405
    assert one.client.post("/logout", headers={"origin": "https://evil.example"}).status_code == 403
    assert one.client.get("/config").status_code == 200
    assert one.client.post("/logout", headers={"origin": shared.rstrip("/")}).status_code == 303
    assert one.client.get("/config").status_code == 401
    assert two.client.get("/config").status_code == 200


def test_made_up_addresses_lock_nobody_out(shared: str) -> None:
    elsewhere = httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2"))
    found = [
        elsewhere.post(
            f"{shared}login",
            data={"username": LOGIN[0], "password": "no"},
            headers={"x-forwarded-for": f"127.0.0.1, 7.7.7.{n}"},
        )
        for n in range(80)
    ]
    assert {answer.status_code for answer in found} == {400, 429}
    Visitor(shared, LOGIN)


@pytest.mark.slow
def test_guesses_at_the_live_form(shared: str) -> None:
    """The last test of this server: it lets nobody in for a minute now."""
    with httpx.Client(verify=False) as client:
        guesses = [
            client.post(f"{shared}login", data={"username": LOGIN[0], "password": f"guess {n}"}).status_code
            for n in range(300)
        ]
    assert set(guesses[:10]) == {400}
    assert set(guesses[10:]) == {429}
    late = httpx.post(f"{shared}login", data={"username": LOGIN[0], "password": LOGIN[1]})
    assert (late.status_code, late.text.startswith("Too many wrong passwords: wait ")) == (429, True)
