"""The pass over a run: strongest images against a plain loop, what is kept in the folder, and what is not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dashboard.components.network.strongest import receptive_area, strongest_strip
from explain.features.top_activations import (
    ABOUT,
    DEPTH,
    KEPT,
    STRONGEST,
    curves,
    format_text,
    stored_counts,
    strongest,
    top_activations,
)
from explain.network.hooks import output_of
from explain.network.summary import layers
from explain.run.reader import RunData, open_run
from models.classifier import Classifier
from models.errors import UserError
from tests.test_capture import assert_as_found, snapshot


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["features.0", "features.4", "head"])
def test_strongest_by_a_plain_loop(tiny: Classifier, small_run: RunData, pictures: Path, layer: str) -> None:
    x = torch.zeros(1, 3, 32, 32)
    before = snapshot(tiny.model, x)
    assert stored_counts(small_run) is None
    assert list(top_activations(tiny, small_run))[-1] == 1
    assert_as_found(before, tiny.model, x)
    assert stored_counts(small_run) == {"images": 18, "pooled": 18, "moved": 18}
    outputs = {
        name: output_of(tiny.model, tiny.batch([Image.open(pictures / name)]), layer)[0][0]
        for name in small_run.table["id"]
    }
    for channel in range(len(next(iter(outputs.values())))):
        found = strongest(small_run, layer, channel)
        value = {name: float(output[channel].max()) for name, output in outputs.items()}
        expected = sorted(value, key=lambda name: -value[name])[:KEPT]
        np.testing.assert_allclose(found["value"], [value[name] for name in expected], atol=1e-5)
        if len({round(v, 5) for v in value.values()}) == len(value):
            assert found["id"].tolist() == expected
        for item in found.itertuples():
            assert small_run.table.at[item.at, "id"] == item.id
            output = outputs[str(item.id)][channel]
            place = output[int(item.row), int(item.column)] if output.ndim else output  # type: ignore[call-overload]
            assert float(place) == pytest.approx(item.value, abs=1e-5)


def test_curves_are_means_over_the_run(tiny: Classifier, small_run: RunData, pictures: Path) -> None:
    list(top_activations(tiny, small_run))
    steps = {step.layer: step for step in curves(small_run)}
    assert list(steps) == ["features.2", "features.4", "head"]
    outputs = [
        output_of(tiny.model, tiny.batch([Image.open(pictures / name)]), "features.4")[0]
        for name in small_run.table["id"]
    ]
    zeros = [float((output == 0).float().mean()) for output in outputs]
    assert steps["features.4"].zeros == pytest.approx(np.mean(zeros), abs=1e-4)
    assert steps["head"].separable > 0.9  # three colors
    assert steps["head"].shuffled < 0.7
    assert "features.4" in format_text(small_run)


def test_left_half_way_nothing_is_there(
    tiny: Classifier, small_run: RunData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explain.features.top_activations.BATCH", 4)
    work = top_activations(tiny, small_run)
    assert 0 < next(work) < 1
    work.close()  # type: ignore[attr-defined]
    assert not [name for name in (STRONGEST, DEPTH, ABOUT) if (small_run.folder / name).exists()]


def test_only_so_many_images_evenly_spread(tiny: Classifier, small_run: RunData) -> None:
    list(top_activations(tiny, small_run, most=6))
    assert stored_counts(small_run) == {"images": 6, "pooled": 6, "moved": 6}
    ids = set(strongest(small_run, "features.4", 0)["id"])
    assert len(ids) == 6
    assert {name.split("/")[0] for name in ids} == set(small_run.classes)


def test_pictures_that_are_gone(tiny: Classifier, small_run: RunData, pictures: Path) -> None:
    for name in small_run.table["id"][:5]:
        (pictures / str(name)).unlink()
    list(top_activations(tiny, small_run))
    assert (stored_counts(small_run) or {})["images"] == 13
    for name in small_run.table["id"][5:]:
        (pictures / str(name)).unlink()
    (small_run.folder / ABOUT).unlink()
    with pytest.raises(UserError, match=r"none of them can be read in .*: put them back there"):
        list(top_activations(tiny, small_run))
    assert stored_counts(small_run) is None


def test_a_survey_that_lost_a_file_is_none(tiny: Classifier, small_run: RunData) -> None:
    list(top_activations(tiny, small_run))
    (small_run.folder / DEPTH).unlink()
    assert stored_counts(small_run) is None
    (small_run.folder / ABOUT).write_text("{")
    assert stored_counts(small_run) is None


def test_a_second_survey_is_read_anew(tiny: Classifier, small_run: RunData) -> None:
    list(top_activations(tiny, small_run, most=3))
    assert len(strongest(small_run, "features.4", 0)) == 3
    list(top_activations(tiny, small_run, most=6))
    assert len(strongest(small_run, "features.4", 0)) == 6


def test_a_folder_that_cannot_be_written(tiny: Classifier, small_run: RunData) -> None:
    (small_run.folder / f"{STRONGEST}.tmp").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        list(top_activations(tiny, small_run))


def test_a_run_with_a_survey_is_still_a_run(tiny: Classifier, small_run: RunData) -> None:
    list(top_activations(tiny, small_run))
    again = open_run(small_run.folder)
    assert len(again.table) == 18
    assert json.loads((small_run.folder / ABOUT).read_text())["images"] == 18


def test_the_strip(tiny: Classifier, small_run: RunData) -> None:
    layer = next(
        layer for layer in layers(tiny.model, torch.rand(1, 3, 32, 32)) if layer.name == "features.4"
    )
    assert 'data-action="survey"' in strongest_strip(small_run, layer, 0, (32, 32))
    assert 'data-action="survey"' not in strongest_strip(small_run, layer, 0, (32, 32), offered=False)
    list(top_activations(tiny, small_run))
    strip = strongest_strip(small_run, layer, 3, (32, 32))
    assert strip.count('data-action="row"') == KEPT
    assert strip.count("vt-box") == KEPT
    assert "None: the pass over the run did not include this layer" in strongest_strip(
        small_run, replace(layer, name="other"), 0, (32, 32)
    )
    assert receptive_area(layer, 0, 0, (32, 32)) == (0, 0, 4, 4)
    assert receptive_area(replace(layer, field=None), 0, 0, (32, 32)) is None
