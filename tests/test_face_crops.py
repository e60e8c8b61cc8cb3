"""Faces on the command line: `explain`, `data crop-faces`, `train --domain`; and what the shipped network
answers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explain.cli.faces import FaceOptions
from explain.methods.live import open_session
from explain.methods.reproduce import command_line, python_lines
from explain.methods.request import MapRequest
from explain.render import normalize, overlay_on_photo, placed
from models import checkpoints
from models.classifier import Classifier
from models.data.images import HEIC_REMEDY, HEIC_SUFFIXES, SUFFIXES, open_image
from models.data.open import open_data
from models.errors import UserError
from models.faces import detectors, lbp, tracking
from models.faces.boxes import SMALLEST_FACE, FaceBox
from models.faces.crop import FaceRequest, crop_face
from models.faces.detectors import find_faces
from models.faces.folder import LIST, FolderCrops
from models.faces.tracking import FaceTracker
from models.preprocessing import Preprocessing
from models.registry import load
from tests.command import launch, one_line
from tests.test_faces import HOPPER, astronaut, cascade, montage

FER = "fer_vgg:fer2013"


@pytest.fixture(autouse=True)
def searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lbp, "_cascade", cascade)


@pytest.fixture
def photos(drawn: Path, tmp_path: Path) -> Path:
    return shutil.copytree(drawn, tmp_path / "photos")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes; a photo of two faces, one of none, and a file that is no image."""
    folder = tmp_path_factory.mktemp("drawn") / "photos"
    for name in ("happy", "neutral/more"):
        (folder / name).mkdir(parents=True)
    astronaut().save(folder / "happy" / "a.png")
    shutil.copy(HOPPER, folder / "neutral" / "more" / "hopper.jpg")
    montage().save(folder / "happy" / "two.png")
    Image.new("RGB", (64, 48), "grey").save(folder / "neutral" / "none.png")
    (folder / "neutral" / "bad.jpg").write_text("no image")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("side", [32, 40, 48, 56, 80])
def test_patterns_of_a_few_pixels_are_no_faces(side: int) -> None:
    """The cascade takes some for faces where a small picture is enlarged for it."""
    small = astronaut().resize((side, side))
    assert lbp.find(small)
    crop = crop_face(small, FaceRequest(margin=2.0))  # no margin makes a face of one
    assert (crop.boxes, crop.region) == ((), None)
    assert crop.described == "No face found: the whole picture is used."


@pytest.mark.slow
@pytest.mark.parametrize("side", [96, 128])
def test_small_faces_are_found_alone(side: int) -> None:
    [box] = find_faces(astronaut().resize((side, side)))
    assert SMALLEST_FACE <= box.side < 0.2 * side + 1
    assert 0.15 * side < box.center[1] < 0.25 * side


def test_the_smallest_face_is_the_same_for_every_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    least, below = FaceBox(40, 10, 16, 12, 1), FaceBox(70, 10, 15.9, 15.9, 2)
    monkeypatch.setattr(detectors, "opened", lambda text: lambda image: [below, least])
    monkeypatch.setattr(tracking, "opened", detectors.opened)
    monkeypatch.setattr(lbp, "find", lambda picture, working: [below])
    picture = Image.new("RGB", (100, 60))
    assert find_faces(picture, "other.onnx") == (least,)
    assert FaceTracker(FaceRequest(detector="other.onnx")).crop(picture, 0).boxes == (least,)
    assert FaceTracker(FaceRequest()).crop(picture, 0).boxes == ()


@pytest.mark.slow
def test_a_folder_keeps_its_classes_and_counts_what_is_missing(photos: Path, tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in photos.rglob("*") if p.is_file()}
    out = tmp_path / "crops"
    done = launch("data", "crop-faces", str(photos), "--out", str(out))
    assert "happy/two.png: 2 faces found: the largest is used" in done
    assert "neutral/none.png: no face found: left out" in done
    assert "neutral/bad.jpg: unreadable: not a picture of a known format" in done
    assert (
        "5 photos of 5: 3 cropped, 0 written whole, 1 without a face, 1 with several faces, 1 unreadable"
        in done
    )
    files = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png"))
    assert files == ["happy/a.png", "happy/two.png", "neutral/more/hopper.png"]
    assert before == {p: p.read_bytes() for p in photos.rglob("*") if p.is_file()}
    face = open_session(load(FER), open_image(HOPPER), FaceRequest()).face
    assert face is not None
    assert open_image(out / files[2]).tobytes() == face.of(open_image(HOPPER)).tobytes()
    assert open_data(str(out)).classes == ("happy", "neutral")


@pytest.mark.slow
def test_a_stopped_folder_is_resumed(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, request, made = tmp_path / "crops", FaceRequest(), list[str]()

    def stop(fraction: float) -> None:
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(FolderCrops(photos, out, request).steps(stop))
    with (out / LIST).open("a") as file:
        file.write('{"photo": "neutral/none')  # a line that was cut off
    finished = {p: p.stat().st_mtime_ns for p in out.rglob("*.png")}
    assert 0 < len(finished) < 3
    crop = FolderCrops._cropped
    monkeypatch.setattr(FolderCrops, "_cropped", lambda self, a, b: (made.append(a), crop(self, a, b))[1])
    rest = FolderCrops(photos, out, request)
    list(rest.steps())
    assert len(made) == 2
    assert rest.counts.startswith("5 photos of 5: 3 cropped")
    assert all(p.stat().st_mtime_ns == when for p, when in finished.items())
    lines = [json.loads(line) for line in (out / LIST).read_text().splitlines()]
    assert len(lines) == 6
    with pytest.raises(UserError, match="made with other options"):
        FolderCrops(photos, out, replace(request, margin=0.2))


def test_what_a_folder_of_crops_refuses(photos: Path, tmp_path: Path) -> None:
    for folder, out, message in (
        (tmp_path / "none", tmp_path / "out", "No folder"),
        (photos, photos / "crops", "lies in the other"),
        (photos / "happy", photos, "lies in the other"),
        (photos, tmp_path, "lies in the other"),
    ):
        with pytest.raises(UserError, match=message):
            FolderCrops(folder, out, FaceRequest())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        FolderCrops(photos, tmp_path / "full", FaceRequest())
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="No images in"):
        FolderCrops(tmp_path / "empty", tmp_path / "out", FaceRequest())


def test_photos_that_are_not_read_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Phones write HEIC, which a package has to be installed for."""
    monkeypatch.setattr("models.data.folder.SUFFIXES", SUFFIXES - set(HEIC_SUFFIXES))
    monkeypatch.setattr("models.data.skipped.REFUSED", {".heic": ("HEIC", HEIC_REMEDY)})
    photos, out = tmp_path / "photos", tmp_path / "crops"
    photos.mkdir()
    (photos / "IMG_1.HEIC").write_bytes(b"heic")
    (photos / ".hidden").write_bytes(b"")
    unread = f"1 file not read, it is no picture of a known format (.heic 1); HEIC: {HEIC_REMEDY}"
    with pytest.raises(UserError) as refused:
        FolderCrops(photos, out, FaceRequest())
    assert str(refused.value).startswith(f"No images in '{photos}': give a folder of JPEG, ")
    assert str(refused.value).endswith(f" images. {unread}.")
    Image.new("RGB", (64, 48), "grey").save(photos / "a.png")
    done = launch("data", "crop-faces", str(photos), "--out", str(out))
    assert done.startswith(f"1 hidden file (.name) not used; {unread}\n")
    assert "1 photo of 1: 0 cropped" in done


@pytest.mark.slow
def test_crops_of_photos_of_one_name_have_two(photos: Path, tmp_path: Path) -> None:
    for suffix in ("jpg", "bmp", "jpg.png"):
        astronaut().save(photos / "happy" / f"a.{suffix}")
    list(FolderCrops(photos, tmp_path / "crops", FaceRequest(), whole=True).steps())
    names = {p.name for p in (tmp_path / "crops" / "happy").iterdir()}
    assert names == {"a.png.png", "a.jpg.png", "a.bmp.png", "a.jpg.png.png", "two.png.png"}
    assert open_image(tmp_path / "crops" / "neutral" / "none.png.png").size == (64, 48)


@pytest.mark.slow
def test_known_photos_are_not_angry() -> None:
    """The astronaut smiles with her teeth; Hopper looks straight ahead."""
    classifier = load(FER)
    prob = open_session(classifier, astronaut(), FaceRequest()).prob
    assert classifier.classes[prob.argmax()] == "happy"
    prob = open_session(classifier, open_image(HOPPER), FaceRequest()).prob
    assert classifier.classes[prob.argmax()] in ("neutral", "happy")
    assert prob[classifier.classes.index("angry")] + prob[classifier.classes.index("fear")] < 0.3


@pytest.mark.slow
def test_the_network_gets_the_crop(tiny: Classifier) -> None:
    photo = montage()
    for which in ("auto", "1", "2", "off"):
        session = open_session(tiny, photo, FaceRequest(which))
        assert session.face is not None
        by_hand = photo if session.face.region is None else photo.crop(session.face.region)
        np.testing.assert_array_equal(session.prob, open_session(tiny, by_hand).prob)
        assert session.photo is photo
    assert open_session(tiny, photo).face is None


def test_maps_lie_on_the_photo_where_the_network_looked(tiny: Classifier) -> None:
    """Also where the network's own preprocessing crops the crop once more."""
    session = open_session(tiny, montage(), FaceRequest())
    assert session.face is not None
    assert session.place == session.face.region
    fed = Preprocessing((32, 32), 64, tiny.mean, tiny.std)  # the middle half of each side
    session = open_session(replace(tiny, preprocessing=fed), montage(), FaceRequest())
    assert session.face is not None
    assert session.face.region is not None
    left, top, right, bottom = session.face.region
    side = right - left
    expected = left + side / 4, top + side / 4, right - side / 4, bottom - side / 4
    assert session.place == pytest.approx(expected)
    assert open_session(tiny, montage(), FaceRequest("off")).place is None


@pytest.mark.slow
def test_a_map_is_placed_by_hand() -> None:
    whole = placed(np.array([[1.0, 0.5]]), (2, 1, 6, 3), (8, 4))
    assert whole.shape == (4, 8)
    assert whole[1:3, 2:6].min() >= 0.5
    assert whole.sum() == whole[1:3, 2:6].sum()
    beyond = placed(np.ones((2, 2)), (-2, -2, 2, 2), (8, 4))
    assert beyond.sum() == 4
    photo = Image.new("RGB", (2400, 1200), "grey")
    shown = np.asarray(overlay_on_photo(photo, normalize(np.ones((7, 7))), (600, 0, 1200, 600)))
    assert shown.shape == (600, 1200, 3)
    changed = (shown != 128).any(-1)
    assert changed[:300, 300:600].all()
    assert changed.sum() == 300 * 300


@pytest.mark.slow
def test_explain_says_what_the_network_got(tmp_path: Path) -> None:
    montage().save(tmp_path / "two.png")
    words = ["explain", str(tmp_path / "two.png"), "--model", FER, "--methods", "grad_cam"]
    out = tmp_path / "maps"
    done = launch(*words, "--out", str(out))
    assert "faces    2 faces found; the largest is used, with 1.2 % margin: " in done
    assert {p.name for p in out.iterdir()} == {
        "two.faces.json",
        *(f"two.grad_cam{end}" for end in (".npy", ".map.png", ".photo.png", ".png")),
    }
    found = json.loads((out / "two.faces.json").read_text())
    assert (found["used"], found["detector"], found["margin"], len(found["boxes"])) == (1, "lbp", 0.012, 2)
    second = launch(*words, "--out", str(tmp_path / "second"), "--faces", "2")
    assert "number 2 is used" in second
    crop = json.loads((tmp_path / "second" / "two.faces.json").read_text())["crop"]
    montage().crop(crop).save(tmp_path / "two.png")
    again = launch(*words, "--out", str(tmp_path / "third"), "--faces", "off")
    assert "faces    Faces are not looked for: the whole picture is used." in again
    probabilities = [[line for line in text.splitlines() if " %  " in line] for text in (second, again)]
    assert probabilities[0] == probabilities[1]
    assert "--faces 9: 1 face found" in one_line(*words, "--out", str(out), "--faces", "9")


def test_faces_are_looked_for_where_the_network_is_about_them() -> None:
    assert FaceOptions().request("") is None
    assert FaceOptions().request("faces") == FaceRequest()
    assert FaceOptions("2").request("") == FaceRequest("2")
    assert FaceOptions("off").request("faces") == FaceRequest("off")
    with pytest.raises(UserError, match="add --faces auto"):
        FaceOptions(face_margin=0.2).request("")
    assert load(FER).domain == "faces"
    assert load("fer_vgg:toon_faces").domain == load("fer_vgg:toon_faces", options=None).domain == ""


def test_a_command_repeats_the_choice_of_a_face() -> None:
    requests = [MapRequest("grad_cam")]
    given = command_line("p.jpg", FER, "", (), requests, faces=FaceRequest("2", margin=0.1))
    assert "--faces 2 --face-margin 0.1" in given
    assert "--faces off" in command_line("p.jpg", FER, "", (), requests, faces=FaceRequest("off"))
    assert "--face" not in command_line("p.jpg", FER, "", (), requests)
    python = python_lines("p.jpg", FER, "", requests, faces=FaceRequest("2", margin=0.1))
    assert "from models.faces.crop import FaceRequest\n" in python
    assert "open_image(Path('p.jpg')), FaceRequest('2', margin=0.1))\n" in python
    for text in (python, python_lines("p.jpg", FER, "", requests, faces=FaceRequest("off"))):
        compile(text, "script", "exec")


@pytest.mark.slow
@pytest.mark.usefixtures("charts_not_drawn")
def test_a_training_says_its_domain_and_fine_tuning_keeps_it(pictures: Path, tmp_path: Path) -> None:
    words = ["train", "--data", str(pictures), "--epochs", "1", "--batch-size", "4", "--model", "tiny_conv"]
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    launch(*words, "--domain", "faces", "--out", str(first))
    assert checkpoints.describe(first)["domain"] == "faces"
    assert load(str(first)).domain == "faces"
    recipe = ["--recipe", "features", "--head-epochs", "1", "--weights", str(first)]
    launch(*words, *recipe, "--out", str(second))
    assert load(str(second)).domain == "faces"
    out = str(tmp_path / "third.safetensors")
    assert "No domain 'cats'" in one_line(*words, "--domain", "cats", "--out", out)
