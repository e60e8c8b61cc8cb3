"""What a visitor hears of the machine behind the page: file names alone, no other runs; and texts of any
length."""

import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.server.permissions import Access
from explain.run.reader import open_run
from tests.raw import Visitor

ROOT = Path(__file__).parent.parent


def test_messages_name_files_without_their_folders() -> None:
    from dashboard.page import names_alone

    for message, told in (
        (
            "'/home/ann/secret project/net.safetensors' cannot be read: choose another.",
            "'net.safetensors' cannot be read: choose another.",
        ),
        (
            "'runs/secret/part-00001.parquet' cannot be read (x): remove it.",
            "'part-00001.parquet' cannot be read (x): remove it.",
        ),
        ("No file at /home/ann/secret/net.pt, nor C:\\Users\\ann\\net.pt.", "No file at net.pt, nor net.pt."),
        (
            "Make one: python launch.py invert train --out /home/ann/secret/decoders.",
            "Make one: python launch.py invert train --out decoders.",
        ),
        ("No class 'n/a': near are cat/dog, and/or.", "No class 'n/a': near are cat/dog, and/or."),
        ("100 / 7 images, 3/4 right, grad_cam/pred", "100 / 7 images, 3/4 right, grad_cam/pred"),
    ):
        assert names_alone(message) == told, message


@pytest.fixture(scope="module")
def beside(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A page for visitors, of a run that lies beside others and whose weights are gone; and the folder of all
    of it."""
    import shutil

    from dashboard.server.logs import BOUNDED, bound_logs
    from dashboard.session.context import Context
    from tests.pages import served

    folder = tmp_path_factory.mktemp("private-place")
    for name in ("shared", "unreleased-product", "second"):
        shutil.copytree(demo, folder / name)
    (folder / "second" / "part-00000.parquet").write_bytes(b"damaged")
    ctx = Context(
        open_run(folder / "shared"),
        weights=folder / "gone.safetensors",
        trainings=folder / "trainings",
        access=Access.VISITOR,
        against=(folder / "second",),
    )
    before = {name: list(logging.getLogger(name).filters) for name in BOUNDED}
    bound_logs()  # as `serve` does
    with served(ctx) as url:
        yield url, folder
    for name, filters in before.items():
        logging.getLogger(name).filters[:] = filters


@pytest.mark.slow
def test_visitors_hear_of_no_other_run_and_no_folder(
    beside: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.components.errors.gallery.CLASSES_A_PAGE", 1)  # all are written alike
    url, folder = beside
    visitor, told = Visitor(url), []
    for dependency in visitor.config["dependencies"]:
        for event in (
            {"index": "other", "value": "0"},
            {"index": "open", "value": "0"},
            {"index": "x", "value": "../../x"},
        ):
            told.append(json.dumps(visitor.ask(dependency, event=event)))
    told += [visitor.client.get("/").text, json.dumps(visitor.config)]
    told.append(visitor.client.get("/gradio_api/info").text)
    everything = "\n".join(told)
    assert "second" in everything  # what was named is offered
    assert "gone.safetensors" in everything
    for secret in ("unreleased-product", "private-place", str(folder), str(ROOT), str(Path.home()) + "/"):
        assert secret not in everything, secret


@pytest.mark.parametrize("access", list(Access))
def test_runs_to_compare_with(access: Access, beside: tuple[str, Path]) -> None:
    from dashboard.session.context import Context

    folder = beside[1]
    ctx = Context(open_run(folder / "shared"), access=access, against=(folder / "second",))
    assert [p.name for p in ctx.others] == (
        ["second", "unreleased-product"] if access is Access.OWNER else ["second"]
    )


def test_messages_are_text(beside: tuple[str, Path]) -> None:
    visitor = Visitor(beside[0])
    errors = next(d for d in visitor.config["dependencies"] if d["api_name"] == "errors")
    message = visitor.ask(errors, ["class:\u202e\x1b<b>", 20])["output"]["error"]
    assert "\ufffd\ufffd&lt;b&gt;" in message
    assert not set(message) & {"\u202e", "\x1b", "<"}


@pytest.mark.slow
def test_texts_of_any_length_are_answered_at_once(
    beside: tuple[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    visitor = Visitor(beside[0])
    errors = next(d for d in visitor.config["dependencies"] if d["api_name"] == "errors")
    began = time.monotonic()
    for text in (
        "pair:" + ">" * 100_000,
        "class:" + "x" * 100_000,
        "x" * 900_000,
        "pair:" + "a>" * 499,
        "class:" + "x" * 900,
        [[]] * 100_000,
    ):
        answer = visitor.ask(errors, [text, 20])
        assert not answer["success"]
        assert len(answer["output"]["error"]) < 300
    assert time.monotonic() - began < 20
    long = "\x1b[31m" + "x" * 900_000
    for data, message in (
        ([long], "characters"),
        (["x", 20, 1], "Got 3 inputs; this takes 2"),
        (["x"], "'x'"),
    ):
        assert message in visitor.ask(errors, data)["output"]["error"]
    hidden = next(
        d for d in visitor.config["dependencies"] if len(d["inputs"]) > 1 and d["api_visibility"] != "public"
    )
    assert "Got 0 inputs" in visitor.ask(hidden, [])["output"]["error"]
    assert visitor.ask(errors, [])["success"]  # the values that the page itself begins with
    written = "".join(capfd.readouterr())
    assert len(written) < 20_000
    assert "\x1b" not in written


@pytest.mark.slow
def test_odd_inputs_cost_neither_time_nor_log(
    beside: tuple[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """Names of parts, many texts, a value that is no choice: Gradio repeats what it was sent in its
    message."""
    visitor = Visitor(beside[0])
    capfd.readouterr()
    began = time.monotonic()
    odd = [
        {"'" + "/x" * 40_000: 1},
        {str(n): "y" * 9_900 for n in range(90)},
        "z" * 9_900,
        "\x1b[31m'/a" * 900,
        [["'/"] * 900],
    ]
    too_long, asking = odd[:2], [d for d in visitor.config["dependencies"] if d["inputs"]]
    for number, dependency in enumerate(asking):
        for value in odd:
            if value in too_long and number > 2:  # refused before it is known which event they are for
                continue
            for place in range(min(2, len(dependency["inputs"]))):
                data = [value if at == place else None for at in range(len(dependency["inputs"]))]
                answer = visitor.ask(dependency, data)
                assert len(json.dumps(answer.get("output") or "")) < 400_000
        asked = time.monotonic()
        assert visitor.client.get("/healthz").status_code == 200
        assert time.monotonic() - asked < 2
    written = "".join(capfd.readouterr())
    assert time.monotonic() - began < 120
    assert len(written) < 600_000
    assert "\x1b" not in written


def test_long_messages_are_cut_before_they_are_read() -> None:
    from dashboard.page import MESSAGE, Page

    page = Page()
    page.hidden = ("/home/ann",)
    began = time.monotonic()
    assert len(page._text("'" + "/x" * 500_000)) < MESSAGE + 10
    assert time.monotonic() - began < 0.5


@pytest.mark.slow
def test_folders_of_images_that_a_table_names_by_absolute_paths(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    import pyarrow as pa
    import pyarrow.parquet as pq

    from dashboard.session.context import Context
    from tests.pages import served

    monkeypatch.setattr("dashboard.components.errors.gallery.CLASSES_A_PAGE", 1)  # all are written alike
    folder = tmp_path / "run"
    shutil.copytree(demo, folder)
    for part in sorted((folder / "samples").glob("*.parquet")):
        table = pq.read_table(part)
        ids = pa.array([f"/srv/hidden-place/faces/{name}" for name in table["id"].to_pylist()])
        pq.write_table(table.set_column(table.schema.get_field_index("id"), "id", ids), part)
    for derived in ("analysis.json", "survey.json", "metadata.parquet"):
        (folder / derived).unlink(missing_ok=True)
    with served(Context(open_run(folder), access=Access.VISITOR, trainings=tmp_path)) as url:
        visitor = Visitor(url)
        told = [visitor.client.get("/").text, json.dumps(visitor.config)]
        for dependency in visitor.config["dependencies"]:
            for event in ({"index": "class", "value": "2"}, {"index": "open", "value": "3"}):
                told.append(json.dumps(visitor.ask(dependency, event=event)))
    everything = "\n".join(told)
    places = [everything[m.start() - 80 : m.end() + 40] for m in re.finditer("hidden-place", everything)]
    assert not places, places[:3]
    assert ".png" in everything


@pytest.mark.slow
def test_a_page_that_is_used_for_long_keeps_no_more_than_its_components(demo: Path, tmp_path: Path) -> None:
    from dashboard.app import build
    from dashboard.server.serving import options
    from dashboard.session.context import Context

    page = build(Context(open_run(demo), trainings=tmp_path))
    _, url, _ = page.launch(prevent_thread_lock=True, **options())
    try:
        visitor = Visitor(url)
        opened = next(d for d in visitor.config["dependencies"] if d["api_name"] == "from_run")
        sizes = []
        for n in range(6):
            assert visitor.click("vt-gallery", "open", n)["success"]
            assert visitor.ask(opened)["success"]
            assert visitor.click("vt-table", "class", n)["success"]
            state = page.app.state_holder[visitor.session]
            sizes.append((len(state.blocks_config.blocks), len(state.config_values)))
        assert len(set(sizes)) == 1, sizes
    finally:
        page.close(verbose=False)
