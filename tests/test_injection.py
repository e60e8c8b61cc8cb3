"""Text of others stays text: components with hostile text, without a browser; and in Chromium a run, a gaze
folder and trainings whose texts all are hostile, in every tab, the report and the export."""

import ast
import importlib
import inspect
import json
import pkgutil
import re
import shutil
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from dashboard import components
from dashboard.components.clickable import clickable
from dashboard.components.markup import display_text, html
from explain.run.reader import open_run
from tests.conftest import TOON_RUN, WAIT
from tests.markup import elements, runs_nothing
from tests.pages import Events, open_tab, served
from tests.test_hostile_folder import planted, texts

if TYPE_CHECKING:
    from playwright import sync_api as playwright

    from dashboard.session.context import Context

DASHBOARD = Path(components.__file__).parent.parent
PAYLOADS = (
    "<img src=x onerror=window.hit=1>",
    '"><svg onload=window.hit=1>',
    "'><script>window.hit=1</script>",
    "t{{7*7}}t ${window.hit=1} t${7*7}t",
    "javascript:window.hit=1",
    "</textarea></select></title><iframe src=javascript:top.hit=1>",
    "\x01\x0b\x1f\x7f<b onclick=window.hit=1>",
    "\u202e<a href=javascript:window.hit=1>\u2066",
)
EVIL = " ".join(PAYLOADS)
FILE_NAMES = [p.replace("/", "").replace("\x00", "") for p in PAYLOADS]

# -- components ---------------------------------------------------------------------------------------


class Unsupported(Exception):
    """An argument that is no plain data."""


def sample(hint: Any) -> Any:
    """Hostile data of a type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    plain = {
        str: EVIL,
        int: 1,
        float: 0.5,
        bool: True,
        object: EVIL,
        Any: EVIL,
        Markup: Markup("<p></p>"),
        np.ndarray: np.ones((4, 4), np.float32),
        Image.Image: Image.new("RGB", (8, 8)),
        bytes: jpeg(),
    }
    if hint in plain:
        return plain[hint]
    if origin is typing.Literal:
        return inner[0]
    if origin in (typing.Union, types.UnionType):
        return sample(next(one for one in inner if one is not type(None)))
    if origin is np.ndarray:
        return plain[np.ndarray]
    if origin is tuple:
        return tuple(sample(one if one is not ... else inner[0]) for one in inner)
    if origin is not None and issubclass(origin, typing.get_origin(typing.Mapping[str, str]) or dict):
        return {sample(inner[0]): sample(inner[1])}
    if origin is not None and inner and hasattr(origin, "__iter__"):
        return [sample(inner[0]), sample(inner[0])]
    if is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{field.name: sample(hints[field.name]) for field in fields(hint)})
    raise Unsupported(str(hint))


def jpeg() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    return buffer.getvalue()


def of_plain_data() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Public functions of components that take plain data, each as a call with hostile data."""
    for module in pkgutil.walk_packages(components.__path__, f"{components.__name__}."):
        members = vars(importlib.import_module(module.name))
        for name, function in members.items():
            if name.startswith("_") or not inspect.isfunction(function) or function.__module__ != module.name:
                continue
            try:
                hints = typing.get_type_hints(function)
                parameters = list(inspect.signature(function).parameters.values())
                arguments = {p.name: sample(hints[p.name]) for p in parameters if p.kind != p.VAR_POSITIONAL}
            except (Unsupported, NameError, TypeError, KeyError):
                continue
            if name not in ("html", "script", "clickable"):  # html takes a template: a literal
                positional = [p.name for p in parameters if p.kind == p.POSITIONAL_ONLY]
                first = [arguments.pop(n) for n in positional]
                yield f"{module.name}.{name}", lambda f=function, a=first, k=arguments: f(*a, **k)


def markup_in(made: Any) -> Iterator[str]:
    """Every piece of markup in what a component returns; plain text is no markup."""
    if isinstance(made, Markup):
        yield made if made.startswith("<") else f"<p {made}>" if "data-action" in made[:12] else f"<p>{made}"
    elif isinstance(made, list | tuple):
        for one in made:
            yield from markup_in(one)


def test_components_make_nothing_of_texts() -> None:
    made = {}
    for name, call in of_plain_data():
        with suppress(ValueError, KeyError, OSError, TypeError):  # texts or tables where numbers belong
            made[name] = call()
    assert len(made) >= 25, sorted(made)
    for name, returned in made.items():
        for text in markup_in(returned):
            assert runs_nothing(text), name
            for tag, attributes in elements(text):
                assert tag not in ("script", "iframe", "textarea") or "data-keep" in attributes, name
                assert attributes.get("src", "").startswith(("data:", "")), name
                assert attributes.get("src") != "x", name
                assert "hit" not in " ".join(attributes), name
            assert "\u202e" not in text or "value=" in text or name.endswith("verbatim"), name


def test_plain_text_is_shown_as_text() -> None:
    """Also where a handler returns it: nothing reaches Gradio that is no Markup."""
    made = clickable("<b>", "x")
    assert made.value == "&lt;b&gt;"
    assert made.postprocess("<i>") == "&lt;i&gt;"
    assert made.postprocess(html("<i>{}</i>", "<")) == "<i>&lt;</i>"
    assert made.postprocess(None) is None
    assert display_text("\u202e<") == "\ufffd&lt;"
    assert html("<b title='{}'>{:.1f}</b>", "'", 0.25) == "<b title='&#39;'>0.2</b>"


@pytest.mark.slow
def test_templates_are_literals() -> None:
    """Markup is made of literals: no f-string has a tag in it, and no template comes from a variable."""
    made = {"Markup(color_filters())", "Markup(str", "Markup()"}
    for path in DASHBOARD.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = "".join(p.value for p in node.values if isinstance(p, ast.Constant))
                assert not re.search(r"<(?!extra)[a-z]+[ >]", parts), f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("html", "Markup"):
                first = node.args[0] if node.args else None
                assert isinstance(first, ast.Constant) or ast.unparse(node).split(".")[0] in made, (
                    f"{path.name}:{node.lineno}"
                )


# -- a browser ------------------------------------------------------------------------------------------


def hostile(k: int) -> str:
    return f"{FILE_NAMES[k % len(FILE_NAMES)]} {k}"


def plant_json(path: Path, kept: tuple[str, ...]) -> None:
    """Hostile text behind every text of a JSON file, but those below a key in `kept`, which name things."""
    value = json.loads(path.read_text())
    for place in list(texts(value)):
        if not set(kept) & {str(key) for key in place}:
            value = planted(value, place)
    path.write_text(json.dumps(value))


def plant_run(folder: Path) -> None:
    """The demo's run with hostile names of everything; its maps and numbers stay."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from explain.run.people.notes import add

    for name in ("analysis.json", "analysis.parquet", "contrasts.parquet"):
        (folder / name).unlink()  # computed again, from the hostile names
    names = {"neutral": 0, "happiness": 1, "sadness": 2, "surprise": 3, "fear": 4, "disgust": 5, "anger": 6}
    # a dot would be read as a part of a column
    dotless = [hostile(k).replace("window.", "").replace("top.", "") for k in range(4)]
    regions = dict(zip(("brows", "eyes", "nose", "mouth"), dotless, strict=True))
    request = json.loads((folder / "request.json").read_text())
    request["classes"] = [hostile(names.get(name, 7)) for name in request["classes"]]
    request["regions"] = [regions[name] for name in request["regions"]]
    request["data"] += PAYLOADS[0]
    request["model"] += PAYLOADS[1]
    (folder / "request.json").write_text(json.dumps(request))
    plant_json(folder / "manifest.json", ("status", "preprocessing", "finished"))
    for part in sorted((folder / "samples").glob("*.parquet")):
        table = pq.read_table(part)
        columns = table.column_names
        for old, new in regions.items():
            columns = [re.sub(rf"(in_|^area\.){old}$", lambda m, n=new: m[1] + n, c) for c in columns]
        ids = pa.array([f"{hostile(k)}/{k}{part.stem}.png" for k in range(len(table))])
        table = table.rename_columns(columns)
        pq.write_table(table.set_column(table.column_names.index("id"), "id", ids), part)
    run = open_run(folder)
    about = pa.table(
        {"id": run.table["id"].tolist(), PAYLOADS[0]: [hostile(k // 200) for k in range(len(run.table))]}
    )
    pq.write_table(about, folder / "metadata.parquet")
    image = str(run.ok[run.ok["label"] != run.ok["pred"]]["id"].iloc[0])
    for field, value in (("tags", list(PAYLOADS[:2])), ("label", run.classes[0]), ("text", EVIL)):
        add(folder, image, field, value, by=EVIL, classes=run.classes)


def plant_gaze(folder: Path) -> None:
    import pandas as pd

    plant_json(folder / "gaze.json", ("name", "kind", "kept"))
    for file in ("images.parquet", "scores.parquet"):
        table = pd.read_parquet(folder / file)
        table["id"] += EVIL
        if "why" in table:
            table["why"] = EVIL
        table.to_parquet(folder / file)


def plant_training(path: Path, seed: int) -> None:
    """A finished training whose file has hostile texts."""
    from safetensors.torch import load_file, save_file

    from models.checkpoints import describe
    from tests.test_trained import fake

    fake(path, seed)
    about = describe(path)
    for place in (("architecture",), ("training", "recipe"), ("data", "name")):
        about = planted(about, place)
    save_file(load_file(path), path, {"vitrine": json.dumps(about)})


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> "Context":
    from dashboard.session.context import Context
    from explain.run.model import as_in_run
    from models.registry import load
    from tests.test_gaze_tab import write_gaze_folder

    root = tmp_path_factory.mktemp("hostile")
    folder, other = root / FILE_NAMES[0], root / FILE_NAMES[1]
    shutil.copytree(TOON_RUN, folder)
    plant_run(folder)
    shutil.copytree(folder, other)
    (root / "images").mkdir()
    gaze = write_gaze_folder(root / "images")
    plant_gaze(gaze)
    for seed, name in enumerate(FILE_NAMES[:3]):
        plant_training(root / "trainings" / f"{name}.safetensors", seed)
    run = open_run(folder)
    network = as_in_run(load("fer_vgg:toon_faces"), run.manifest)
    return Context(run, trainings=root / "trainings", against=(other,), gaze=gaze, network=network)


class Watch:
    """A page of Chromium, and what must not happen in it."""

    def __init__(self, page: "playwright.Page"):
        self.page, self.events, self.wrong = page, Events(page), list[str]()
        page.set_default_timeout(WAIT)
        page.on("dialog", lambda dialog: (self.wrong.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)

    def check(self, where: str) -> None:
        """Nothing ran, and no element was made of a text."""
        assert self.page.evaluate("window.hit") is None, where
        for made in ("img[src=x]", "svg[onload]", "[onerror]", "[onclick*=hit]", "[src^=javascript]"):
            assert self.page.locator(made).count() == 0, (where, made)
        assert self.page.locator("[href^=javascript]").count() == 0, where
        text = self.page.evaluate("document.body.innerText")
        assert "t49t" not in text, where
        assert not self.wrong, (where, self.wrong)


@pytest.fixture
def watch(browser: "playwright.Browser") -> Iterator[Watch]:
    opened = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Watch(opened.new_page())
    opened.close()


@pytest.mark.slow
@pytest.mark.browser
def test_every_tab_shows_texts_as_texts(context: "Context", watch: Watch) -> None:
    from dashboard.tabs.registry import open_to

    page = watch.page
    with served(context) as url:
        page.goto(url, wait_until="domcontentloaded")
        page.wait_for_selector("#vt-gallery .vt-card")
        page.wait_for_selector("#vt-what :is(.vt-proposal, .vt-warning, .vt-empty:has-text('Checked'))")
        assert PAYLOADS[0] in page.locator("#vt-confusion").inner_text()
        watch.check("Errors")
        for button in page.locator(".vt-lenses button").all():
            button.click()
            watch.events.wait()
            watch.check(str(button.get_attribute("data-value")))
        page.locator(".vt-lenses button").first.click()
        page.locator(".vt-cell.vt-miss:not(:text-is('0'))").first.click()
        page.wait_for_selector(".vt-pairs .vt-card")
        watch.check("a confusion")
        page.locator(".vt-pairs .vt-card").first.click()
        page.wait_for_selector("#vt-facts .vt-known")
        for tab in open_to(context.access):
            open_tab(page, tab.TITLE)
            watch.events.wait()
            assert page.locator("[role=tabpanel]:visible .vt-panel:visible").count(), tab.TITLE
            watch.check(tab.TITLE)
        # without a tab, Errors and Inspect both read a link
        for query in ("?class={0}&by={0}", "?tab=gaze&image={0}", "?group=tag:{0}&image={0}"):
            other = Watch(page.context.new_page())  # leaving a page would end its requests with an error
            other.page.goto(url + query.format(quote(EVIL)), wait_until="domcontentloaded")
            other.page.wait_for_selector(".vt-panel:visible")
            other.events.wait()
            other.check(query)
            other.page.close()


@pytest.mark.slow
@pytest.mark.browser
def test_report_and_export_show_texts_as_texts(context: "Context", watch: Watch, tmp_path: Path) -> None:
    from explain.export.gallery import ExportOptions, export
    from explain.export.report import report

    (tmp_path / "report.html").write_text(report(context.findings), encoding="utf-8")
    export(context.findings, tmp_path / "out", ExportOptions(originals=False, raw=False))
    for file in (tmp_path / "report.html", tmp_path / "out" / "index.html"):
        watch.page.goto(file.as_uri())
        assert PAYLOADS[0] in watch.page.evaluate("document.body.innerText")
        assert "t{{7*7}}t" in watch.page.evaluate("document.body.innerText")
        watch.check(file.name)
