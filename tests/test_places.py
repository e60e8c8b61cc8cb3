"""Where maps should lie: regions that drawn data and registered sources know, and boxes of a table."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import vitrine
from explain.quality.described.places import Regions
from explain.quality.plan import measurements
from explain.run.reader import RunData
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.kinds import MOVED, VISIBLE
from models.data.reopen import places
from models.data.tables.boxes import Boxes, read_boxes
from models.data.toon_attributes import ToonAttributes, places_of
from models.data.toon_faces import CLASSES, PARTS, ToonFaces, draw_face
from models.preprocessing import Preprocessing
from tests.conftest import TinyNet

CELLS = 8


def test_a_toon_face_knows_the_parts_that_its_expression_moves() -> None:
    face = ToonFaces("test").face(3)
    assert face.expression == "surprise"
    [(name, place)] = places("toon_faces:0", "test/surprise/00003.png", "surprise").items()
    assert name == MOVED
    assert np.array_equal(place, face.masks["brows"] | face.masks["eyes"] | face.masks["mouth"])
    assert not places("toon_faces:0", "test/surprise/00003.png", "fear")  # where a wrong answer should look
    neutral = places("toon_faces:0", "test/neutral/00000.png", "neutral")[MOVED]
    assert np.array_equal(neutral, np.any([ToonFaces("test").face(0).masks[p] for p in PARTS], axis=0))
    for odd in ("other.png", "test/surprise/x.png", "test/surprise/99999.png"):
        assert not places("toon_faces:0", odd, "surprise")


def test_a_face_with_attributes_knows_the_places_of_its_labels() -> None:
    source = ToonAttributes("test", 12)
    index, label = next((i, item.labels[0]) for i, item in enumerate(source.items) if item.labels)
    face = source.face(index)
    name = source.items[index].id
    found = places("toon_attributes:0", name, label)[VISIBLE]
    assert np.array_equal(found, np.any([face.masks[p] for p in places_of(label)], axis=0))
    absent = next(one for one in source.classes if one not in face.labels)
    assert not places("toon_attributes:0", name, absent)


@pytest.fixture
def masked(pictures: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """A source of a person, whose images have regions of two names."""
    left, top = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    left[:, :20], top[:10] = True, True
    known = {"left": left, "top": top}
    vitrine.register_data_source(
        "masked", lambda request: FolderSource(pictures), masks=lambda root, name: known if name else {}
    )
    yield known
    vitrine.unregister_data_source("masked")


def test_a_registered_source_names_its_regions(masked: Mapping[str, np.ndarray]) -> None:
    found = places("masked:x", "a.png", "red")
    assert {name: mask.tolist() for name, mask in found.items()} == {
        name: mask.tolist() for name, mask in masked.items()
    }
    assert not places("masked:x", "a.png", "red", trusted=False)  # of a run that others made


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
def test_regions_are_seen_as_the_network_sees_them(tmp_path: Path) -> None:
    """Toon faces through a run, against means of blocks of the masks."""
    torch.manual_seed(0)
    view = Preprocessing(size=(128, 128), resize=None, mean=(0.5,) * 3, std=(0.5,) * 3)
    net = vitrine.wrap(TinyNet(8).eval(), CLASSES, view)
    opened = vitrine.run(net, "toon_faces", tmp_path / "run", methods=["grad_cam"], limit=24, force=True)
    trust = vitrine.trust(opened, net, images=24, cells=CELLS, steps=2, figures="insertion_deletion")
    table = opened.table
    right = table[table["label"] == table["pred"]]
    assert 0 < len(right) < 24
    assert set(trust.localization["region"]) == {MOVED}
    assert set(trust.localization["images"]) == {len(right)}
    areas = []
    for row in right.index:
        expression = CLASSES[table.at[row, "label"]]
        _, _, name = table.at[row, "id"].split("/")
        mask = draw_face(expression, (0, 2, int(name[:-4]))).evidence
        expected = mask.reshape(CELLS, 16, CELLS, 16).mean((1, 3))
        found = Regions(opened, net).of(row, int(table.at[row, "pred"]), (CELLS, CELLS))[MOVED]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        areas.append(expected.mean())
    assert trust.localization["area"].iloc[0] == pytest.approx(np.mean(areas), abs=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
def test_regions_of_several_labels(tmp_path: Path) -> None:
    """Of one label the faces that have it; of the most probable labels those that have theirs."""
    torch.manual_seed(0)
    view = Preprocessing(size=(128, 128), resize=None, mean=(0.5,) * 3, std=(0.5,) * 3)
    source = ToonAttributes("test", 16)
    net = vitrine.wrap(TinyNet(14).eval(), source.classes, view, task="multi-label")
    vitrine.run(net, "toon_attributes", tmp_path / "run", methods=["grad_cam"], limit=16, force=True)
    label = "beard"
    for asked in (label, ""):
        opened = vitrine.open_run(tmp_path / "run", asked)
        trust = vitrine.trust(opened, net, images=16, cells=CELLS, steps=2, figures="insertion_deletion")
        areas = []
        for row in opened.ok.index:
            face = ToonAttributes("test").face(int(opened.table.at[row, "id"].split("/")[1][:-4]))
            name = asked or opened.classes[int(opened.shown_class(int(row)) or 0)]
            if name in face.labels:
                areas.append(face.evidence(name).mean())
        assert 0 < len(areas) < 16
        assert set(trust.localization["region"]) == {VISIBLE}
        assert trust.localization["area"].iloc[0] == pytest.approx(np.mean(areas), abs=1e-6)


# --- boxes


def test_boxes_are_matched_to_images_by_path_or_name(tmp_path: Path) -> None:
    rows = ["spot/a.png,cat,0,0,4,2", "a.png,,8,8,10,10", "b,dog,1,1,3,3", "c.png,cat,0,0,1,1"]
    (tmp_path / "boxes.csv").write_text("\n".join(["Image,label,x1,y1,x2,y2", *rows]))
    boxes = read_boxes(tmp_path / "boxes.csv", ["spot/a.png", "other/b.jpg"])
    assert boxes.unmatched == 1
    mask = boxes.mask("spot/a.png", "Cat", (12, 10))
    assert mask is not None
    expected = np.zeros((10, 12), bool)
    expected[0:2, 0:4] = expected[8:10, 8:10] = True
    assert np.array_equal(mask, expected)
    other = boxes.mask("spot/a.png", "dog", (12, 10))  # the box without a label alone
    assert other is not None
    assert other.sum() == 4
    assert boxes.mask("other/b.jpg", "cat", (12, 10)) is None
    assert boxes.mask("nowhere.png", "cat", (12, 10)) is None


def test_a_name_that_two_images_have_is_not_matched(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("file,xmin,ymin,xmax,ymax\nx/0.png,0,0,4,4\n0.png,0,0,4,4\n")
    boxes = read_boxes(tmp_path / "boxes.csv", ["x/0.png", "y/0.png"])
    assert (len(boxes.table), boxes.unmatched) == (1, 1)


def test_equal_boxes_have_equal_keys(tmp_path: Path) -> None:
    keys = []
    for rows in (["a,1,1,2,2", "b,1,1,3,3"], ["b,1,1,3,3", "a,1,1,2,2"], ["a,1,1,2,2", "b,1,1,3,4"]):
        (tmp_path / "boxes.csv").write_text("\n".join(["image,left,top,right,bottom", *rows]))
        keys.append(read_boxes(tmp_path / "boxes.csv", ["a.png", "b.png"]).key)
    assert keys[0] == keys[1] != keys[2]


def test_boxes_follow_resize_and_crop(small_run: RunData, tiny: Classifier, tmp_path: Path) -> None:
    """A picture of 80 × 40 pixels is cropped to its middle 40 × 40, and enlarged to 32 × 32."""
    name = str(small_run.table.at[0, "id"])
    Image.new("RGB", (80, 40)).save(Path(small_run.manifest.data_root) / name)
    (tmp_path / "boxes.csv").write_text(f"image,left,top,right,bottom\n{name},0,0,40,40\n")
    boxes = read_boxes(tmp_path / "boxes.csv", [name])
    view = Preprocessing(size=(32, 32), resize=32, mean=(0.5,) * 3, std=(0.5,) * 3)
    seen = Classifier("tiny", tiny.model, tiny.classes, view, "", "")
    region = Regions(small_run, seen, boxes).of(0, 0, (4, 4))["boxes"]
    np.testing.assert_allclose(region[:, :2], 1, atol=0.05)
    np.testing.assert_allclose(region[:, 2:], 0, atol=0.05)
    assert not Regions(small_run, seen, boxes).of(1, 0, (4, 4))


def test_other_boxes_are_another_measurement(small_run: RunData, tiny: Classifier, tmp_path: Path) -> None:
    folders = []
    for side in (4, 5):
        (tmp_path / "boxes.csv").write_text(
            f"image,left,top,right,bottom\n{small_run.table.at[0, 'id']},0,0,{side},4\n"
        )
        boxes = read_boxes(tmp_path / "boxes.csv", list(small_run.table["id"]))
        [work] = measurements(tiny, small_run, images=10, boxes=boxes)
        assert work.beside is not None
        folders.append((work.store.folder, work.beside.store.folder))
    assert folders[0][0] == folders[1][0]  # the curves do not depend on them
    assert folders[0][1] != folders[1][1]


def test_boxes_outside_of_the_image_are_none() -> None:
    rows = [("a", "", 400.0, 400.0, 500.0, 500.0), ("b", "", 40.0, 40.0, 500.0, 500.0)]
    boxes = Boxes(pd.DataFrame(rows, columns=["image", "label", "left", "top", "right", "bottom"]))
    assert boxes.mask("a", "cat", (48, 48)) is None
    inside = boxes.mask("b", "cat", (48, 48))
    assert inside is not None
    assert inside.sum() == 8 * 8
