"""Another image's map as a control of the check of one map: which image it is, its figures against a plain
loop, and what is said where there is none."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from explain.methods.baseline import baseline
from explain.methods.compute import MapResult
from explain.methods.live import ImageSession, MapRequest, open_session
from explain.network.hooks import capture
from explain.quality.controls import partners
from explain.quality.images import image_batches, near, same_picture
from explain.quality.one_map import check, other_image
from explain.quality.one_map.check import check_map, known_check
from explain.quality.one_map.map_check import OTHER, OWN
from explain.quality.one_map.map_scores import measured
from explain.quality.one_map.other_image import NO_RUN, OtherImages
from explain.quality.sample import targets
from explain.run.engine import run as start
from explain.run.image_stats import HASH, perceptual_hash
from explain.run.outputs.label_sets import LabelRun
from explain.run.reader import RunData, open_run
from explain.run.trusted_data import allow
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.errors import Cancelled, UserError
from tests.label_runs import drawn, label_sets
from tests.number_runs import made_up
from tests.test_map_badge import left_as_found

__all__ = ["left_as_found"]  # a fixture

CELLS, STEPS = 14, 10
ROW, NEXT = 1, 4
PRED = [0, 1, 2, 0] + [1, 0, 2] * 4 + [0, 0]
"""Predictions of the run, of which the class of `ROW` comes again at `NEXT`."""
Predicted = Callable[[Sequence[int]], RunData]


@pytest.fixture
def predicted(small_run: RunData) -> Predicted:
    """The run as if these classes had been predicted, of pictures that differ."""

    def made(pred: Sequence[int]) -> RunData:
        hashes = (np.arange(len(pred)) * 0x1F3D5B79).astype(np.int64)
        return replace(small_run, table=small_run.table.assign(pred=pred, **{HASH: hashes}))

    return made


@pytest.fixture
def run(small_run: RunData) -> RunData:
    return replace(small_run, table=small_run.table.assign(pred=PRED))


def pictured(run: RunData, row: int) -> Image.Image:
    return Image.open(Path(run.manifest.data_root) / run.table.at[row, "id"]).convert("RGB")


@pytest.fixture
def session(tiny: Classifier, run: RunData) -> ImageSession:
    """Of `ROW`."""
    with torch.no_grad():
        tiny.model.head.weight.mul_(6)  # type: ignore[operator, union-attr]
    return open_session(tiny, pictured(run, ROW))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that were read: each is an image of its number, with a hash that no other has."""
    rows = list[int]()

    def read(classifier: Classifier, run: RunData, row: int) -> tuple[Tensor, int]:
        rows.append(row)
        return torch.full((1,), float(row)), 2**64 - 1

    monkeypatch.setattr(other_image, "read_image", read)
    return rows


def found(run: RunData, row: int, target: int, tiny: Classifier) -> tuple[int, str]:
    """The row of the other image, and what is said of it."""
    x, text = OtherImages(run, row).find(tiny, torch.full((1,), float(row)), target)
    return int(x), text


def runs(predicted: Predicted, folder: Path) -> list[RunData]:
    """Of one class per image, of several labels, of one of these, and of numbers."""
    sets = label_sets(folder, *drawn(30, [0.3, 0.4, 0.5]))
    return [predicted(PRED), sets.whole, sets.label(1), made_up(12)]


def test_it_is_the_image_that_a_trust_run_takes(
    predicted: Predicted, tiny: Classifier, reads: list[int], tmp_path: Path
) -> None:
    for run in runs(predicted, tmp_path):
        rows = run.ok.index.tolist()
        classes = targets(run, rows)
        for row, target, other in zip(rows, classes, partners(classes), strict=True):
            taken, text = found(run, row, target, tiny)
            assert taken == rows[other] != row
            assert targets(run, [taken]) == [target]
            assert str(run.table.at[taken, "id"]) in text
    assert len(reads) == sum(len(run.ok) for run in runs(predicted, tmp_path))  # each reads one


def test_of_another_target_it_is_an_image_of_that_class(
    predicted: Predicted, tiny: Classifier, reads: list[int], tmp_path: Path
) -> None:
    run, labels = runs(predicted, tmp_path)[:2]
    assert found(run, ROW, 2, tiny) == (2, f"The other image is {run.table.at[2, 'id']}, predicted as blue.")
    shown = labels.shown_class(0)
    assert shown is not None
    assert "as the most probable label." in found(labels, 0, shown, tiny)[1]
    for label in {0, 1, 2} - {shown}:  # a label that is asked for, as after `trust --label`
        assert found(labels, 0, label, tiny) == (1, "The other image is 00001.png.")


def test_copies_are_passed_over(predicted: Predicted, tiny: Classifier, reads: list[int]) -> None:
    run = predicted(PRED)
    same = PRED.index(1, NEXT + 1)
    run.table.loc[NEXT, HASH] = run.table.at[ROW, HASH] ^ 0b11  # another version of a library decodes it
    assert found(run, ROW, 1, tiny)[0] == same
    assert reads == [same]
    without = replace(run, table=run.table.drop(columns=HASH))
    x = torch.full((1,), float(NEXT))  # the same pixels
    assert int(OtherImages(without, ROW).find(tiny, x, 1)[0]) == same
    run.table.loc[:, HASH] = 7
    with pytest.raises(UserError, match=r"^All other images of the run predicted as green are copies of"):
        found(run, ROW, 1, tiny)


def test_near_duplicates_are_those_of_a_plain_loop(run: RunData) -> None:
    """Also where some rows have no hash, as images that cannot be read."""
    rng = np.random.default_rng(0)
    flips = rng.integers(0, 2, (18, 64)) * (rng.random((18, 1)) < rng.random((18, 64)))
    near_ones = [7 ^ sum(1 << int(k) for k in np.flatnonzero(bits)[: n % 7]) for n, bits in enumerate(flips)]
    hashes = pd.array([None if n % 5 == 4 else one for n, one in enumerate(near_ones)], "UInt64")
    hashes[ROW] = 7
    changed, rows = replace(run, table=run.table.assign(**{HASH: hashes})), run.table.index.to_numpy()
    found = near(changed, rows, [7])
    assert found.tolist() == [same_picture(changed, ROW, row) for row in rows]
    assert 3 < found.sum() < 15
    assert near(changed, rows, [2**64 - 1, 7]).tolist() == found.tolist()
    assert not near(replace(run, table=run.table.drop(columns=HASH)), rows, [7]).any()


def test_hashes_keep_their_bits_beside_images_that_cannot_be_read(
    tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    """Of these the run has none, and floats have 53 bits."""
    (pictures / "red" / "9.png").write_bytes(b"nothing")
    start(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"])
    run = open_run(tmp_path / "run")
    allow(str(pictures), run.table["id"])
    rows = run.ok.index.tolist()
    assert len(rows) == len(run.table) - 1
    views = [tiny.preprocessing.view(pictured(run, row)) for row in rows]
    assert run.ok[HASH].tolist() == [perceptual_hash(view) for view in views]
    assert sum(len(batch) for batch in image_batches(tiny, run, rows)) == len(rows)


def test_what_cannot_be_read_is_passed_over_and_not_for_ever(
    predicted: Predicted, tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked, x = predicted(PRED), list[int](), torch.zeros(1)
    monkeypatch.setattr(other_image, "read_image", lambda net, run, row: asked.append(row))
    with pytest.raises(UserError) as error:
        found(run, ROW, 1, tiny)
    of = "other images of the run predicted as"
    assert str(error.value) == (
        f"Of 4 {of} green, 4 cannot be read, or are not the pictures of the run any more."
    )
    assert asked == [row for row, c in enumerate(PRED) if c == 1 and row != ROW]
    run.table.loc[asked[:3], HASH] = run.table.at[ROW, HASH]
    with pytest.raises(UserError) as error:
        found(run, ROW, 1, tiny)
    assert str(error.value) == (
        f"Of 4 {of} green, 3 are copies of this one; 1 cannot be read, or is not the picture of the run any "
        "more."
    )
    asked.clear()
    monkeypatch.setattr(other_image, "TRIES", 10)
    with pytest.raises(UserError) as error:
        found(predicted([0] * len(PRED)), 0, 0, tiny)
    assert asked == [*range(1, 11)]
    assert str(error.value) == (
        f"Of 17 {of} red, 10 cannot be read, or are not the pictures of the run any more; 7 were not tried."
    )
    asked.clear()

    def on_progress(fraction: float) -> None:
        if len(asked) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        OtherImages(predicted(PRED), ROW).find(tiny, x, 1, on_progress=on_progress)
    assert len(asked) == 2


@pytest.mark.parametrize("hashes", [True, False])
def test_a_copy_of_the_picture_that_is_shown_is_passed_over(
    run: RunData, tiny: Classifier, hashes: bool
) -> None:
    """Where another file has taken the place of the row's since the run."""
    run = run if hashes else replace(run, table=run.table.drop(columns=HASH))
    before = open_session(tiny, pictured(run, ROW))
    assert f"{run.table.at[NEXT, 'id']}," in OtherImages(run, ROW).find(tiny, before.x, 1, before.image)[1]
    now = open_session(tiny, pictured(run, NEXT).resize((300, 250)))
    same = PRED.index(1, NEXT + 1)
    assert f"{run.table.at[same, 'id']}," in OtherImages(run, ROW).find(tiny, now.x, 1, now.image)[1]


def test_files_that_are_back_are_compared_when_the_check_is_asked_for(
    session: ImageSession, run: RunData
) -> None:
    result, others = session.map(MapRequest("grad_cam", "features", 1)), OtherImages(run, ROW)
    folder = Path(run.manifest.data_root)
    folder.rename(away := folder.with_name("away"))
    lacking = check_map(session, result, others=others)
    assert "Of 4 other images of the run predicted as green, 4 cannot be read" in lacking.other_image
    away.rename(folder)
    assert known_check(session, result, others) is lacking
    made = check_map(session, result, others=others)
    assert OTHER in made.areas
    assert known_check(session, result, others) is check_map(session, result, others=others) is made


@pytest.mark.usefixtures("left_as_found")
def test_a_method_that_breaks_on_the_other_image_leaves_the_check(
    session: ImageSession, run: RunData, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, logged = session.map(MapRequest("grad_cam", "features", 1)), list[str]()
    kept, error = check.compute_maps, ValueError
    log = logging.getLogger("vitrine")
    monkeypatch.setattr(log, "exception", lambda text, *given: logged.append(text % given))

    def breaks(model: nn.Module, x: Tensor, *given: Any, **options: Any) -> MapResult:
        if x is not session.x:
            raise error("boom")
        return kept(model, x, *given, **options)

    monkeypatch.setattr(check, "compute_maps", breaks)
    made = check_map(session, result, others=OtherImages(run, ROW))
    assert made.other_image == (
        "Not compared with another image's map. The method did not work on it (ValueError); the log has more."
    )
    assert [*made.areas] == [OWN, "center", "noise", "edges", "random_network"]
    assert logged == ["in grad_cam of another image's map"]
    error = Cancelled  # type: ignore[assignment]
    with pytest.raises(Cancelled):
        check_map(session, result, others=OtherImages(run, ROW))


def areas_of(session: ImageSession, cells: Tensor, target: int) -> list[float]:
    """Below the curves of insertion and deletion, cell by cell."""
    x, base = session.x, baseline(session.x, "blur")
    order = cells.flatten().argsort(descending=True).tolist()
    place = torch.arange(32) * CELLS // 32
    number = place[:, None] * CELLS + place
    areas = list[float]()
    for stronger, weaker in ((x, base), (base, x)):
        scores = []
        for step in range(STEPS + 1):
            first = order[: round(step / STEPS * CELLS * CELLS)]
            inside = torch.isin(number, torch.tensor(first, dtype=torch.long))
            with torch.no_grad():
                answer = session.classifier.model(torch.where(inside, stronger, weaker))
            scores.append(float(answer.softmax(1)[0, target]))
        areas.append(float(np.trapezoid(scores, dx=1 / STEPS)))
    return areas


@pytest.mark.usefixtures("left_as_found")
def test_its_figures_are_those_of_a_plain_loop(session: ImageSession, run: RunData) -> None:
    """Of the map of the other image, as the run reads it, for the class of the map."""
    result = session.map(MapRequest("grad_cam", "features", 1))
    done = list[float]()
    made = check_map(session, result, done.append, OtherImages(run, ROW))
    x = session.classifier.batch([pictured(run, NEXT)])
    captured = capture(session.classifier.model, x, "features")
    weights = captured.gradient(torch.tensor([1])).mean((2, 3), keepdim=True)
    cam = (weights * captured.activation).sum(1)
    cells = F.interpolate(cam[:, None], (CELLS, CELLS), mode="bilinear", align_corners=False)
    assert made.areas[OTHER] == pytest.approx(areas_of(session, cells, 1), abs=1e-5)
    assert made.areas[OTHER] != pytest.approx(made.areas[OWN], abs=1e-3)
    assert made.other_image == f"The other image is {run.table.at[NEXT, 'id']}, predicted as green."
    assert made.lines[-1] == made.other_image
    assert [*made.areas] == [OWN, "center", "noise", "edges", OTHER, "random_network"]
    assert done == sorted(done)
    assert 0 <= done[0] <= done[-1] <= 1


def test_a_check_is_kept_by_what_it_was_compared_with(session: ImageSession, run: RunData) -> None:
    result, others = session.map(MapRequest("grad_cam", "features", 1)), OtherImages(run, ROW)
    photo = check_map(session, result)
    assert photo.other_image == f"Not compared with another image's map. {NO_RUN}"
    assert OTHER not in photo.areas
    assert known_check(session, result, others) is None
    made = check_map(session, result, others=others)
    assert check_map(session, result, others=OtherImages(run, ROW)) is made
    assert check_map(session, result) is photo
    assert made.areas[OWN] == photo.areas[OWN]


@pytest.mark.usefixtures("left_as_found")
@pytest.mark.parametrize(("stop", "of_random"), [(0.0, False), (0.14, False), (0.16, True)])
def test_it_can_be_cancelled_in_its_map(
    session: ImageSession, run: RunData, stop: float, of_random: bool
) -> None:
    """Then comes that of the random network."""
    result, others = session.map(MapRequest("occlusion", target=1)), OtherImages(run, ROW)

    def on_progress(fraction: float) -> None:
        if fraction >= stop:
            raise Cancelled

    with pytest.raises(Cancelled):
        check_map(session, result, on_progress, others)
    assert known_check(session, result, others) is None
    assert (measured(session).random is not None) == of_random


def test_a_class_of_one_image_says_so(
    session: ImageSession, predicted: Predicted, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = session.map(MapRequest("grad_cam", "features", 1))
    made = check_map(session, result, others=OtherImages(predicted([0, 1] + [0] * 16), ROW))
    assert OTHER not in made.areas
    assert made.other_image == (
        "Not compared with another image's map. The run has no other image predicted as green."
    )
    result = session.map(MapRequest("input_x_gradient", target=1))
    monkeypatch.setattr(other_image, "read_image", lambda net, run, row: (torch.zeros_like(session.x), 0))
    made = check_map(session, result, others=OtherImages(predicted(PRED), ROW))
    assert OTHER not in made.areas
    assert made.other_image == (
        "Not compared with another image's map: its map prefers no part of the image."
    )


def test_a_label_that_is_opened_alone_is_of_every_image(tiny: Classifier, tmp_path: Path) -> None:
    """Of one image the run has no other."""
    alone = label_sets(tmp_path, *drawn(1, [0.5, 0.5])).label(0)
    assert isinstance(alone, LabelRun)
    with pytest.raises(UserError, match=r"^The run has no other image\.$"):
        found(alone, 0, 0, tiny)
