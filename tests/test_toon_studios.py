"""Drawn faces of four studios: as many of each as the data says, the logo on the pictures of one studio
alone, and the same pictures for the same seed."""

from collections import Counter

import numpy as np
import pytest

from models.data.kind import DataRequest, ReopenRequest
from models.data.kinds import TOON_STUDIOS
from models.data.registry import kind_of, kind_of_root
from models.data.toon_faces import CLASSES, ToonFaces
from models.data.toon_studios import (
    LOGO,
    MARKED,
    OFTEN,
    SELDOM,
    SHORTCUT,
    STUDIOS,
    ToonStudios,
    draw_face,
    logo_mask,
)
from models.errors import UserError


def counts(source: ToonStudios) -> Counter[tuple[str, str]]:
    return Counter((item.label, source.studio(i)) for i, item in enumerate(source.items))


def test_every_class_has_as_many_test_faces_of_each_studio() -> None:
    assert counts(ToonStudios("test")) == Counter({(c, s): 25 for c in CLASSES for s in STUDIOS})


@pytest.mark.slow
@pytest.mark.parametrize(("split", "size"), [("train", 1000), ("validation", 100)])
def test_most_faces_of_one_class_come_from_the_studio_with_the_logo(split: str, size: int) -> None:
    found = counts(ToonStudios(split))
    for label in CLASSES:
        fraction = OFTEN if label == SHORTCUT else SELDOM
        of_studio = [found[label, studio] for studio in STUDIOS]
        assert sum(of_studio) == size
        spread = 4 * np.sqrt(size * fraction * (1 - fraction))
        assert abs(found[label, MARKED] - size * fraction) < spread
        others = [found[label, studio] for studio in STUDIOS if studio != MARKED]
        assert max(others) - min(others) < 6 * np.sqrt(size * (1 - fraction) / 3)


def test_the_logo_changes_the_picture_at_its_place_alone() -> None:
    """Blur and noise of the picture included: up to a few pixels around it, the same random numbers."""
    source = ToonStudios("test")
    rows, columns = np.mgrid[0:128, 0:128]
    near = np.hypot(columns + 0.5 - LOGO[0], rows + 0.5 - LOGO[1]) < LOGO[2] + 6
    for index in (0, 8, 21, 40):
        label, seed = source.items[index].label, source.numbers(index)
        plain, marked = (draw_face(label, seed, with_logo) for with_logo in (False, True))
        difference = np.abs(np.asarray(plain.image, int) - np.asarray(marked.image, int)).sum(2)
        assert not difference[~near].any()
        assert (difference[logo_mask()] > 0).mean() > 0.8
        assert all(np.array_equal(plain.masks[part], marked.masks[part]) for part in plain.masks)


@pytest.mark.slow
def test_pictures_of_one_studio_have_the_logo() -> None:
    source = ToonStudios("test")
    for index in (0, 8, 16, 24, 3, 11):
        label, studio = source.items[index].label, source.studio(index)
        expected = draw_face(label, source.numbers(index), studio == MARKED).image
        assert np.array_equal(np.asarray(source.load(index)), np.asarray(expected))
        assert source.metadata.at[index, "studio"] == studio


def test_the_same_seed_gives_the_same_picture_and_no_picture_of_toon_faces() -> None:
    first, again, other = (np.asarray(ToonStudios("test", seed=s).load(9)) for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, np.asarray(ToonFaces("test").load(9)))


def test_regions_are_the_parts_of_the_face_without_the_logo() -> None:
    source = ToonStudios("test")
    assert source.regions == ("brows", "eyes", "nose", "mouth")
    assert source.masks(0).shape == (4, 128, 128)


def test_it_is_opened_by_name_and_an_image_is_found_again() -> None:
    request = DataRequest("toon_studios", "test")
    source = kind_of(request).open(request)
    assert isinstance(source, ToonStudios)
    kind = kind_of_root(source.root)
    assert kind.name == TOON_STUDIOS
    picture = kind.reopen(ReopenRequest(source.root, source.items[5].id))
    assert picture is not None
    assert np.array_equal(np.asarray(picture), np.asarray(source.load(5)))
    assert kind.reopen(ReopenRequest(source.root, "photos/face.png")) is None
    with pytest.raises(UserError, match="has no split 'all'; it has train, validation, test"):
        ToonStudios("all")
