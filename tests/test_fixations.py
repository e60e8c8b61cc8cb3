"""Fixations from tables and from the folders of known sets; what lies outside, is exchanged, or missing."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

from models.errors import UserError
from models.gaze.density import people
from models.gaze.fixations import open_gaze

SIZE = (30, 40)  # height, width


def picture(path: Path, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)).save(path)
    return path


def table(
    folder: Path,
    rows: list[tuple[object, ...]],
    columns: tuple[str, ...] = ("image", "x", "y", "subject"),
    images: int = 3,
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(images):
        picture(folder / "images" / f"{k}.png")
    pd.DataFrame(rows, columns=list(columns)).to_csv(folder / "fixations.csv", index=False)
    return str(folder / "fixations.csv")


ROWS = [
    ("0.png", 1.5, 2, "ann"),
    ("0.png", 39.9, 29.9, "bob"),
    ("1.png", 20, 10, "ann"),
    ("2.png", 0, 0, "cid"),
]


def test_a_table(tmp_path: Path) -> None:
    found = open_gaze(table(tmp_path, ROWS))
    assert [i.id for i in found.images] == ["0.png", "1.png", "2.png"]
    first = found.images[0]
    assert (first.size, first.rows.tolist(), first.cols.tolist(), first.subjects) == (
        SIZE,
        [2, 29],
        [1, 39],
        [0, 1],
    )
    assert found.name == tmp_path.name
    assert open_gaze(str(tmp_path)).fingerprint() == found.fingerprint()  # a folder that holds such a table


def test_coordinates_that_count_from_one(tmp_path: Path) -> None:
    rows = [(n, x + 1, y + 1, s) for n, x, y, s in ROWS]
    found, plain = (
        open_gaze(table(tmp_path / "one", rows), origin=1),
        open_gaze(table(tmp_path / "zero", ROWS)),
    )
    assert found.images[0].x == pytest.approx(plain.images[0].x)
    assert (
        "1 of 4 fixations outside" in open_gaze(table(tmp_path / "one", rows)).note
    )  # 40.9 is beyond the last column
    with pytest.raises(UserError, match="from 0 or from 1"):
        open_gaze(table(tmp_path / "two", rows), origin=2)


def test_coordinates_as_shares(tmp_path: Path) -> None:
    found = open_gaze(table(tmp_path, [("0.png", 0.5, 0.1, "a"), ("0.png", 1.0, 1.0, "a")]))
    assert "fractions of width and height" in found.note
    assert (found.images[0].cols.tolist(), found.images[0].rows.tolist()) == ([19, 39], [2, 29])


def test_other_names_of_columns(tmp_path: Path) -> None:
    spoken = open_gaze(table(tmp_path / "a", ROWS, ("Stimulus", "FIX_X", "fix_y", "Participant")))
    tracker = open_gaze(
        table(
            tmp_path / "d", ROWS, ("Image Name", "CURRENT_FIX_X", "CURRENT_FIX_Y", "RECORDING_SESSION_LABEL")
        )
    )
    other = table(tmp_path / "b", ROWS, ("what", "across", "down", "who"))
    named = open_gaze(other, image_col="what", x_col="across", y_col="down", subject_col="who")
    for found in (spoken, named, tracker):
        assert (found.fixations, found.images[0].subjects) == (4, [0, 1])
    assert (
        open_gaze(table(tmp_path / "c", [r[:3] for r in ROWS], ("image", "x", "y"))).images[0].subjects == []
    )


def test_what_is_outside_is_dropped_and_counted(tmp_path: Path) -> None:
    found = open_gaze(
        table(
            tmp_path,
            [*ROWS, ("0.png", 40, 5, "ann"), ("1.png", -0.1, 5, "ann"), ("2.png", "blink", "", "ann")],
        )
    )
    assert "2 of 6 fixations outside of their images dropped" in found.note
    assert "1 row without a position" in found.note
    assert found.fixations == 4


def test_an_image_without_fixations_is_left_out(tmp_path: Path) -> None:
    found = open_gaze(table(tmp_path, [*ROWS[:3], ("2.png", 99, 99, "cid")]))
    assert [i.id for i in found.images] == ["0.png", "1.png"]
    assert "1 image without a fixation left out" in found.note


def test_exchanged_columns_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        ("0.png", y, x, "ann") for x, y in zip(rng.uniform(0, 40, 200), rng.uniform(0, 30, 200), strict=True)
    ]
    with pytest.raises(UserError, match="add --x-col y --y-col x"):
        open_gaze(table(tmp_path, rows))
    assert open_gaze(table(tmp_path, rows), x_col="y", y_col="x").fixations == 200


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (("image", "x", "depth", "who"), "--y-col"),
        (("picture no", "x", "y", "who"), "--image-col"),
        (("image", "subject", "y", "x"), "hold no numbers"),
    ],
)
def test_missing_columns(tmp_path: Path, columns: tuple[str, ...], text: str) -> None:
    with pytest.raises(UserError, match=text):
        open_gaze(table(tmp_path, ROWS, columns))


def test_pictures_that_are_not_there(tmp_path: Path) -> None:
    rows = [*ROWS, ("9.png", 1, 1, "ann")]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "broken.png").write_bytes(b"no picture")
    found = open_gaze(table(tmp_path, [*rows, ("broken.png", 1, 1, "ann")]))
    assert "2 images that cannot be read left out (first: 9.png (file not found))" in found.note
    with pytest.raises(UserError, match="None of the 1 image "):
        open_gaze(table(tmp_path / "none", [("gone.png", 1, 1, "a")], images=0))


def test_all_outside(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pixels of these images"):
        open_gaze(table(tmp_path, [("0.png", 500, 900, "a"), ("1.png", 800, 300, "a")]))


def test_turned_photos_have_upright_sizes(tmp_path: Path) -> None:
    path = table(tmp_path, [("0.jpg", 25, 35, "a")], images=0)
    exif = Image.Exif()
    exif[274] = 6
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "images" / "0.jpg", exif=exif)
    image = open_gaze(path).images[0]
    assert image.size == (40, 30) == image.load().size[::-1]


def test_every_fifth_image_is_test(tmp_path: Path) -> None:
    found = open_gaze(table(tmp_path, [(f"{k}.png", 1, 1, "a") for k in range(10)], images=10))
    assert [i.id for i in found.part("test").images] == ["4.png", "9.png"]
    with pytest.raises(UserError, match="train, validation, test, all"):
        found.part("dev")
    with pytest.raises(UserError, match="none of them in the part 'validation'"):
        found.part("validation")


def test_parts_cover_everything_once(tmp_path: Path) -> None:
    found = open_gaze(table(tmp_path, [(f"{k}.png", 1, 1, "a") for k in range(40)], images=40))
    parts = [[i.id for i in found.part(which).images] for which in ("train", "validation", "test")]
    assert [len(p) for p in parts] == [29, 3, 8]
    assert sorted(i for part in parts for i in part) == [i.id for i in found.images]


def test_salicon_with_matlab_files(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "train" / "COCO_1.jpg")
    gaze = np.zeros(2, dtype=[("location", "O"), ("timestamp", "O"), ("fixations", "O")])
    for k, places in enumerate(([[1, 1], [40, 30]], [[11, 21]])):
        gaze[k] = (np.zeros((1, 2)), np.zeros(1), np.array(places))
    (tmp_path / "fixations" / "train").mkdir(parents=True)
    savemat(
        tmp_path / "fixations" / "train" / "COCO_1.mat",
        {"image": "COCO_1", "resolution": [30, 40], "gaze": gaze[:, None]},
    )
    found = open_gaze(str(tmp_path))
    assert "SALICON" in found.note
    image = found.images[0]
    assert (image.id, image.cols.tolist(), image.rows.tolist(), image.subject.tolist()) == (
        "train/COCO_1.jpg",
        [0, 39, 10],
        [0, 29, 20],
        [0, 0, 1],
    )


def test_salicon_with_annotations(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "COCO_7.jpg")
    (tmp_path / "annotations").mkdir()
    people = [
        {"image_id": 7, "worker_id": 1, "fixations": [[1, 1], [30, 40]]},
        {"image_id": 7, "worker_id": 2, "fixations": [[21, 11]]},
    ]
    spoken = {"images": [{"id": 7, "file_name": "COCO_7.jpg"}], "annotations": people}
    (tmp_path / "annotations" / "fixations_train2014.json").write_text(json.dumps(spoken))
    image = open_gaze(str(tmp_path)).images[0]
    assert (image.cols.tolist(), image.rows.tolist(), image.subject.tolist()) == (
        [0, 39, 10],
        [0, 29, 20],
        [0, 0, 1],
    )
    (tmp_path / "annotations" / "fixations_train2014.json").write_text('{"images": []}')
    with pytest.raises(UserError, match="SALICON's annotations"):
        open_gaze(str(tmp_path))


def test_mit1003(tmp_path: Path) -> None:
    picture(tmp_path / "ALLSTIMULI" / "a.jpeg", (60, 80))
    points = np.zeros((60, 80), np.uint8)
    points[10, 20] = points[40, 70] = points[41, 70] = 255
    (tmp_path / "ALLFIXATIONMAPS").mkdir()
    Image.fromarray(points).save(tmp_path / "ALLFIXATIONMAPS" / "a_fixPts.jpg", quality=95)
    Image.fromarray(points).save(tmp_path / "ALLFIXATIONMAPS" / "a_fixMap.jpg", quality=95)
    image = open_gaze(str(tmp_path)).images[0]
    assert image.id == "a.jpeg"
    assert sorted(zip(image.rows.tolist(), image.cols.tolist(), strict=True)) == [
        (10, 20),
        (40, 70),
    ]  # two white pixels are one spot
    assert image.map_file is not None


def test_cat2000(tmp_path: Path) -> None:
    picture(tmp_path / "Stimuli" / "Action" / "001.jpg")
    picture(tmp_path / "Stimuli" / "Action" / "Output" / "001_SaliencyMap.jpg")
    places = np.zeros(SIZE, np.uint8)
    places[3, 4] = places[29, 39] = 1
    (tmp_path / "FIXATIONLOCS" / "Action").mkdir(parents=True)
    savemat(tmp_path / "FIXATIONLOCS" / "Action" / "001.mat", {"fixLocs": places})
    found = open_gaze(str(tmp_path))
    assert [i.id for i in found.images] == ["Action/001.jpg"]
    assert (found.images[0].rows.tolist(), found.images[0].cols.tolist(), found.images[0].subjects) == (
        [3, 29],
        [4, 39],
        [],
    )
    (tmp_path / "FIXATIONLOCS" / "Action" / "001.mat").write_bytes(b"nothing of MATLAB's")
    with pytest.raises(UserError, match="MATLAB"):
        open_gaze(str(tmp_path))


def test_densities_alone(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg")
    drawn = np.zeros((15, 20), np.uint8)
    drawn[5:8, 10:14] = 200
    (tmp_path / "maps").mkdir()
    Image.fromarray(drawn).save(tmp_path / "maps" / "a.png")
    image = open_gaze(str(tmp_path)).images[0]
    found = people(image, 24.0)
    assert (len(image.x), found.shape) == (0, SIZE)
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert np.unravel_index(found.argmax(), SIZE) in [(r, c) for r in range(10, 16) for c in range(20, 28)]


def test_folders_that_are_no_such_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="MIT1003"):
        open_gaze(str(tmp_path))
    with pytest.raises(UserError, match="No fixations at"):
        open_gaze(str(tmp_path / "nowhere.csv"))
    (tmp_path / "images").mkdir()
    (tmp_path / "maps").mkdir()
    with pytest.raises(UserError, match="no image in them"):
        open_gaze(str(tmp_path))
