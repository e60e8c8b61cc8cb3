"""Full disks, two writers, files cut short: nothing is lost or doubled, and the same command goes on."""

import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from explain.run.engine import run
from explain.run.format import part_files
from explain.run.one_writer import one_writer
from explain.run.people.notes import NOTES, add, read
from explain.run.reader import RunData, open_run
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.errors import UserError
from models.training.loop import whole
from tests.forked import done

# -- two writers ---------------------------------------------------------------------------------------


def test_a_run_folder_has_one_writer(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    inside, go = threading.Event(), threading.Event()

    def slow(progress: object) -> None:
        inside.set()
        go.wait(30)

    first = threading.Thread(
        target=run,
        args=(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"]),
        kwargs={"batch_size": 4, "progress": slow},
    )
    first.start()
    assert inside.wait(30)
    with pytest.raises(UserError, match="Another process is writing to"):
        run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"], batch_size=3)
    with pytest.raises(UserError, match="Another process is writing to"):
        run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"], restart=True)
    go.set()
    first.join(60)
    opened = open_run(tmp_path / "run")
    assert (len(opened.table), opened.manifest.counts) == (18, {"ok": 18, "failed": 0})


@pytest.mark.slow
def test_a_writer_that_was_killed_holds_nothing(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from explain.run.one_writer import one_writer\n"
        "with one_writer(Path(sys.argv[1])): print('in', flush=True); os.kill(os.getpid(), 9)"
    )
    killed = done("-c", code, tmp_path / "run")
    assert (killed.returncode, killed.stdout) == (-9, "in\n")
    assert run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"]).counts["ok"] == 18


def test_doubled_rows_of_an_older_run_count_once(small_run: RunData) -> None:
    first = part_files(small_run.folder)[0]
    pq.write_table(pa.concat_tables([pq.read_table(first)] * 2), first)
    again = open_run(small_run.folder)
    assert len(again.table) == 18
    assert again.thumbnails(range(18)) == small_run.thumbnails(range(18))
    assert again.evaluation.confusion.tolist() == small_run.evaluation.confusion.tolist()


# -- disks that fill up -----------------------------------------------------------------------------------


def test_a_disk_that_was_full_at_the_start(
    tiny: Classifier, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it left behind is in nobody's way."""

    def full(self: Path, text: str, encoding: str | None = None) -> int:
        with self.open("w") as file:
            file.write(text[:5])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(UserError, match="No space left on device"):
            run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"])
    (tmp_path / "run" / "request.json.tmp").write_text("{")  # as a kill leaves it
    assert run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"]).counts["ok"] == 18


@pytest.mark.slow
def test_an_export_after_a_full_disk(
    small_run: RunData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from explain.analysis.findings import Findings
    from explain.export.gallery import Export, ExportOptions

    def full(self: Path, text: str, *args: object, **kwargs: object) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(UserError, match="No space left on device"):
            list(
                Export(Findings(small_run), tmp_path / "out", ExportOptions("correct")).steps()
                if small_run.ok["correct"].any()
                else Export(Findings(small_run), tmp_path / "out", ExportOptions("errors")).steps()
            )
    assert not list(tmp_path.rglob("*.tmp"))
    (tmp_path / "out" / "export.csv.tmp").touch()
    list(Export(Findings(small_run), tmp_path / "out", ExportOptions("errors")).steps())
    assert (tmp_path / "out" / "index.html").is_file()


def test_a_note_that_is_written_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:7]))
    add(tmp_path, "a.png", "text", "all of this")
    assert read(tmp_path)["a.png"].text == "all of this"


def test_a_note_that_does_not_fit_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, "a.png", "text", "before")
    write, left = os.write, [10]

    def short(handle: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(28, "No space left on device")
        taken = write(handle, data[: left[0]])
        left[0] -= taken
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", short)
        with pytest.raises(UserError, match="cannot be written"):
            add(tmp_path, "b.png", "text", "lost, and said to be")
    add(tmp_path, "c.png", "text", "after")
    assert {name: note.text for name, note in read(tmp_path).items()} == {"a.png": "before", "c.png": "after"}
    assert len((tmp_path / NOTES).read_bytes().splitlines()) == 3


# -- what is worked out from a run ------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "empty", "others", "rows", "json"])
@pytest.mark.parametrize("name", ["analysis.parquet", "contrasts.parquet", "analysis.json"])
def test_a_damaged_analysis_is_worked_out_anew(name: str, damage: str, small_run: RunData) -> None:
    import json

    import numpy as np

    from explain.analysis.findings import Findings, analyze

    before = Findings(small_run)
    for _ in analyze(before):
        pass
    path = small_run.folder / name
    whole_file = path.read_bytes()
    if damage == "rows" and name.endswith("parquet"):
        pq.write_table(pq.read_table(path).slice(0, 3), path)
    elif damage == "others" and name.endswith("parquet"):
        pq.write_table(pa.table({"x": [1, 2]}), path)
    elif name == "analysis.json" and damage in ("rows", "others", "json"):
        about = json.loads(whole_file) | (
            {"twins": [{"row": 999, "other": 1, "alike": 1, "agree": True}]}
            if damage == "rows"
            else {"fit": {"a": 1}}
        )
        path.write_text(json.dumps(about))
    else:
        path.write_bytes(b"" if damage == "empty" else whole_file[: len(whole_file) // 2])
    after = Findings(open_run(small_run.folder))
    assert after.fit == before.fit
    assert [(t.row, t.other) for t in after.duplicates] == [(t.row, t.other) for t in before.duplicates]
    np.testing.assert_array_equal(after.checked.to_numpy(float), before.checked.to_numpy(float))
    if not (name == "contrasts.parquet" and damage == "rows"):  # a shorter table is whole in itself
        assert [(c.label, c.statistic) for c in after.contrasts("grad_cam")] == [
            (c.label, c.statistic) for c in before.contrasts("grad_cam")
        ]


# -- trainings ------------------------------------------------------------------------------------------


def test_a_damaged_resume_file_is_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in (b"", b"PK\x03\x04 half of it"):
        (tmp_path / "t.resume.ckpt").write_bytes(content)
        assert whole(tmp_path / "t.resume.ckpt") is None
        assert not (tmp_path / "t.resume.ckpt").exists()
        assert (tmp_path / "t.resume.ckpt.damaged").read_bytes() == content
        assert "set aside as 't.resume.ckpt.damaged', and the training begins anew" in capsys.readouterr().err


def test_a_training_that_cannot_tell_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from models.training.progress import Progress

    def full(self: Path, text: str) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match=r"No space left on device.*the same command goes on"):
        Progress({}, "").say(tmp_path / "t.safetensors", "running")
    assert list(tmp_path.iterdir()) == []


def test_a_stored_command_writes_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of trainings may be another's, and so may the commands in it."""
    from dashboard.session.training_jobs import TrainingJobs
    from models.training.progress import Progress

    started: list[list[str]] = []
    monkeypatch.setattr(TrainingJobs, "start", lambda self, words: started.append(words) or "x")
    out = tmp_path / "t.safetensors"
    for message, expected in (
        ("--out /elsewhere/x.safetensors", out),
        ("--epochs 3 --out /a --out=/b --out /c", out),
        ("--seeds 0,1 --out /elsewhere/x.safetensors", tmp_path / "t.safetensors"),
    ):
        file = tmp_path / "t.seed0.safetensors" if "seeds" in message else out
        Progress({}, f"python launch.py train {message}").say(file, "stopped")
        TrainingJobs(tmp_path).resume(file.stem)
        words = started.pop()
        assert [w for w in words if w.startswith("/") or "--out" in w] == ["--out", str(expected)]


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="this system does not tell when a process began"
)
def test_no_process_is_signalled_that_is_not_the_training(tmp_path: Path) -> None:
    from dashboard.session.training_jobs import TrainingJobs
    from models.training.progress import Progress

    for born in ("", "1"):
        Progress({}, "python launch.py train", pid=os.getpid(), born=born).say(
            tmp_path / "t.safetensors", "running"
        )
        with pytest.raises(UserError, match="is not being trained"):
            TrainingJobs(tmp_path).cancel("t")


def test_the_folder_of_others_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="exists and is no run"), one_writer(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_a_training_goes_on_after_a_full_disk(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lightning as L

    from models.data.parts import open_parts
    from models.training.augment import Augmentation
    from models.training.recipe import Recipe
    from models.training.train import Training

    recipe = Recipe(epochs=3, batch_size=4, augmentation=Augmentation.parse("none"))
    save, calls = L.Trainer.save_checkpoint, []

    def full(self: L.Trainer, path: Path, *args: object, **kwargs: object) -> None:
        calls.append(path)
        save(self, path, *args, **kwargs)  # type: ignore[arg-type]
        if len(calls) == 2:
            Path(path).write_bytes(Path(path).read_bytes()[:1000])
            raise OSError(28, "No space left on device")

    out, parts = tmp_path / "t.safetensors", open_parts(str(pictures))
    with monkeypatch.context() as patch:
        patch.setattr(L.Trainer, "save_checkpoint", full)
        with pytest.raises(UserError, match=r"No space left on device.*the same command goes on"):
            Training("fer_mobilenet", None, parts, out, recipe).fit()
    assert not list(tmp_path.glob("*.tmp"))
    again = Training("fer_mobilenet", None, parts, out, recipe)
    assert again.fit()
    assert len(again.keeper.rows) == 3
