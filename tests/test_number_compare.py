"""Two runs of numbers side by side: measures and changes against SciPy and plain loops, the Compare tab, its
links, and what cannot be compared."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from dashboard.app import build
from dashboard.components.number_runs.compare_view import (
    both_answers,
    changed_images,
    number_summary,
    scaled_maps,
)
from dashboard.session.context import Context
from dashboard.tabs import compare
from dashboard.tabs.compare import CompareTab, Comparisons, number_pieces
from dashboard.tabs.compare_state import FARTHER, NEARER, Choice
from dashboard.tabs.number_compare_link import number_query, of_link
from dashboard.tabs.registry import missing
from explain import render
from explain.analysis.numbers.compare import (
    NumbersComparison,
    agreement,
    compare_numbers,
    format_text,
    shared_text,
    side_by_side,
)
from explain.run.outputs.number_run import NumbersRun
from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.errors import UserError
from models.outputs.task import REGRESSION, with_task
from tests.conftest import TINY
from tests.markup import elements, runs_nothing
from tests.number_runs import MadeUp, made_up
from tests.number_source import OUTPUTS, Tinted, answering, network, opened

EVIL = '"><img src=x onerror=1>\u202e{x}'


def second(a: MadeUp, seed: int = 5) -> MadeUp:
    """Other predictions; the outputs change places, the rows their order; three images are left out, and the
    true numbers of two differ."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(a.table))[3:]
    predicted = a.predicted + rng.normal(size=a.predicted.shape) * a.truth.std(0) / 5
    truth, predicted = a.truth[order][:, ::-1].copy(), predicted[order][:, ::-1].copy()
    truth[:2, 0] += 1
    table = a.table.loc[order].reset_index(drop=True)
    manifest = replace(a.manifest, request=replace(a.manifest.request, classes=a.outputs[::-1]))
    return replace(a, table=table, truth=truth, predicted=predicted, manifest=manifest)


@pytest.fixture(scope="module")
def found() -> NumbersComparison:
    a = made_up(90)
    return compare_numbers(a, second(a))


def by_hand(c: NumbersComparison, k: int) -> list[tuple[str, float, float, float]]:
    """(id, true, of A, of B) of an output, from the rows of both runs, by a plain loop."""
    name, rows = c.a.outputs[k], []
    j = c.b.outputs.index(name)
    of_b = {image: row for row, image in enumerate(c.b.table["id"])}
    for row, image in enumerate(c.a.table["id"]):
        other = of_b.get(image)
        if other is not None and list(c.a.truth[row]) == list(c.b.truth[other][::-1]):
            rows.append((image, c.a.truth[row, k], c.a.predicted[row, k], c.b.predicted[other, j]))
    return rows


def test_measures_of_both_are_those_of_scipy_and_a_plain_bootstrap(found: NumbersComparison) -> None:
    for k in range(2):
        rows = by_hand(found, k)
        assert len(rows) == len(found.matched) == 85
        t, a, b = (np.array([r[i] for r in rows]) for i in (1, 2, 3))
        (name, *of_r), (other, *of_ccc) = agreement(found, k)
        assert (name, other) == ("Pearson r", "CCC")
        np.testing.assert_allclose(of_r, [pearsonr(t, p).statistic for p in (a, b)], atol=1e-9)
        ccc = [
            2 * np.cov(t, p, bias=True)[0, 1] / (t.var() + p.var() + (t.mean() - p.mean()) ** 2)
            for p in (a, b)
        ]
        np.testing.assert_allclose(of_ccc, ccc, atol=1e-9)
        rng, drawn = np.random.default_rng(0), []
        for _ in range(1000):
            rows_ = rng.integers(0, len(t), len(t))
            e, f = (p[rows_] - t[rows_] for p in (a, b))
            drawn.append([abs(f).mean() - abs(e).mean(), (f**2).mean() ** 0.5 - (e**2).mean() ** 0.5])
        for i, m in enumerate(found.metrics[k]):
            np.testing.assert_allclose(m.interval, np.quantile(drawn, [0.025, 0.975], axis=0)[:, i])
            assert m.interval_a[0] < m.a < m.interval_a[1]


def test_changes_are_those_of_a_plain_loop(found: NumbersComparison) -> None:
    for k in range(2):
        rows = by_hand(found, k)
        change = {image: abs(b - t) - abs(a - t) for image, t, a, b in rows}
        ids = found.matched["id"].to_numpy()
        assert [*ids[found.nearer(k)]] == sorted(
            (i for i in change if change[i] < 0), key=lambda i: change[i]
        )
        assert [*ids[found.farther(k)]] == sorted(
            (i for i in change if change[i] > 0), key=lambda i: -change[i]
        )


def test_what_the_runs_share_is_one_line(found: NumbersComparison) -> None:
    text = "85 images in both; 2 images whose true numbers differ are left out; 3 images are in A alone"
    assert shared_text(found) == text
    assert text in "\n".join(format_text(found))
    assert text in number_summary(found, 0)


def test_one_image_has_no_interval() -> None:
    for metric in side_by_side(np.array([[1.0]]), np.array([[3.0]]))[0]:
        assert metric.difference == 2
        assert np.isnan(metric.interval).all()
        assert not metric.sure
    a = made_up(1, ("age",))
    other = replace(a, predicted=a.predicted + 1)
    assert "<small>–</small>" in number_summary(compare_numbers(a, other), 0)
    assert "*\n" not in "\n".join(format_text(compare_numbers(a, other)))


def test_a_run_that_has_not_ended_says_so(found: NumbersComparison) -> None:
    b = replace(found.b, manifest=replace(found.b.manifest, status="stopped"))
    shown = number_summary(replace(found, b=b), 0)
    assert b.unfinished
    assert f"B: {b.unfinished.split()[0]}" in shown
    assert "A: " not in shown


def test_the_table_has_every_output(found: NumbersComparison) -> None:
    shown = elements(number_summary(found, 1))
    chosen = [(a["data-value"], a.get("class")) for _, a in shown if a.get("data-action") == "asked"]
    assert chosen == [("0", ""), ("1", "vt-on")]
    text = number_summary(found, 1)
    assert text.count("<td>MAE</td>") == text.count("<td>CCC</td>") == 2
    mae = found.metrics[0][0]
    low, high = mae.interval_a
    assert f'title="95 % interval {low:.4g} to {high:.4g}">{mae.a:.4g}' in text
    for metric in (m for of_output in found.metrics for m in of_output):
        kind, sign = "vt-bad" if metric.sure else "", "+" if metric.difference > 0 else "−"
        assert f'<b class="{kind}">{sign}{abs(metric.difference):.4g}' in text
    assert {m.sure for of_output in found.metrics for m in of_output} == {True, False}


def opened_rows(text: str) -> list[int]:
    return [int(a["data-value"]) for _, a in elements(text) if a.get("data-action") == "open"]


def test_images_are_shown_in_their_order_and_pages(found: NumbersComparison) -> None:
    for which, order in ((NEARER, found.nearer(1)), (FARTHER, found.farther(1))):
        rows = found.matched["row_a"].to_numpy()[order].tolist()
        first = changed_images(found, 1, Choice(0, which, asked=1))
        assert opened_rows(first) == rows[:12]
        assert f"{len(rows)} images of valence" in first
        assert opened_rows(changed_images(found, 1, Choice(0, which, asked=1, page=1))) == rows[12:24]
        last = changed_images(found, 1, Choice(0, which, asked=1, page=999))
        assert opened_rows(last) == rows[(len(rows) - 1) // 12 * 12 :]


def test_a_card_says_true_and_both_predictions(found: NumbersComparison) -> None:
    of_a, truth = found.predicted_a.copy(), found.truth.copy()
    of_b = found.predicted_b.copy()
    truth[4, 0], of_a[4, 0], of_b[4, 0] = 3.2, 5.1, -3.4
    made = replace(found, truth=truth, predicted_a=of_a, predicted_b=of_b)
    assert both_answers(made, 4, 0) == "true 3.2 · A 5.1 · B −3.4"
    i = int(found.nearer(0)[0])
    assert both_answers(found, i, 0) in changed_images(found, 0, Choice(0))


def test_the_maps_of_both_have_one_scale(found: NumbersComparison) -> None:
    """The first card of age: output 0 of A, and 1 of B."""
    i, method = int(found.farther(0)[0]), found.a.manifest.request.methods[0]
    raws = []
    for run, row, k in ((found.a, found.matched["row_a"][i], 0), (found.b, found.matched["row_b"][i], 1)):
        raw = run.maps_of(method, k, [row])[0]
        raws.append(raw / np.abs(raw).mean())
        np.testing.assert_allclose(scaled_maps(run, k, [row], method)[0], raws[-1], rtol=1e-6)
    assert not np.allclose(raws[0], -raws[1])
    top = max(render.signed_peak(raw) for raw in raws)
    shown = changed_images(found, 0, Choice(0, FARTHER))
    urls = [a["src"] for _, a in elements(shown) if "vt-signed" in a.get("class", "")][:2]
    assert urls == [render.difference_png(render.signed(raw, top)) for raw in raws]
    captions = ["A: evidence for age", "B: evidence for age"]
    assert all(text in shown for text in captions)


def test_runs_without_a_shared_method_have_no_maps(found: NumbersComparison) -> None:
    request = replace(found.b.manifest.request, methods=("other",))
    b = replace(found.b, manifest=replace(found.b.manifest, request=request))
    shown = changed_images(replace(found, b=b), 0, Choice(0))
    assert "the runs share no method" in shown
    assert "vt-signed" not in shown
    assert opened_rows(shown)


def test_equal_runs_have_no_changes() -> None:
    a = made_up(20, ("age",))
    c = compare_numbers(a, a)
    shown = changed_images(c, 0, Choice(0))
    assert "None." in shown
    assert "20 images as near in both" in shown
    assert 'data-action="asked"' not in shown + number_summary(c, 0)


def test_names_of_outputs_stay_texts() -> None:
    a = made_up(20, (EVIL, "b"))
    c = compare_numbers(a, second(a))
    for text in (number_summary(c, 0), changed_images(c, 0, Choice(0))):
        assert runs_nothing(text)
        assert not [tag for tag, attributes in elements(text) if attributes.get("src") == "x"]
        assert "\u202e" not in text


# -- the tab ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[NumbersRun, NumbersRun]:
    root = tmp_path_factory.mktemp("numbers")
    source = Tinted(root / "tinted")
    model = network(source)
    with torch.no_grad():
        model.head.weight *= 0.7
    other = with_task(Classifier("w", model, OUTPUTS, TINY, "", fingerprint(model)), REGRESSION)
    return opened(answering(source), source, root / "a"), opened(other, source, root / "b")


@pytest.fixture
def tab(runs: tuple[NumbersRun, NumbersRun]) -> Any:
    made = CompareTab.__new__(CompareTab)
    made._ctx = Context(runs[0], against=(runs[1].folder,))
    made._comparisons, made._areas = Comparisons(made._ctx), [None] * 4
    return made


class Asked:
    """A request for the page with these parameters, or a click."""

    def __init__(self, index: str = "", value: str = "", **parameters: str):
        self.index, self.value, self.query_params = index, value, parameters


@pytest.mark.slow
def test_the_tab_compares_runs_of_numbers(tab: Any, runs: tuple[NumbersRun, NumbersRun]) -> None:
    assert missing(compare, runs[0]) is None
    build(tab._ctx)
    keys = asdict(Choice(other=0))
    waiting, (state, *areas, _, _) = tab.opened(keys, {})
    assert "Comparing the two runs" in waiting[4]
    assert state == keys
    assert "24 images in both" in areas[1]
    assert "images of red" in areas[3]
    (one,) = tab.act(keys, {}, Asked("asked", "2"))
    (two,) = tab.act(one[0], {}, Asked("which", FARTHER))
    c = compare_numbers(*runs)
    assert (two[0]["asked"], two[0]["which"]) == (2, FARTHER)
    assert opened_rows(two[4]) == c.matched["row_a"].to_numpy()[c.farther(2)][:12].tolist()
    (clicked,) = tab.act(two[0], {}, Asked("open", "5"))
    assert (clicked[-2]["row"], clicked[-2]["label"]) == (5, 2)


def test_links_lead_back(tab: Any, runs: tuple[NumbersRun, NumbersRun], monkeypatch: Any) -> None:
    warned: list[str] = []
    monkeypatch.setattr("gradio.Warning", warned.append)
    choice = Choice(other=0, which=FARTHER, asked=1, page=1)
    query = number_query(choice, ["b"], runs[0])
    assert query == "?tab=compare&against=b&output=blue&group=farther&sheet=2"
    shown = number_pieces(tab._comparisons, runs[0], choice)[0]
    assert query.replace("&", "&amp;") in shown
    state, _ = tab.arrive(Asked(**dict(parse_qsl(query[1:]))), asdict(Choice()))
    assert Choice(**state) == choice
    assert of_link({"tab": "compare", "against": "b"}, ["b"], runs[0], Choice()) == Choice(other=0)
    assert not warned


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ({"against": "<c>"}, "the run '&lt;c&gt;' (known: b)"),
        ({"against": "b", "output": "pink"}, "the output 'pink' (known: red, blue, light)"),
        ({"against": "b", "group": "a", "output": "blue"}, "the list 'a' (known: nearer, farther)"),
        ({"against": "b", "sheet": "0"}, "the page '0' (pages are numbers from 1)"),
        ({"against": "b", "sheet": "x"}, "the page 'x'"),
    ],
)
def test_a_broken_link_shows_the_default_view_and_says_so(
    broken: dict[str, str], text: str, tab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr("gradio.Warning", warned.append)
    state, _ = tab.arrive(Asked(tab="compare", **broken), asdict(Choice()))
    assert Choice(**state) == (Choice(other=0) if broken["against"] == "b" else Choice())
    assert len(warned) == 1
    assert text in warned[0]
    assert warned[0].endswith("The default view is shown.")


def test_a_run_of_classes_is_refused(small_run: Any, runs: tuple[NumbersRun, NumbersRun]) -> None:
    comparisons = Comparisons(Context(runs[0], against=(Path(small_run.folder),)))
    with pytest.raises(UserError, match="has classes, this one numbers: choose a run of numbers"):
        comparisons.of_numbers(0)
