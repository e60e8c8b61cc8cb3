"""The shipped demo: a fault that its first screen names, the images and the maps behind it, and the repaired
network beside it."""

import re
import shlex

import numpy as np
import pytest

from dashboard.components.errors.gallery import gallery
from dashboard.session.context import Context
from dashboard.tabs.errors import pieces, proposed
from dashboard.tabs.errors_state import first_view
from explain.analysis.compare import compare
from explain.analysis.compare_shortcuts import shortcut_changes
from explain.analysis.findings import Findings
from explain.analysis.proposals.next_training import command_of, description_of
from explain.quality.known import state_of
from explain.run.reader import RunData, open_run
from launch import DEMO, REPAIRED
from models.data.toon_studios import MARKED, SHORTCUT, ToonStudios, logo_mask

EVIDENCE = f"{SHORTCUT} may be recognized by studio: {MARKED}."
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def faulty() -> RunData:
    return open_run(DEMO)


@pytest.fixture(scope="module")
def repaired() -> RunData:
    return open_run(REPAIRED)


def marked(run: RunData) -> np.ndarray:
    assert run.metadata is not None
    return np.asarray(run.metadata["studio"].loc[run.ok.index] == MARKED)


def test_both_runs_are_whole_small_and_of_the_same_images(faulty: RunData, repaired: RunData) -> None:
    for run, network in ((faulty, "toon_studios"), (repaired, "toon_studios_balanced")):
        assert (run.manifest.status, run.manifest.request.model) == ("complete", f"tiny_conv:{network}")
        assert run.manifest.request.data == "toon_studios/test"
        assert not re.search(r"/(home|work|root|tmp|Users)/", (run.folder / "manifest.json").read_text())
    assert faulty.ok["id"].tolist() == repaired.ok["id"].tolist() == [i.id for i in ToonStudios().items]
    assert sum(f.stat().st_size for d in (DEMO, REPAIRED) for f in d.rglob("*")) < 6 * MEBIBYTE


def test_the_first_finding_names_class_and_studio(faulty: RunData) -> None:
    first = Findings(faulty).proposals[0]
    assert first.title == EVIDENCE
    assert first.option == "--balance sampler --balance-by studio"
    ok, here = faulty.ok, marked(faulty)
    own, called = (
        ok["label"] == faulty.classes.index(SHORTCUT),
        ok["pred"] == faulty.classes.index(SHORTCUT),
    )
    assert f"{(own & here & called).sum()} of {(own & here).sum()} images of {SHORTCUT}" in first.text
    assert f"without it {(own & ~here & called).sum()} of {(own & ~here).sum()}" in first.text
    assert [set(side.rows) for side in first.sides] == [
        set(ok.index[which]) for which in (own & here, own & ~here, ~own & here & called)
    ]


def test_where_its_evidence_lies_is_said_of_maps_that_pass(faulty: RunData) -> None:
    findings = Findings(faulty)
    assert state_of(faulty, findings.method) == "passes"
    assert f"There the maps for {SHORTCUT} have" in findings.proposals[0].text
    assert "in the upper right of the picture" in findings.proposals[0].text


def test_the_repaired_network_has_no_such_finding(repaired: RunData) -> None:
    findings = Findings(repaired)
    assert findings.shortcuts == []
    assert not any(p.kind == "shortcut" or "studio" in p.title for p in findings.proposals)


def mass_on_logo(run: RunData) -> float:
    """Mean fraction of the maps for the class that lies on the logo, over the images with it that are
    predicted as the class."""
    ok, label = run.ok, run.classes.index(SHORTCUT)
    rows = ok.index[marked(run) & (ok["pred"] == label).to_numpy()].tolist()
    maps = np.maximum(run.maps(Findings(run).method, "pred", rows), 0)
    h, w = maps.shape[1:]
    share = logo_mask().reshape(h, 128 // h, w, 128 // w).mean((1, 3))
    return float(((maps * share).sum((1, 2)) / maps.sum((1, 2))).mean())


def test_maps_lie_on_the_logo_before_and_not_after(faulty: RunData, repaired: RunData) -> None:
    area = logo_mask().mean()
    assert mass_on_logo(faulty) > 3 * area
    assert mass_on_logo(repaired) < 0.5 * mass_on_logo(faulty)


@pytest.mark.slow
def test_compare_shows_the_repair_by_studio(faulty: RunData, repaired: RunData) -> None:
    comparison = compare(faulty, repaired)
    changes = shortcut_changes(comparison)
    assert [c.title for c in changes] == [
        f"{SHORTCUT}, studio: {MARKED}",
        f"{SHORTCUT}, without it",
        f"others, studio: {MARKED}",
    ]
    label, here = faulty.classes.index(SHORTCUT), marked(faulty)
    own = (faulty.ok["label"] == label).to_numpy()
    for change, which in zip(changes, (own & here, own & ~here, ~own & here), strict=True):
        before, after = ((run.ok["pred"] == label)[which].mean() for run in (faulty, repaired))
        assert (change.images, change.a, change.b) == (
            which.sum(),
            pytest.approx(before),
            pytest.approx(after),
        )
    _, without, others = changes
    assert without.b > without.a + 0.2
    assert others.b < others.a - 0.2
    assert max(without.p, others.p) < 0.001


def test_the_repaired_network_was_trained_by_the_proposed_command(faulty: RunData, repaired: RunData) -> None:
    """But for the place and the name of the checkpoint."""
    asked = shlex.split(command_of(faulty, Findings(faulty).proposals[0].option))
    done = shlex.split(description_of(repaired.manifest)["command"])
    assert [w for w in asked if not w.endswith(".safetensors")] == [
        w for w in done if not w.endswith(".safetensors")
    ]


@pytest.mark.slow
def test_the_first_screen_opens_images_and_the_repaired_run(faulty: RunData) -> None:
    ctx = Context(faulty)
    assert REPAIRED in ctx.others
    panel = str(proposed(Findings(faulty), first_view(faulty), True, ctx.others))
    assert EVIDENCE in panel
    assert 'data-action="group" data-value="proposal:0">compare ' in panel
    assert 'href="?tab=compare&amp;against=demo_repaired"' in panel
    view = first_view(faulty).apply("group", "proposal:0", faulty)
    assert str(gallery(Findings(faulty), {}, view)).count('class="vt-side"') == 3
    assert EVIDENCE in pieces(Findings(faulty), first_view(faulty), others=ctx.others)[1]
