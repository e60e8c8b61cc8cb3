"""The drawn faces with 14 labels: labels are what was drawn, each can be seen, in its own place alone, and no
face is in two splits."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from models.data.open import open_data
from models.data.registry import kind_of_root
from models.data.reopen import reopen
from models.data.toon_attributes import CLASSES, PLACES, SPLITS, ToonAttributes, cast, draw_face, prevalence
from models.data.toon_attributes.labels import LABELS
from models.errors import UserError

EXCLUDED = [{label.name, label.given} for label in LABELS if label.given and not label.rate_with]


@pytest.fixture(scope="module")
def train() -> ToonAttributes:
    return ToonAttributes("train")


def test_rates_and_pairs(train: ToonAttributes) -> None:
    """Each label is as frequent as its rate says; AU6 comes with AU12; what cancels each other never does."""
    truth = np.array([[name in (item.labels or ()) for name in CLASSES] for item in train.items])
    expected, n = np.array(list(prevalence().values())), len(truth)
    assert (len(CLASSES), n) == (14, 6000)
    assert (np.abs(truth.mean(0) - expected) < 4 * np.sqrt(expected * (1 - expected) / n)).all()
    assert 0.02 < expected.min() < 0.03
    assert expected.max() == 0.4
    smile, cheeks = (truth[:, CLASSES.index(name)] for name in ("AU12 lip corner puller", "AU6 cheek raiser"))
    assert 0.45 < cheeks[smile].mean() < 0.55
    assert cheeks[~smile].mean() < 0.07
    for pair in EXCLUDED:
        assert not truth[:, [CLASSES.index(name) for name in pair]].all(1).any()
    hat = [CLASSES.index("hat"), CLASSES.index("glasses")]  # of no pair
    assert abs(np.corrcoef(truth[:, hat].T)[0, 1]) < 0.05


def test_labels_are_what_was_drawn(train: ToonAttributes) -> None:
    for index in (0, 7):
        face, item = train.face(index), train.items[index]
        assert face.labels == set(item.labels or ())
        again = draw_face((0, 0, index), frozenset(item.labels or ()))
        assert np.array_equal(np.asarray(face.image), np.asarray(again.image))
        masks = train.masks(index)
        assert masks.shape == (len(PLACES), 128, 128)
        assert masks.any((1, 2)).all()
    assert train.items[7].id == "train/00007.png"


@pytest.mark.parametrize("name", CLASSES)
def test_a_label_changes_its_own_place_alone(name: str) -> None:
    """The same person and scene, with and without the label: what differs can be seen, and lies where the
    label's evidence is."""
    others = set().union(*(pair for pair in EXCLUDED if name in pair)) if EXCLUDED else set()
    for index in range(3):
        without = draw_face((0, 0, index)).labels - others - {name}
        a, b = draw_face((0, 0, index), without), draw_face((0, 0, index), without | {name})
        assert b.labels - a.labels == {name}
        changed = np.abs(np.asarray(a.image, float) - np.asarray(b.image, float)).sum(2)
        place = binary_dilation(a.evidence(name) | b.evidence(name), iterations=3)
        assert place.mean() < 0.3
        assert changed[place].sum() / changed.sum() > 0.9
        assert np.sort(changed.ravel())[-30:].mean() / 3 > 15  # grey values; noise is at most 7


@pytest.mark.slow
def test_no_face_is_in_two_splits() -> None:
    people = {
        (cast((0, stream, i)).who, cast((0, stream, i)).scene)
        for stream, _ in SPLITS.values()
        for i in range(100)
    }
    assert len(people) == 300
    first = [ToonAttributes(split, 1).face(0).image.tobytes() for split in SPLITS]
    assert len({*first, ToonAttributes("test", 1, seed=1).face(0).image.tobytes()}) == 4


@pytest.mark.slow
def test_opened_and_reopened_by_its_name() -> None:
    test = open_data("toon_attributes", limit=5)
    assert (test.name, test.multi_label, test.classes) == ("toon_attributes/test", True, CLASSES)
    assert test.metadata is not None
    assert {"skin", "hair", "turned"} <= set(test.metadata)
    assert not {"beard", "glasses"} & set(test.metadata)
    drawn = reopen(test.root, test.items[2].id)
    assert np.array_equal(np.asarray(drawn), np.asarray(test.load(2)))
    assert not kind_of_root(test.root).private
    assert reopen(test.root, "no/such.png") is None
    with pytest.raises(UserError, match="no split 'holiday'"):
        open_data("toon_attributes", "holiday")
