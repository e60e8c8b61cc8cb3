"""Which of the figures that a run folder holds are shown: those of this run, network and precision."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import vitrine
from explain.quality.described.description import Description
from explain.quality.known import known
from explain.quality.measure import Measurement
from explain.quality.one_map.kept import Kept, Quantity
from explain.quality.settings import CurveSettings
from explain.quality.store import DescriptionSettings, DescriptionStore, TrustSettings, TrustStore, stores
from explain.quality.tables import tables
from explain.run.format import REQUEST, TRUST
from explain.run.reader import RunData
from models.classifier import Classifier
from tests.measured import BETTER, SAME, above_chance, keep


@pytest.fixture
def small_run(small_run: RunData) -> RunData:
    return above_chance(small_run)


@pytest.mark.parametrize("field", ["weights_hash", "data_fingerprint"])
def test_figures_of_another_run_are_not_shown(small_run: RunData, tmp_path: Path, field: str) -> None:
    store = keep(small_run, {"grad_cam": SAME, "layer_cam": BETTER})
    other = tmp_path / "other"
    (other / TRUST).parent.mkdir()
    shutil.copytree(small_run.folder / TRUST, other / TRUST)
    request = json.loads((small_run.folder / REQUEST).read_text())
    (other / REQUEST).write_text(json.dumps(request))
    assert len(stores(other)) == 1
    (other / REQUEST).write_text(json.dumps(request | {field: "another"}))
    copied = TrustStore(other / TRUST / store.folder.name, store.settings)
    assert stores(other) == []
    assert (copied.parts, len(copied.rows())) == ([], 0)
    copied.add([{"id": "new", "method": "grad_cam", "variant": ""}])
    assert copied.rows()["id"].tolist() == ["new"]
    assert len(stores(other)) == 1


def test_figures_without_a_name_of_their_run_are_shown(small_run: RunData) -> None:
    """As those of earlier versions."""
    store = keep(small_run, {"grad_cam": SAME})
    about = json.loads((store.folder / store.about).read_text())
    assert about.pop("of")
    (store.folder / store.about).write_text(json.dumps(about))
    assert len(stores(small_run.folder)) == 1
    assert len(store.parts) > 0


@pytest.mark.slow
def test_another_precision_and_fewer_figures_replace_nothing(small_run: RunData) -> None:
    first = keep(small_run, {"grad_cam": SAME})
    values = first.rows().assign(most_relevant_first=0.2, least_relevant_first=0.6)
    rows = values.to_dict("records")
    rounded = replace(first.settings, precision="bf16")
    both = replace(
        first.settings, kinds=(*first.settings.kinds, "most_relevant_first", "least_relevant_first")
    )
    for settings in (both, rounded, first.settings):
        store = TrustStore.of(small_run.folder, settings)
        shutil.rmtree(store.folder, ignore_errors=True)
        store.add(rows)
    found = known(small_run)
    assert found is not None
    assert found.settings == both


def of_maps(run: RunData, images: dict[str, slice]) -> DescriptionStore:
    """Entropy and Gini of the images of each method: the number of the image."""
    names = run.table["id"].astype(str).tolist()
    store = DescriptionStore.of(run.folder, DescriptionSettings(run.manifest.request.layer, "maps"))
    for method, part in images.items():
        every = [*enumerate(names)][part]
        store.add(
            [
                {"id": n, "method": method, "variant": "", "entropy": float(k), "gini": 0.5, "positions": 49}
                for k, n in every
            ]
        )
    return store


def described(run: RunData, images: dict[str, slice]) -> Description:
    [trust] = tables(keep(run, {"grad_cam": SAME, "layer_cam": BETTER}, images=18), ["grad_cam", "layer_cam"])
    return Description.of(trust, [of_maps(run, images)])


@pytest.mark.slow
def test_what_describes_methods_is_of_the_same_images(small_run: RunData) -> None:
    found = described(small_run, {"grad_cam": slice(0, 14), "layer_cam": slice(4, 18)})
    assert found.images["maps"] == 10
    assert {d.method: d.entropy for d in found.methods} == {
        method: np.mean(np.arange(4, 14)) for method in ("grad_cam", "layer_cam")
    }


@pytest.mark.slow
def test_a_method_of_too_few_of_the_images_is_not_described(small_run: RunData) -> None:
    found = described(small_run, {"grad_cam": slice(0, 16), "layer_cam": slice(12, 18)})
    assert found.images["maps"] == 16
    assert [(d.method, d.entropy) for d in found.methods] == [("grad_cam", np.mean(np.arange(16)))]
    assert not pd.isna(found.methods[0].gini)


@pytest.mark.slow
def test_maps_that_are_not_finite_are_left_out(tiny: Classifier, small_run: RunData) -> None:
    """Of a method from outside: the other methods keep all images."""

    def mine(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        maps = x.mean(1)
        red = x[:, 0].mean((1, 2)) > x[:, 1].mean((1, 2))
        return torch.where(red[:, None, None], maps, torch.nan)

    vitrine.register_method("mine", mine)
    try:
        settings = TrustSettings(
            small_run.manifest.request.layer, CurveSettings(4, 2), ("insertion", "deletion")
        )
        store = TrustStore.of(small_run.folder, settings)
        methods = ["grad_cam", "mine"]
        list(Measurement(tiny, small_run, methods, range(18), store).steps())
        [trust] = tables(store, methods)
    finally:
        vitrine.unregister_method("mine")
    table = store.rows().query("method == 'mine'").pivot(index="id", columns="variant", values="insertion")
    assert 0 < table[""].notna().sum() < 18
    known = int(table[["", "other_image", "random_network"]].notna().all(axis=1).sum())
    assert {v.method: v.decisive.images for v in trust.verdicts} == {"grad_cam": 18, "mine": known}


@pytest.mark.parametrize(
    ("center", "noise", "said"),
    [
        (0.30, 0.50, ": less than both"),
        (0.30, 0.10, ": less than the center"),
        (0.10, 0.30, ": less than noise"),
        (0.2004, 0.2001, ""),
        (0.10, 0.10, ""),
    ],
)
def test_what_is_printed_alike_is_alike(center: float, noise: float, said: str) -> None:
    kept = Kept(Quantity("fear"), whole=0.8, own=0.2, center=center, noise=noise, blurred=0.05)
    assert kept.text.partition(")")[2] == said
