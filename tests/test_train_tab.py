"""The Train tab: its command line, its processes, and the page itself."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dashboard.components.listed.training_list import comparison, outcome, state, training_list
from dashboard.plots import figure
from dashboard.session.training_jobs import TrainingJobs, as_typed, command, recipe_of
from models.errors import UserError
from models.training.augment import Augmentation
from models.training.charts import charts
from models.training.progress import Progress
from models.training.recipe import Recipe
from tests.command import run_command
from tests.test_trained import fake

ROOT = Path(__file__).parent.parent


def test_command_says_only_what_differs() -> None:
    words = command(
        "fer_vgg",
        "my faces",
        "a.b",
        Path("trainings"),
        Recipe(epochs=3, mixup=0.2, augmentation=Augmentation(erase=0.5)),
    )
    assert as_typed(words) == (
        "python launch.py train --model fer_vgg --data 'my faces' --out trainings/a.b.safetensors --epochs 3 "
        "--mixup 0.2 "
        "--augment flip=0.5,rotation=15,shift=0.08,zoom=0.1,light=0,contrast=0,erase=0.5,blur=0,grey=0,"
        "equalize=0"
    )
    assert command("m", "d", "x", Path("t"), Recipe(), {"weights": "w.pth", "image_col": ""})[-2:] == [
        "--weights",
        "w.pth",
    ]


def test_every_option_of_the_form_is_one_of_the_command_line() -> None:
    """What the dashboard writes, `train` understands."""
    changed = Recipe(
        "finetune",
        3,
        8,
        0.01,
        "sgd",
        "plateau",
        0.1,
        0.2,
        0.3,
        1.0,
        9,
        "weights",
        4,
        "dense",
        5,
        3,
        0.5,
        "affect",
        Augmentation(0),
    )
    more = {"weights": "w.pth", "image_col": "file", "label_col": "class", "seeds": "0,1"}
    words = command("fer_vgg", "nowhere", "x", Path("t"), changed, more)
    assert len(words) == 7 + 2 * (19 + len(more))
    told = run_command(*words)
    assert told.returncode == 2
    assert "is no table" in told.stderr  # every option was read; the data is not there


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 99, "a b"])
def test_names_are_no_paths(name: str) -> None:
    with pytest.raises(UserError, match="is no name for a training"):
        command("fer_vgg", "d", name, Path("t"), Recipe())


def test_form_values() -> None:
    plain = {"epochs": 5.0, "mixup": 0.1, "augmentation": "none", "learning_rate": 0}
    made = recipe_of(plain)
    assert made == Recipe(epochs=5, mixup=0.1, augmentation=Augmentation.parse("none"))
    assert recipe_of({"label_smoothing": ""}) == Recipe()
    assert recipe_of({"label_smoothing": "0"}).label_smoothing == 0
    with pytest.raises(UserError, match="label smoothing is 'x': give a number"):
        recipe_of({"label_smoothing": "x"})
    with pytest.raises(UserError, match="epochs is empty"):
        recipe_of({"epochs": None})


@pytest.mark.slow
def test_states_in_words(tmp_path: Path) -> None:
    trained = fake(tmp_path / "<b>.safetensors", 0)
    assert state(trained) == f"{trained.measured['accuracy']:.1%} test".replace("%", " %")
    for given, label in (("stopped", "stopped at scratch 2/5, best 60.0 %"), ("failed", "failed: no disk")):
        Progress({}, state=given, message="no disk", step="scratch", epoch=2, epochs=5).write(trained.path)
        assert label in state(fake(tmp_path / "<b>.safetensors", 0))
    Progress({}, pid=2**22 - 1, step="scratch", epoch=2, epochs=5).write(trained.path)  # its process is gone
    assert "killed at" in state(fake(tmp_path / "<b>.safetensors", 0))
    page = training_list([("<b>", trained)], "<b>", [])
    assert "<b><b>" not in page
    assert "&lt;b&gt;" in page
    assert comparison([trained]) == ""
    assert "Recall of each class" in comparison([trained, fake(tmp_path / "c.safetensors", 1)])
    assert "kappa" in outcome(trained)
    for chart in charts(trained):
        drawn = figure(chart)
        assert len(drawn.data) == len(getattr(chart, "lines", [0]))


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_started_cancelled_and_found_again(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "trainings"
    ours = TrainingJobs(folder)
    long = Recipe(epochs=2000, batch_size=8, patience=2000)
    assert ours.start(command("small_conv", str(pictures), "long", folder, long)) == "long"
    wait(lambda: ours.all() and ours.one("long").progress.epoch >= 2)  # type: ignore[union-attr]
    another = TrainingJobs(folder)  # a page, or a server, that comes later
    found = another.one("long")
    assert found.progress is not None
    assert found.progress.alive
    assert found.progress.command.endswith("--epochs 2000 --batch-size 8 --patience 2000")
    with pytest.raises(UserError, match="being trained already"):
        another.start(command("small_conv", str(pictures), "long", folder, long))
    another.cancel("long")
    wait(lambda: not another.one("long").progress.alive)  # type: ignore[union-attr]
    assert another.one("long").progress.state == "stopped"  # type: ignore[union-attr]
    assert another.one("long").about["classes"] == ["blue", "green", "red"]
    with pytest.raises(UserError, match="is not being trained"):
        another.cancel("long")
    wait(lambda: ours.complaints() == [] and not ours.waiting)  # a stop is no complaint
    before = len(another.one("long").curves)
    assert another.resume("long") == "long"
    wait(lambda: len(another.one("long").curves) > before)
    another.cancel("long")
    wait(lambda: not another.one("long").progress.alive)  # type: ignore[union-attr]
    assert another.one("long").curves["epoch"].tolist() == list(range(1, len(another.one("long").curves) + 1))
    with pytest.raises(UserError, match="no training"):
        another.one("../long")


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_several_seeds_are_one_process(pictures: Path, tmp_path: Path) -> None:
    ours = TrainingJobs(tmp_path)
    words = command(
        "small_conv",
        str(pictures),
        "many",
        tmp_path,
        Recipe(epochs=2000, batch_size=8, patience=2000),
        {"seeds": "3,4"},
    )
    assert ours.start(words) == "many.seed3"
    assert ours.waiting == ["many"]
    wait(lambda: ours.all() and ours.one("many.seed3").progress.epoch >= 1)  # type: ignore[union-attr]
    assert ours.waiting == []
    with pytest.raises(UserError, match="being trained already"):
        ours.start(words)
    ours.cancel("many.seed3")
    wait(lambda: not ours.one("many.seed3").progress.alive)  # type: ignore[union-attr]
    assert [ours.key(t) for t in ours.all()] == ["many.seed3"]  # a stop is one of all of them


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_a_training_that_cannot_begin_says_why(tmp_path: Path) -> None:
    ours = TrainingJobs(tmp_path)
    ours.start(command("fer_vgg", str(tmp_path / "nowhere"), "x", tmp_path, Recipe()))
    label: list[str] = []
    wait(lambda: label.extend(ours.complaints()) or label)
    assert "No folder" in label[0]


def wait(done: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it never happened")


def test_trainings_that_classify_nothing(tmp_path: Path) -> None:
    """Models of gaze and decoders stand in the list with what was measured of them, and take no part in
    comparisons of classifiers."""
    from models.gaze.shipped import shipped_gaze
    from models.inversion.shipped import FOLDER
    from models.training.trained import find_trained

    for path in (shipped_gaze(), next(FOLDER.glob("*head*"))):
        shutil.copy(path, tmp_path / path.name)
    shutil.copy(shipped_gaze().with_suffix(".csv"), tmp_path)
    found = {t.task: t for t in find_trained(tmp_path)}
    html = training_list([(t.name, t) for t in found.values()], None, [])
    assert "gaze_small · gaze" in html
    assert "NSS 2.47" in html
    assert "upconv · decoder" in html
    assert html.count("disabled") == 2
    assert [chart.title for chart in charts(found["gaze"])] == ["Loss", "NSS"]
    assert all("vt-facts" in outcome(t) for t in found.values())
