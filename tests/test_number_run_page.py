"""The page, the commands and the endpoints of a run of numbers that a network made."""

import itertools
import json
import re
import shlex
import shutil
from dataclasses import asdict
from html import unescape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dashboard.app import build
from dashboard.number_endpoints import NumberEndpoints
from dashboard.session.context import Context
from dashboard.tabs.inspect import show_row
from dashboard.tabs.inspect_maps import live_maps
from dashboard.tabs.inspect_state import InspectView
from dashboard.tabs.label_link import label_of_link
from dashboard.tabs.layers import LayersTab, Pieces
from dashboard.tabs.layers_state import LayersView
from dashboard.tabs.numbers import pieces
from dashboard.tabs.numbers_state import first_view
from explain.analysis.duplicates import similar_pictures
from explain.analysis.numbers.proposals import number_findings
from explain.methods.compute import compute_maps
from explain.methods.request import MapRequest
from explain.render import difference_png, signed
from explain.run.engine import run
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import open_run
from explain.run.thumbnails import open_thumbnail
from models.classifier import Classifier
from models.errors import UserError
from tests.command import launch, one_line, run_command
from tests.number_source import OUTPUTS, Tinted, answering, network
from tests.steps import last


@pytest.fixture(scope="module")
def tinted(tmp_path_factory: pytest.TempPathFactory) -> Tinted:
    return Tinted(tmp_path_factory.mktemp("data") / "tinted")


@pytest.fixture(scope="module")
def net(tinted: Tinted) -> Classifier:
    return answering(tinted)


@pytest.fixture(scope="module")
def opened(net: Classifier, tinted: Tinted, tmp_path_factory: pytest.TempPathFactory) -> NumbersRun:
    out = tmp_path_factory.mktemp("runs") / "run"
    run(net, tinted, out, ["grad_cam", "layer_cam"], batch_size=8)
    found = open_run(out)
    assert isinstance(found, NumbersRun)
    return found


def test_every_card_has_its_map(opened: NumbersRun) -> None:
    view = first_view(opened).apply("output", "1", opened).apply("group", "over", opened)
    shown = pieces(opened, view)[3]
    error = opened.predicted[:, 1] - opened.truth[:, 1]
    row = int(error.argmax())
    raw = opened.maps_of("grad_cam", 1, [row])[0]
    assert difference_png(signed(raw)) in shown
    assert f"blue true {opened.truth[row, 1]:.4g}".replace("-", "−") in shown


def test_what_the_run_keeps_no_map_of_says_so(opened: NumbersRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NumbersRun, "has_map", lambda run, output, row: False)
    assert "no map: the run keeps those of" in pieces(opened, first_view(opened))[3]


@pytest.mark.slow
def test_pictures_that_are_nearly_the_same(tmp_path: Path) -> None:
    """As of a plain loop over all pairs; what to try names those whose numbers differ."""
    source = Tinted(tmp_path / "tinted", 60)
    net = answering(source)
    for k in range(0, 12, 2):
        shutil.copy(tmp_path / f"tinted/{k}.png", tmp_path / f"tinted/{k + 1}.png")
    run(net, source, tmp_path / "run", ["grad_cam"], batch_size=30)
    opened = open_run(tmp_path / "run")
    assert isinstance(opened, NumbersRun)
    pairs, similarity = similar_pictures(opened)
    hashes = [int(h) for h in opened.ok["hash"].tolist()]
    grey = [
        np.asarray(open_thumbnail(t).convert("L").resize((16, 16), Image.Resampling.BOX), float).ravel()
        for t in opened.thumbnails(opened.ok.index.tolist())
    ]
    expected = {}
    for i, j in itertools.combinations(range(len(grey)), 2):
        if (hashes[i] ^ hashes[j]).bit_count() <= 3 and min(grey[i].std(), grey[j].std()) > 0:
            alike = float(np.corrcoef(grey[i], grey[j])[0, 1])
            if alike >= 0.98:
                expected[i, j] = alike
    found = {(i, j): s for (i, j), s in zip(pairs.tolist(), similarity.tolist(), strict=True)}
    assert found == pytest.approx(expected)
    assert {(k, k + 1) for k in range(0, 12, 2)} <= set(found)
    light = number_findings(opened, 2)
    assert light.inconclusive == ""
    error = np.abs(opened.predicted[:, 2] - opened.truth[:, 2])
    apart = sum(abs(opened.truth[i, 2] - opened.truth[j, 2]) > 2 * error.mean() for i, j in expected)
    assert apart >= 3
    (duplicates,) = [p for p in light.proposals if p.kind == "duplicates"]
    assert duplicates.title.startswith(f"{apart} pairs of nearly the same picture")
    assert duplicates.title in " ".join(launch("analyze", tmp_path / "run", "--label", "light").split())


def test_live_maps_are_those_of_the_chosen_output(
    opened: NumbersRun, net: Classifier, tinted: Tinted
) -> None:
    ctx = Context(opened, network=net)
    row = 4
    view = InspectView({"row": row}, target=2, methods=("grad_cam",))
    facts, panel, target, _ = live_maps(ctx, view)
    x = net.batch([tinted.load([i.id for i in tinted.items].index(opened.table.at[row, "id"]))])
    raw = compute_maps(net.model, x, MapRequest("grad_cam", net.default_layer or "", 2)).raw
    with torch.inference_mode():
        predicted = float(net.model(x)[0, 2])
    assert target == 2
    assert f"Maps for light <small>predicted {predicted:.4g}" in panel
    assert difference_png(signed(raw)) in panel
    assert "probability" not in panel
    assert "map for light" in facts
    first = live_maps(ctx, InspectView({"row": row}, methods=("grad_cam",)))
    assert first[2] == 0
    assert show_row(ctx, row)[4] == 0


def test_layers_show_an_image(opened: NumbersRun, net: Classifier) -> None:
    _, shown = Pieces(Context(opened, network=net)).of(LayersView({"row": 0}, channel=0))
    assert "Class separability" not in str(shown[3])
    assert "Find them" not in "".join(map(str, shown))


def test_channels_are_ordered_by_the_chosen_output(opened: NumbersRun, net: Classifier) -> None:
    ctx = Context(opened, network=net)
    pieces, tab = Pieces(ctx), LayersTab.__new__(LayersTab)
    tab._ctx = ctx
    view = LayersView({"row": 3}, "features.4", order="weight towards the class")
    orders = []
    with ctx.classifier() as c:
        x = ctx.sessions.at({"row": 3}).x
        for k in range(3):
            features = c.model.features(x).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(c.model.head(features.mean((2, 3)))[0, k], features)
            orders.append(np.argsort(-gradient.mean((2, 3))[0].numpy(), kind="stable").tolist())
    assert len({tuple(o) for o in orders}) > 1
    errors = asdict(first_view(opened).apply("output", "1", opened))
    assert tab._label(view, errors) == 1  # that of Errors, until one is chosen here
    for k in range(3):
        chosen = view.apply("label", str(k))
        label = tab._label(chosen, errors)
        assert label == k
        _, (_, sheet, _, depth) = pieces.of(chosen, label)
        found = [int(part.split('"')[0]) for part in sheet.split('data-action="channel" data-value="')[1:]]
        assert found == orders[k][: len(found)]
        assert "weight towards the output" in sheet
        assert f'<option value="{k}" selected>{OUTPUTS[k]}</option>' in sheet
        assert f"output={OUTPUTS[k]}" in sheet
        assert "Class separability" not in depth
        link = dict(part.split("=") for part in chosen.query(opened).lstrip("?").split("&"))
        assert label_of_link(link, opened) == k


@pytest.mark.slow
def test_commands_write_export_and_report(opened: NumbersRun, tmp_path: Path) -> None:
    folder = str(opened.folder)
    done = run_command("report", folder, "--out", str(tmp_path / "r.html"), "--per-class", "1")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "r.html").read_text()
    assert all(f"<bdi>{name}</bdi>" in text for name in OUTPUTS)
    assert text.count("<img") == 3 * 3 * 2
    one = run_command("report", folder, "--out", str(tmp_path / "one.html"), "--label", "blue")
    assert one.returncode == 0, one.stderr
    assert "Predicted against true <bdi>red" not in (tmp_path / "one.html").read_text()
    words = ["export", folder, "--out", str(tmp_path / "out"), "--select", "over", "--label", "light"]
    done = run_command(*words, "--per-class", "3")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "export.csv")
    error = opened.predicted[:, 2] - opened.truth[:, 2]
    assert table["id"].tolist() == opened.table.loc[np.argsort(-error)[:3], "id"].tolist()
    about = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert about["selected"] == "light: over-estimates, 3"
    assert (tmp_path / "out" / "originals").is_dir()
    assert "Nothing is called 'errors'" in one_line("export", folder, "--out", "x", "--select", "errors")
    assert "numbers" in one_line("report", folder, "--threshold", "0.3")


def test_endpoints_answer_with_numbers(opened: NumbersRun, net: Classifier) -> None:
    ctx = Context(opened, network=net)
    build(ctx)
    made = NumberEndpoints(ctx, opened)
    request: Any = gr.Request(session_hash="x")
    answer = made.errors(request, "blue:under", 2)
    error = opened.predicted[:, 1] - opened.truth[:, 1]
    assert [i["image"] for i in answer["images"]] == opened.table.loc[np.argsort(error)[:2], "id"].tolist()
    assert (answer["output"], answer["number"]) == ("blue", int((error < 0).sum()))
    with pytest.raises(gr.Error, match="Nothing is called 'misses'"):
        made.errors(request, "misses")


def test_an_output_of_a_command_is_where_the_page_begins(opened: NumbersRun) -> None:
    found = open_run(opened.folder, "light")
    assert isinstance(found, NumbersRun)
    assert first_view(found).output == 2
    assert show_row(Context(found), 0)[4] == 2
    with pytest.raises(UserError, match="No output"):
        open_run(opened.folder, "pink")


def test_a_photo_is_predicted(opened: NumbersRun, net: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = Image.new("RGB", (40, 40), (200, 20, 30))
    made = NumberEndpoints(Context(opened, network=net), opened)
    monkeypatch.setattr(NumberEndpoints, "_opened", lambda self, path: photo)
    request = gr.Request(session_hash="x")
    with torch.inference_mode():
        plain = net.model(net.batch([photo]))[0].tolist()
    assert list(last(made.predict(request, "x"))["numbers"].values()) == pytest.approx(plain, rel=1e-5)
    described, picture = last(made.explain(request, "x", "grad_cam", "light"))
    assert described["predicted"] == pytest.approx(plain[2], rel=1e-5)
    assert "probability" not in described
    assert picture.size == (32, 32)


def copied(markup: str) -> str:
    return unescape(re.sub("</?span[^>]*>", "", markup))


@pytest.mark.slow
def test_what_the_page_offers_to_copy_makes_the_same_maps(tinted: Tinted, tmp_path: Path) -> None:
    code = "from tests.conftest import TinyNet\n\ndef build():\n    return TinyNet(3)\n"
    (tmp_path / "net.py").write_text(code)
    torch.save(network(tinted).state_dict(), tmp_path / "net.pth")
    words = ["--model", f"{tmp_path / 'net.py'}:build", "--weights", tmp_path / "net.pth"]
    words += ["--input-size", "32", "--resize", "squash", "--mean", "0.5", "--std", "0.5"]
    columns = ["--data", tinted.table(tmp_path / "t.csv"), "--label-col", "red,blue,light"]
    launch("run", *words, *columns, "--methods", "grad_cam", "--out", tmp_path / "run")
    found = open_run(tmp_path / "run")
    view = InspectView({"row": 0}, target=2, methods=("grad_cam",))
    text = str(live_maps(Context(found), view)[3])
    typed, lines = (copied(part.split("</pre>")[0]) for part in text.split('<pre class="vt-command">')[1:])
    assert "--task regression" in typed
    launch(*shlex.split(typed)[2:-1], tmp_path / "maps")
    space: dict[str, Any] = {}
    exec(lines, space)
    (made,) = (tmp_path / "maps").glob("*.grad_cam.npy")
    assert isinstance(found, NumbersRun)
    for raw in (np.load(made), space["result"].raw):
        np.testing.assert_allclose(raw, found.maps_of("grad_cam", 2, [0])[0], rtol=1e-2, atol=1e-3)
