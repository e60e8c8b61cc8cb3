"""The drawn faces: the same for the same seed, with the truth about where their parts are."""

import numpy as np
import pytest

from models.data.open import open_data
from models.data.toon_faces import CLASSES, PARTS, ToonFaces, draw_face
from models.data.toon_faces.action_units import EXPRESSIONS, moved_parts, part_of
from models.errors import UserError


def test_expressions_are_those_of_facs() -> None:
    assert EXPRESSIONS["happiness"] == (6, 12)
    assert EXPRESSIONS["fear"] == (1, 2, 4, 5, 20, 26)
    assert moved_parts("surprise") == ("brows", "eyes", "mouth")
    assert moved_parts("disgust") == ("nose", "mouth")
    assert moved_parts("neutral") == ()
    assert {part_of(u) for units in EXPRESSIONS.values() for u in units} == set(PARTS)


@pytest.mark.parametrize("expression", CLASSES)
def test_faces(expression: str) -> None:
    face, again, other = (draw_face(expression, seed) for seed in ((0, 5), (0, 5), (0, 6)))
    assert face.image.size == (128, 128)
    assert np.array_equal(np.asarray(face.image), np.asarray(again.image))
    assert not np.array_equal(np.asarray(face.image), np.asarray(other.image))
    assert all(face.masks[p].shape == (128, 128) for p in PARTS)
    assert face.moved == moved_parts(expression)
    for unit in EXPRESSIONS[expression]:
        assert face.action[unit] > 0


@pytest.mark.slow
def test_masks_lie_where_the_parts_are() -> None:
    """Over many faces: brows above eyes above nose above mouth, in a face that turns and moves."""
    faces = [ToonFaces("test").face(i) for i in range(0, 64)]
    centers = np.array(
        [
            [np.argwhere(f.masks[p]).mean(0)[0] for p in PARTS]
            for f in faces
            if all(f.masks[p].any() for p in PARTS)
        ]
    )
    assert len(centers) > 55
    assert (np.diff(centers, axis=1) > 0).mean() > 0.97


@pytest.mark.parametrize(
    ("expression", "part"),
    [("happiness", "mouth"), ("surprise", "mouth"), ("disgust", "nose"), ("anger", "brows")],
)
def test_the_difference_to_neutral_lies_in_the_moved_parts(expression: str, part: str) -> None:
    """The same person and scene with and without the expression differ most, per pixel, where the action
    units moved."""
    from models.data.toon_faces.draw import FaceArtist
    from models.data.toon_faces.identity import sample_identity, sample_scene
    from models.data.toon_faces.photograph import part_masks

    fractions = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        who, scene = sample_identity(rng), sample_scene(rng)
        drawn = []
        for strength in (0.0, 0.9):
            artist = FaceArtist(who, dict.fromkeys(EXPRESSIONS[expression], strength), 0, scene, rng)
            artist.face()
            drawn.append((np.asarray(artist.pen.picture.reduce(4), float), part_masks(artist)))
        change = np.abs(drawn[0][0] - drawn[1][0]).sum(2)
        fractions.append(change[drawn[1][1][part]].mean() / change.mean())
    assert np.median(fractions) > 2.5  # 1 were chance


def test_splits_differ_and_limit_keeps_all_classes() -> None:
    test, train = ToonFaces("test"), ToonFaces("train")
    assert (len(test), len(train), len(ToonFaces("validation"))) == (800, 8000, 800)
    assert not np.array_equal(np.asarray(test.load(3)), np.asarray(train.load(3)))
    assert not np.array_equal(np.asarray(test.load(3)), np.asarray(ToonFaces("test", seed=1).load(3)))
    with pytest.raises(UserError, match="no split 'holiday'"):
        open_data("toon_faces", "holiday")


def test_evidence_is_the_moved_parts() -> None:
    face = draw_face("disgust", (0, 1))
    assert np.array_equal(face.evidence, face.masks["nose"] | face.masks["mouth"])
    assert draw_face("neutral", (0, 1)).evidence.any()
