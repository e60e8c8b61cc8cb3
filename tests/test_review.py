"""The review of labels: answers are kept and become notes, of one reviewer and of several, and what is not
allowed changes nothing."""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pandas as pd
import pytest

from dashboard.server.permissions import Access
from dashboard.session.context import Context
from dashboard.tabs.registry import open_to
from dashboard.tabs.review import ReviewTab
from explain.analysis.findings import Findings
from explain.analysis.label_errors.review import Review, predicted
from explain.run.people.notes import NOTES, UNKNOWN, add
from explain.run.people.notes import read as notes_of
from explain.run.people.review import AGREE, OTHER, REVIEW, SKIP, SUSPICIOUS, UNSURE, Answer, answer, read
from explain.run.reader import RunData, open_run
from models.data.corrections import corrected, read_corrections
from models.data.folder import FolderSource
from models.errors import UserError
from tests.command import run_command

CLASSES = ("red", "green", "blue")


def said(image: str, by: str, kind: str, label: str = "") -> Answer:
    return Answer(image, by, kind, "red", label)


# -- answers in the folder -------------------------------------------------------------------------


def test_answers_are_kept_and_what_most_say_becomes_the_note(tmp_path: Path) -> None:
    answer(tmp_path, said("a", "ann", OTHER, "green"), CLASSES)
    assert notes_of(tmp_path)["a"].label == "green"
    assert notes_of(tmp_path)["a"].by == "ann"
    answer(tmp_path, said("a", "bob", AGREE), CLASSES)  # one against one: undecided
    assert notes_of(tmp_path) == {}
    answer(tmp_path, said("a", "cy", OTHER, "blue"), CLASSES)  # wrong, but which class?
    assert notes_of(tmp_path)["a"].label == UNKNOWN
    answer(tmp_path, said("a", "dee", OTHER, "green"), CLASSES)
    assert notes_of(tmp_path)["a"].label == "green"
    answer(tmp_path, said("a", "dee", UNSURE), CLASSES)  # the last answer of a reviewer counts
    assert notes_of(tmp_path)["a"].label == UNKNOWN
    assert [one.kind for one in read(tmp_path).values()] == [OTHER, AGREE, OTHER, UNSURE]
    assert all(one.at for one in read(tmp_path).values())


def test_notes_of_others_stay_where_reviewers_agree_with_the_label(tmp_path: Path) -> None:
    add(tmp_path, "a", "label", "blue", "editor", CLASSES)
    for kind in (AGREE, SKIP, UNSURE):
        answer(tmp_path, said("a", "ann", kind), CLASSES)
    assert notes_of(tmp_path)["a"].label == "blue"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (said("a", "ann", OTHER, "giraffe"), "No class 'giraffe'"),
        (said("a", "ann", OTHER), "No class ''"),
        (said("a", "ann", "maybe"), "No answer 'maybe'"),
        (said("a", "  ", AGREE), "1 to 80 letters, got 0"),
        (said("a", "x" * 81, AGREE), "1 to 80 letters, got 81"),
    ],
)
def test_what_is_not_allowed_changes_nothing(tmp_path: Path, given: Answer, message: str) -> None:
    answer(tmp_path, said("a", "ann", OTHER, "green"), CLASSES)
    before = [(tmp_path / name).read_bytes() for name in (REVIEW, NOTES)]
    with pytest.raises(UserError, match=message):
        answer(tmp_path, given, CLASSES)
    assert [(tmp_path / name).read_bytes() for name in (REVIEW, NOTES)] == before


def test_lines_that_are_torn_or_not_ours_are_passed_over(tmp_path: Path) -> None:
    for image in "abc":
        answer(tmp_path, said(image, "ann", AGREE), CLASSES)
    path = tmp_path / REVIEW
    os.truncate(path, path.stat().st_size - 9)
    assert {image for _, image in read(tmp_path)} == {"a", "b"}
    with path.open("ab") as file:
        file.write(b'\n[1]\n{"id": 4}\n\xff\n')
        whole = json.loads(path.read_bytes().splitlines()[0])
        for change in ({"kind": "x"}, {"position": "y"}, {"probability": "nan"}, {"stratum": 1e999}):
            file.write(json.dumps(whole | {"id": "d"} | change).encode() + b"\n")
    answer(tmp_path, said("e", "ann", AGREE), CLASSES)
    assert {image for _, image in read(tmp_path)} == {"a", "b", "e"}
    assert read(tmp_path / "nowhere") == {}


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        answer(tmp_path / "file", said("a", "ann", AGREE), CLASSES)


# -- a review --------------------------------------------------------------------------------------


def review_all(review: Review, name: str, count: int) -> None:
    """Answers of one who knows the truth."""
    for _ in range(count):
        shown = review.next(name)
        assert shown is not None
        truth = shown.row % 8
        assert review.answer(name, shown.row, OTHER, review.run.classes[truth])


def test_the_stored_probability_is_that_of_the_sample(review_run: RunData) -> None:
    review = Review(Findings(review_run))
    review_all(review, "ann", 9)
    answers = review.of("ann")
    assert [one.part == SUSPICIOUS for one in answers] == [False, False, True] * 3
    for one in answers:
        order = review.sample.orders[one.stratum]
        assert int(order[one.position - 1]) == review.rows[one.id]
        assert one.probability == one.position / one.size == one.position / len(order)
    assert [one.kind for one in answers].count(AGREE) > 3  # the given label as the right one agrees


def test_the_most_suspicious_follow_what_was_learned(review_run: RunData) -> None:
    review = Review(Findings(review_run))
    review_all(review, "ann", 30)
    answers = review.of("ann")
    wrong = [one.kind == OTHER for one in answers if one.part == SUSPICIOUS]
    assert sum(wrong) >= 8  # of 10; a tenth of all labels
    assert review.progress().wrong == sum(one.kind == OTHER for one in answers)
    ranking, before = review.ranking(), Findings(review_run).suspicion
    assert not ranking.equals(before)
    assert list(ranking.index) == list(before.index)


def test_undo_shows_the_image_again_and_takes_its_note_back(review_run: RunData) -> None:
    review = Review(Findings(review_run))
    review_all(review, "ann", 12)
    shown = review.next("ann")
    assert shown is not None
    other = (int(review_run.ok.at[shown.row, "label"]) + 1) % 8
    image = str(review_run.ok.at[shown.row, "id"])
    assert review.answer("ann", shown.row, OTHER, review_run.classes[other])
    assert notes_of(review_run.folder)[image].label == review_run.classes[other]
    assert not review.answer("ann", shown.row, AGREE)  # a key that was pressed twice
    review.undo("ann")
    assert review.next("ann") == shown
    assert image not in notes_of(review_run.folder)
    assert len(review.of("ann")) == 12
    with pytest.raises(UserError, match="bob has no answer"):
        review.undo("bob")


@pytest.mark.slow
def test_two_reviewers_see_the_same_sample_and_are_kept_apart(review_run: RunData) -> None:
    review = Review(Findings(review_run))
    review_all(review, "ann", 60)
    assert Review(Findings(open_run(review_run.folder))).progress() == review.progress()
    for _ in range(30):
        shown = review.next("bob")
        assert shown is not None
        review.answer("bob", shown.row, AGREE)
    own = {one.id for one in review.of("bob") if one.part != SUSPICIOUS}
    both = own & {one.id for one in review.of("ann")}
    assert len(both) >= 0.9 * len(own) == 0.9 * 20
    progress = review.progress()
    assert {name: len(given) for name, given in progress.reviewers.items()} == {"ann": 60, "bob": 30}
    (agreement,) = progress.agreements
    assert agreement.images >= len(both)
    assert 0 < agreement.same < agreement.images
    guess, probability = predicted(review, review.of("bob")[0])
    row = review.rows[review.of("bob")[0].id]
    assert guess == review_run.classes[int(review_run.ok.at[row, "pred"])]
    assert probability == pytest.approx(review_run.prob(row).max(), rel=1e-5)


@pytest.mark.slow
def test_forty_answers_give_an_estimate_and_before_that_what_is_missing(review_run: RunData) -> None:
    review = Review(Findings(review_run))
    review_all(review, "ann", 39)
    assert (review.progress().estimate, review.progress().missing) == (None, 1)
    review_all(review, "ann", 1)
    found = review.progress().estimate
    assert found is not None
    truth = (review_run.ok["label"].to_numpy() != review_run.ok.index.to_numpy() % 8).mean()
    assert found.low <= truth <= found.high
    review_all(review, "ann", 360)
    assert review.next("ann") is None
    found = review.progress().estimate
    assert found is not None
    assert found.fraction == pytest.approx(truth)
    assert found.low == found.high


# -- on the page, and in files ---------------------------------------------------------------------


def tab_of(run: RunData) -> ReviewTab:
    with gr.Blocks():
        return ReviewTab(Context(run))


def clicked(action: str, value: object = "") -> gr.SelectData:
    return gr.SelectData(None, {"index": action, "value": value})


def test_a_click_answers_and_reveals_what_the_network_said(review_run: RunData) -> None:
    tab = tab_of(review_run)
    name, card, state = tab.act("", clicked("name", "  Ann   B. "))
    assert name == "Ann B."
    assert "Label: <b>class" in card
    assert "the network predicts" not in card
    assert "An estimate needs 40 answers more." in state
    shown = Review(Findings(review_run)).next("Ann B.")
    assert shown is not None
    given = review_run.classes[int(review_run.ok.at[shown.row, "label"])]
    k = (review_run.classes.index(given) + 1) % 8
    assert f'data-key="a {review_run.classes.index(given) + 1}"' in card  # its own digit agrees
    _, card, state = tab.act("Ann B.", clicked("say", f"{shown.row} other {k}"))
    assert f"label {given}, your answer {review_run.classes[k]}; the network predicts" in card
    assert "An estimate needs 39 answers more." in state
    assert "labels.csv" in state
    _, card, _ = tab.act("Ann B.", clicked("undo"))
    assert "the network predicts" not in card
    _, card, _ = tab.act("Ann B.", clicked(f"pick:{shown.row}", str(k)))
    assert "your answer" in card


@pytest.mark.parametrize(
    ("action", "value"),
    [("say", "0 other 8"), ("say", "0 other x"), ("say", "9999 agree"), ("pick:x", "1"), ("undo", "")],
)
def test_clicks_that_name_nothing_are_refused(review_run: RunData, action: str, value: str) -> None:
    with pytest.raises(gr.Error):
        tab_of(review_run).act("ann", clicked(action, value))
    assert not (review_run.folder / REVIEW).exists()


def test_nothing_without_a_name_and_nothing_for_visitors(review_run: RunData) -> None:
    tab = tab_of(review_run)
    shown = Review(Findings(review_run)).next("ann")
    assert shown is not None
    with pytest.raises(gr.Error, match="name"):
        tab.act("", clicked("say", f"{shown.row} agree"))
    name, card, _ = tab.opened("", SimpleNamespace(username="eve"))  # type: ignore[arg-type]
    assert name == "eve"
    assert "Label:" in card
    visitors = replace_access(tab, Access.VISITOR)
    for call in (lambda: visitors.act("ann", clicked("undo")), lambda: visitors.opened("ann", None)):
        with pytest.raises(gr.Error, match="Visitors can look"):
            call()
    assert "review" not in [tab.ID for tab in open_to(Access.VISITOR, review_run)]
    assert "review" in [tab.ID for tab in open_to(Access.OWNER, review_run)]
    assert not (review_run.folder / REVIEW).exists()


def replace_access(tab: ReviewTab, access: Access) -> ReviewTab:
    tab._ctx = replace(tab._ctx, access=access)
    return tab


def test_answers_are_corrections_of_trainings(small_run: RunData, pictures: Path, tmp_path: Path) -> None:
    """From the review through `notes --labels` to what `train --labels` reads."""
    review = Review(Findings(small_run))
    shown = review.next("ann")
    assert shown is not None
    image, old = (str(small_run.ok.at[shown.row, key]) for key in ("id", "label"))
    new = next(name for k, name in enumerate(small_run.classes) if k != int(old))
    review.answer("ann", shown.row, OTHER, new)
    done = run_command("notes", small_run.folder, "--labels", tmp_path / "labels.csv")
    assert done.returncode == 0, done.stderr
    assert "review     1 answer of ann" in done.stdout
    assert pd.read_csv(tmp_path / "labels.csv")[["image", "label"]].to_numpy().tolist() == [[image, new]]
    source = corrected(FolderSource(pictures), read_corrections(tmp_path / "labels.csv"))
    assert {item.id: item.label for item in source.items}[image] == new
    assert "1 label corrected" in str(source.note)
