"""What programs ask for: by gradio_client as docs/sharing.md shows it, and as tools of an agent."""

import asyncio
import base64
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from explain.methods.live import MapRequest, open_session
from explain.run.model import network_of
from explain.run.reader import open_run
from models.errors import Cancelled
from tests.markup import runs_nothing

ROOT = Path(__file__).parent.parent
TOON_RUN = ROOT / "tests" / "toon_run"


@pytest.fixture(scope="module")
def client(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = Client(server, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))
    yield client
    client.close()


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first picture of the demo, twice its size."""
    run, path = open_run(ROOT / "tests" / "toon_run"), tmp_path_factory.mktemp("photo") / "face.png"
    picture = run.thumbnail_image(run.ok.index[0])
    picture.resize((2 * picture.width, 2 * picture.height)).save(path)
    return path


@pytest.mark.slow
def test_predict_and_explain_are_the_network_s(client: Client, photo: Path) -> None:
    session = open_session(
        network_of(open_run(ROOT / "tests" / "toon_run").manifest), Image.open(photo).convert("RGB")
    )
    answer = client.predict(photo=handle_file(photo), api_name="/predict")
    assert [c["probability"] for c in answer["classes"]] == pytest.approx(
        np.sort(session.prob)[::-1][:5], abs=1e-4
    )
    told, picture = client.predict(
        photo=handle_file(photo), method="layer_cam", target="fear", api_name="/explain"
    )
    raw = session.map(MapRequest("layer_cam", target=list(session.classifier.classes).index("fear"))).raw
    np.testing.assert_allclose(told["map"], raw, rtol=1e-3, atol=1e-4 * np.abs(raw).max())
    assert (told["target"], told["method"]) == ("fear", "layer_cam")
    assert Image.open(picture).size == session.image.size


def test_errors_are_those_of_the_run(client: Client) -> None:
    run = open_run(ROOT / "tests" / "toon_run")
    answer = client.predict(select="pair:fear>surprise", limit=3, api_name="/errors")
    fear, surprise = run.classes.index("fear"), run.classes.index("surprise")
    assert answer["number"] == run.evaluation.confusion[fear, surprise]
    assert {(image["true"], image["called"]) for image in answer["images"]} == {("fear", "surprise")}
    confidence = [image["confidence"] for image in answer["images"]]
    assert confidence == sorted(confidence, reverse=True)
    every = client.predict(api_name="/errors")
    assert every["number"] == len(run.ok) - int(np.trace(run.evaluation.confusion))
    assert len(every["images"]) == 20


@pytest.mark.slow
def test_clusters_are_heard_and_have_a_limit(client: Client) -> None:
    """The one list that is worked out when it is asked for."""
    from explain.analysis.findings import Findings
    from explain.analysis.groups import prepare

    key = f"cluster:0:0:{open_run(TOON_RUN).manifest.request.methods[0]}:label"
    answer = client.predict(select=key, limit=3, api_name="/errors")
    assert 0 < len(answer["images"]) <= 3
    findings, asked = Findings(open_run(TOON_RUN)), []

    def cancelled() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        prepare(findings, key, cancelled)
    prepare(findings, "cluster:99:0:none:label", cancelled)  # nothing that is known: no work
    assert len(asked) == 2


@pytest.mark.slow
def test_export_and_report(client: Client) -> None:
    archive = zipfile.ZipFile(client.predict(select="class:anger", per_class=1, api_name="/export"))
    assert {"index.html", "manifest.json", "export.csv", "sheet.png"} <= set(archive.namelist())
    assert runs_nothing(Path(client.predict(api_name="/report")).read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "label"),
    [
        ({"method": "nope", "api_name": "/explain"}, "No method 'nope'"),
        ({"target": "nobody", "api_name": "/explain"}, "No class 'nobody'"),
        ({"layer": "nowhere", "api_name": "/explain"}, "nowhere"),
    ],
)
def test_mistakes_are_one_line(asked: dict[str, Any], label: str, client: Client, photo: Path) -> None:
    with pytest.raises(AppError, match=label) as error:
        client.predict(photo=handle_file(photo), **asked)
    assert "\n" not in str(error.value)
    with pytest.raises(AppError, match="Nothing is called"):
        client.predict(select="nonsense", api_name="/errors")


@pytest.mark.slow
def test_the_documented_example(
    server: str,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is run as it stands, with another address."""
    example = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "sharing.md").read_text(), re.DOTALL)[0]
    assert "http://127.0.0.1:7860" in example
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    exec(compile(example.replace("http://127.0.0.1:7860", server), "docs/sharing.md", "exec"), {})
    assert re.search(r"\w+ 0\.\d+", capsys.readouterr().out)


@pytest.fixture(scope="module")
def agents(demo: Path) -> Iterator[str]:
    pytest.importorskip("mcp")
    from dashboard.app import build
    from dashboard.server.serving import options
    from dashboard.server.sharing import Sharing
    from dashboard.session.context import Context

    page = build(Context(open_run(demo)))
    _, url, _ = page.launch(prevent_thread_lock=True, **options(Sharing(mcp=True)))
    assert not page.mcp_error
    yield url
    page.close(verbose=False)


@pytest.mark.slow
def test_tools_for_agents(agents: str, photo: Path) -> None:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def told(progress: float, total: float | None, message: str | None) -> None:
        pass

    async def use() -> dict[str, Any]:
        async with (
            streamablehttp_client(f"{agents}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            found: dict[str, Any] = {
                "tools": {tool.name: tool for tool in (await session.list_tools()).tools}
            }
            found["errors"] = await session.call_tool("errors", {"select": "pair:fear>surprise", "limit": 1})
            data = "data:image/png;base64," + base64.b64encode(photo.read_bytes()).decode()
            found["explain"] = await session.call_tool(
                "explain", {"photo": data, "method": "grad_cam"}, progress_callback=told
            )
            for name in ("https://example.org/x.png", f"{agents}gradio_api/file={photo}", str(photo)):
                found.setdefault("foreign", []).append(await session.call_tool("predict", {"photo": name}))
            return found

    found = asyncio.run(use())
    assert sorted(found["tools"]) == ["errors", "explain", "export", "predict", "report"]
    assert "pair:TRUE>PREDICTED" in json.dumps(found["tools"]["errors"].inputSchema)
    assert "'true': 'fear', 'called': 'surprise'" in found["errors"].content[0].text
    assert {"image", "text"} == {item.type for item in found["explain"].content}
    assert all(answer.isError for answer in found["foreign"])


def test_no_tools_where_nobody_asked_for_them(server: str) -> None:
    import httpx

    assert httpx.post(f"{server}gradio_api/mcp/", json={}).status_code == 404
