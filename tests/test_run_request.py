"""A run is what was asked for: whatever changes a prediction or a label is another run, and changed images
are done again."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from explain.analysis.findings import Findings, analyze
from explain.run.engine import run
from explain.run.format import REQUEST, part_files
from explain.run.model import as_in_run
from explain.run.people.notes import add, read
from explain.run.reader import RunData, open_run
from models.classifier import Classifier
from models.data.corrections import corrected, read_corrections
from models.data.folder import FolderSource
from models.data.images import UnreadableImage
from models.errors import UserError

METHODS = ["grad_cam", "layer_cam"]


def again(
    classifier: Classifier, pictures: Path, opened: RunData, **options: object
) -> tuple[RunData, list[str]]:
    message: list[str] = []
    run(classifier, FolderSource(pictures), opened.folder, METHODS, say=message.append, **options)  # type: ignore[arg-type]
    return open_run(opened.folder), message


def paint(path: Path, color: tuple[int, int, int]) -> None:
    """Another picture at the same place, of another time of change."""
    Image.new("RGB", (48, 40), color).save(path)
    os.utime(path, ns=(time.time_ns(), time.time_ns()))


def same_as_anew(opened: RunData, classifier: Classifier, pictures: Path, fresh: Path) -> None:
    """Row by row as in a run that was never made before."""
    run(classifier, FolderSource(pictures), fresh, METHODS)
    a, b = (r.table.sort_values("id").reset_index() for r in (opened, open_run(fresh)))
    assert a["id"].tolist() == b["id"].tolist()
    for name in ("label", "pred", "confidence", "loss"):
        np.testing.assert_allclose(
            a[name].to_numpy(float), b[name].to_numpy(float), rtol=1e-3, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "outputs",
            r"the matching of classes \(red: 0, now 1; green: 1, now 0\)|the matching of classes \(green: "
            r"1, now 0; red: 0, now 1\)",
        ),
        ("names", r"names of the outputs \(green, now vert\)"),
        ("mean", r"the preprocessing \(mean: \[0.5, 0.5, 0.5\], now \[0.4, 0.4, 0.4\]\)"),
        ("size", r"the preprocessing \(size: \[32, 32\], now \[40, 40\]"),
        ("weights", r"the weights \(\w+, now other\)"),
        ("added", r"1 image added"),
        ("gone", r"1 gone"),
        ("labels", r"2 labels changed"),
    ],
)
def test_what_differs_is_named(
    change: str, message: str, small_run: RunData, tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    classifier, source, mapping = tiny, FolderSource(pictures), None
    if change == "outputs":
        mapping = {"red": 1, "green": 0}
    elif change == "names":
        classifier, mapping = replace(tiny, classes=("red", "vert", "blue")), {"green": 1}
    elif change in ("mean", "size"):
        fed = (
            replace(tiny.preprocessing, mean=(0.4,) * 3)
            if change == "mean"
            else replace(tiny.preprocessing, size=(40, 40))
        )
        classifier = replace(tiny, preprocessing=fed)
    elif change == "weights":
        classifier = replace(tiny, weights_hash="other")
    elif change == "added":
        paint(pictures / "red" / "new.png", (1, 2, 3))
        source = FolderSource(pictures)
    elif change == "gone":
        (pictures / "red" / "0.png").unlink()
        source = FolderSource(pictures)
    else:
        (tmp_path / "labels.csv").write_text("image,label\nred/0.png,blue\nred/1.png,green\n")
        source = corrected(source, read_corrections(tmp_path / "labels.csv"))  # type: ignore[assignment]
    before = {p: p.stat().st_mtime_ns for p in small_run.folder.rglob("*.*")}
    with pytest.raises(UserError, match=rf"holds another run \(.*({message}).*--restart"):
        run(classifier, source, small_run.folder, METHODS, mapping=mapping)
    assert {p: p.stat().st_mtime_ns for p in small_run.folder.rglob("*.*")} == before
    manifest = run(classifier, source, small_run.folder, METHODS, mapping=mapping, restart=True)
    assert manifest.counts["ok"] == len(source) == len(open_run(small_run.folder).ok)


@pytest.mark.slow
def test_replaced_and_mended_images_are_done_again(
    small_run: RunData, tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    for _ in analyze(Findings(small_run)):
        pass
    (pictures / "green" / "3.png").write_text("no picture")
    opened, message = again(tiny, pictures, small_run)
    assert message == ["1 image has changed since: it is done again"]
    assert opened.manifest.counts == {"ok": 17, "failed": 1}
    assert not (opened.folder / "analysis.json").exists()  # it was about other images
    paint(pictures / "green" / "3.png", (10, 250, 10))
    paint(pictures / "red" / "0.png", (10, 10, 250))
    opened, message = again(tiny, pictures, opened)
    assert message == ["2 images have changed since: they are done again"]
    assert opened.table["id"].is_unique
    same_as_anew(opened, tiny, pictures, tmp_path / "fresh")
    parts = {p: p.stat().st_mtime_ns for p in opened.folder.rglob("*.*")}
    assert again(tiny, pictures, opened)[1] == []
    assert {p: p.stat().st_mtime_ns for p in opened.folder.rglob("*.*")} == parts


def test_what_could_not_be_read_is_tried_again(
    tiny: Classifier, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was locked, a disk that was away: nothing about the files tells."""

    def locked(self: FolderSource, index: int) -> Image.Image:
        raise UnreadableImage("permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(FolderSource, "load", locked)
        run(tiny, FolderSource(pictures), tmp_path / "run", METHODS)
    opened, message = again(tiny, pictures, open_run(tmp_path / "run"))
    assert message == ["18 images that could not be read are tried again"]
    assert opened.manifest.counts == {"ok": 18, "failed": 0}
    same_as_anew(opened, tiny, pictures, tmp_path / "fresh")


@pytest.mark.slow
def test_killed_while_rows_are_taken_out(
    small_run: RunData, tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    for path in pictures.rglob("*.png"):
        paint(path, (90, 20, 200))

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == "samples":
            raise KeyboardInterrupt
        if path.exists():
            os.remove(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tiny, FolderSource(pictures), small_run.folder, METHODS)
    assert open_run(small_run.folder).manifest.status == "partial"
    opened, message = again(tiny, pictures, small_run)
    assert message == ["18 images have changed since: they are done again"]
    same_as_anew(opened, tiny, pictures, tmp_path / "fresh")


def test_restart_keeps_what_people_wrote(small_run: RunData, tiny: Classifier, pictures: Path) -> None:
    add(small_run.folder, "red/0.png", "text", "look here")
    (small_run.folder / "mine.txt").write_text("x")
    opened, _ = again(
        replace(tiny, preprocessing=replace(tiny.preprocessing, mean=(0.2,) * 3)),
        pictures,
        small_run,
        restart=True,
    )
    assert opened.manifest.counts == {"ok": 18, "failed": 0}
    assert list(opened.manifest.request.preprocessing["mean"]) == [0.2] * 3
    assert read(opened.folder)["red/0.png"].text == "look here"
    assert (opened.folder / "mine.txt").exists()


def test_restart_takes_nothing_but_a_run(tiny: Classifier, pictures: Path) -> None:
    with pytest.raises(UserError, match="exists and is no run"):
        run(tiny, FolderSource(pictures), pictures, METHODS, restart=True)
    assert len(FolderSource(pictures)) == 18


def test_runs_of_earlier_versions_open_and_say_why_they_do_not_go_on(
    small_run: RunData, tiny: Classifier, pictures: Path
) -> None:
    import pyarrow.parquet as pq

    raw = json.loads((small_run.folder / REQUEST).read_text())
    old = {k: v for k, v in raw.items() if k not in ("outputs", "preprocessing", "transform_input", "bits")}
    (small_run.folder / REQUEST).write_text(json.dumps(old))
    for path in part_files(small_run.folder):
        pq.write_table(pq.read_table(path).drop(["stamp"]), path)
    opened = open_run(small_run.folder)
    assert len(opened.ok) == 18
    assert opened.thumbnail_image(0).size == (32, 32)
    with pytest.raises(UserError, match="made by an earlier version"):
        run(tiny, FolderSource(pictures), small_run.folder, METHODS)


@pytest.mark.parametrize("names", [("class 0", "class 1", "class 2"), ("A", "B", "C")])
def test_corrected_labels_are_written_as_the_data_calls_them(
    names: tuple[str, ...], tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    """Outputs without names, or of other names: what is said of a run fits the data again."""
    from explain.run.people.notes import write_labels

    classifier, mapping = (
        replace(tiny, classes=names),
        {"red": 2, "green": 0, "blue": 1},
    )
    run(classifier, FolderSource(pictures), tmp_path / "run", METHODS, mapping=mapping)
    called = open_run(tmp_path / "run").classes
    assert called == (names if names[0] == "A" else ("green", "blue", "red"))
    add(tmp_path / "run", "red/0.png", "label", called[1], classes=called)
    write_labels(open_run(tmp_path / "run"), tmp_path / "labels.csv")
    right = corrected(FolderSource(pictures), read_corrections(tmp_path / "labels.csv"))
    assert {i.id: i.label for i in right.items}["red/0.png"] == "blue"


# -- answers that are no numbers -----------------------------------------------------------------------


class Sick(torch.nn.Module):
    """NaN for blue pictures, infinite for red ones."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        red, _, blue = x.mean((2, 3)).unbind(1)
        worse = torch.where(blue > 0.3, torch.nan, torch.where(red > 0.3, torch.inf, 0.0))
        return self.model(x) + worse[:, None]


def test_nan_is_an_error_row_and_no_answer(
    small_run: RunData, tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    sick = replace(tiny, model=Sick(tiny.model).eval())
    manifest = run(sick, FolderSource(pictures), tmp_path / "sick", METHODS, "model.features.4", batch_size=5)
    opened = open_run(tmp_path / "sick")
    x = tiny.batch([FolderSource(pictures).load(i) for i in range(18)])
    expected = Sick(tiny.model).eval()(x)
    fine = expected.isfinite().all(1)
    assert 0 < int(fine.sum()) < 18
    assert manifest.counts == {"ok": int(fine.sum()), "failed": 18 - int(fine.sum())}
    table = opened.table.set_index("id").loc[[i.id for i in FolderSource(pictures).items]]
    assert table["error"].isna().tolist() == fine.tolist()
    assert set(table["error"].dropna()) == {
        "the network answered NaN",
        "the network answered infinite numbers",
    }
    assert table["pred"].isna().tolist() == (~fine).tolist()
    assert opened.evaluation.confusion.sum() == int(fine.sum())
    assert np.isfinite(opened.evaluation.calibration_error)
    np.testing.assert_array_equal(table.loc[fine.numpy(), "pred"].astype(int), expected[fine].argmax(1))
    # the same answer would come again: nothing is done twice
    before = {p: p.stat().st_mtime_ns for p in opened.folder.rglob("*.*")}
    run(sick, FolderSource(pictures), tmp_path / "sick", METHODS, "model.features.4")
    assert {p: p.stat().st_mtime_ns for p in opened.folder.rglob("*.*")} == before


def test_nan_is_told_for_one_picture(tiny: Classifier) -> None:
    from explain.methods.live import open_session

    with pytest.raises(UserError, match="answers this picture with NaN"):
        open_session(replace(tiny, model=Sick(tiny.model).eval()), Image.new("RGB", (32, 32), (0, 0, 255)))


class OneLogit(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


def test_one_output_that_was_not_loaded(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    """A Classifier made by hand, past `load` and `wrap`, which read one output as two classes."""
    from explain.methods.live import open_session

    one = replace(tiny, model=OneLogit().eval(), classes=("yes",))
    with pytest.raises(UserError, match="has one output, which is not read as two classes"):
        run(
            one,
            FolderSource(pictures),
            tmp_path / "run",
            METHODS,
            mapping=dict.fromkeys(FolderSource(pictures).classes, 0),
        )
    with pytest.raises(UserError, match="has one output"):
        open_session(one, Image.new("RGB", (32, 32)))


def test_every_row_failed_can_be_opened_and_says_so(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    from dashboard.tabs.errors import pieces
    from dashboard.tabs.errors_state import first_view
    from explain.analysis.format_text import format_proposals, format_text
    from explain.analysis.ranking import format_text as outcome
    from explain.export.report import report

    for path in pictures.rglob("*.png"):
        path.write_text("x")
    run(tiny, FolderSource(pictures), tmp_path / "run", METHODS)
    opened = open_run(tmp_path / "run")
    findings = Findings(opened)
    assert list(analyze(findings))[-1] == 1.0
    message = "None of the 18 images has an answer (18 times: not a picture of a known format)"
    assert "left out   18 of 18 images: not a picture of a known format (18)" in "\n".join(outcome(opened))
    assert message.split()[0] in format_text(findings)
    assert message in format_proposals(findings)[0]
    assert message in report(findings)
    for part in pieces(findings, first_view(opened)):
        assert part
    assert message in pieces(findings, first_view(opened))[1]


@pytest.mark.slow
def test_a_training_measures_nothing_on_nan_and_says_so(
    tiny: Classifier, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from models.data.source import Subset
    from models.training.measure import _answers

    sick, source = replace(tiny, model=Sick(tiny.model).eval()), FolderSource(pictures)
    table = _answers(sick, source, "test")
    assert sorted(table["id"]) == [f"green/{i}.png" for i in range(6)]
    assert (
        "12 of 18 images of test left out: the network answers NaN or infinite numbers"
        in capsys.readouterr().err
    )
    blue = Subset(source, np.flatnonzero([item.label == "blue" for item in source.items]))
    with pytest.raises(UserError, match="answers NaN to every image of test"):
        _answers(sick, blue, "test")


class _Scaled(torch.nn.Module):
    """A network with state that is no parameter, no buffer and no code: a number, and a plain tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, 2), torch.nn.ReLU())
        self.head = torch.nn.Linear(6, 3)
        self.factor, self.shift = 1.0, torch.zeros(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3))) * self.factor + self.shift


def _scaled(tiny: Classifier) -> tuple[Classifier, _Scaled]:
    torch.manual_seed(0)
    model = _Scaled().eval()
    return replace(tiny, model=model, weights_hash="same"), model


@pytest.mark.parametrize("change", ["factor", "shift"])
def test_state_that_is_neither_weights_nor_code_is_another_run(
    change: str, tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    (classifier, model), out = _scaled(tiny), tmp_path / "run"
    run(classifier, FolderSource(pictures), out, METHODS)
    request = open_run(out).manifest.request
    with torch.inference_mode():
        image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        np.testing.assert_allclose(request.answer, model(image)[0].numpy(), rtol=1e-3)
    run(classifier, FolderSource(pictures), out, METHODS)  # the same network goes on
    assert as_in_run(classifier, open_run(out).manifest).model is model
    if change == "factor":
        model.factor = 1.5
    else:
        model.shift = torch.tensor([0.0, 0.0, 1.0])
    with pytest.raises(
        UserError, match=r"holds another run \(what the network answers \(.*, now .*--restart"
    ):
        run(classifier, FolderSource(pictures), out, METHODS)
    with pytest.raises(UserError, match="answers otherwise than when the run was made") as error:
        as_in_run(classifier, open_run(out).manifest)
    assert "\n" not in str(error.value)


def test_what_other_hardware_changes_is_the_same_answer(
    tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    (classifier, model), out = _scaled(tiny), tmp_path / "run"
    run(classifier, FolderSource(pictures), out, METHODS)
    model.factor = 1.01
    run(classifier, FolderSource(pictures), out, METHODS)
    raw = json.loads((out / REQUEST).read_text())
    assert len(raw.pop("answer")) == 3
    (out / REQUEST).write_text(json.dumps(raw))  # as earlier versions wrote it
    model.factor = 3.0
    run(classifier, FolderSource(pictures), out, METHODS)
    as_in_run(classifier, open_run(out).manifest)
