"""What trust says of maps beside the verdicts: whether they lie in known regions, and what describes them;
each figure through the command against a plain loop."""

import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import Tensor, nn

import vitrine
from explain.methods import registry
from explain.quality.comparison import FEWEST
from explain.quality.described.description import Description
from explain.quality.described.randomized import randomized
from explain.quality.described.repeated import Repeated
from explain.quality.measure import Measurement
from explain.quality.plan import measurements, repeated
from explain.quality.store import DescriptionStore, description_stores, stores
from explain.run.reader import RunData
from models.classifier import Classifier
from models.errors import UserError
from models.registry import unregister_model
from tests.command import launch, one_line, run_command
from tests.conftest import TINY
from tests.spots import SIDE, SPOT, draw_spots
from tests.test_trust import Spot, center_map, random_map, where_it_is

NAMES, CELLS = ("none", "spot"), 8
FAST = ("--cells", CELLS, "--steps", 2, "--figures", "insertion_deletion")
REPEATED = ("--cells", CELLS, "--steps", 2, "--figures", "insertion_deletion,mprt,stability")


def flat_map(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """M = 1 everywhere."""
    return torch.ones(len(x), 5, 5)


SMUGGLED = {"truth": where_it_is, "center_map": center_map, "random_map": random_map, "flat_map": flat_map}


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    methods = dict(registry.METHODS)
    vitrine.register_model("spot", lambda: Spot().eval(), NAMES, TINY)
    for name, method in SMUGGLED.items():
        vitrine.register_method(name, method, title=name)
    yield
    unregister_model("spot")
    registry.METHODS.clear()
    registry.METHODS.update(methods)


@pytest.fixture(scope="module")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_spots(tmp_path_factory.mktemp("spots"), 12, NAMES)


@pytest.fixture(scope="module")
def made(spots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "spot"
    given = ["--methods", "grad_cam", "--layer", "conv", "--force"]
    launch("run", "--model", "spot", "--data", spots, "--out", out, *given)
    return out


@pytest.fixture
def fresh(made: Path, tmp_path: Path) -> Path:
    """That run, of which nothing is measured."""
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def window_of(path: Path) -> tuple[int, int]:
    """Left and top of the bright window: of all places, that with the largest mean."""
    gray = np.asarray(Image.open(path).convert("L"), float)
    places = [(x, y) for x in range(0, SIDE, SPOT) for y in range(0, SIDE, SPOT)]
    return max(places, key=lambda p: gray[p[1] : p[1] + SPOT, p[0] : p[0] + SPOT].mean())


def boxes_in(spots: Path, file: Path, width: int = SPOT) -> Path:
    """The left `width` pixels of the window of every image that has one, of the class 'spot', in a table."""
    rows = []
    for path in sorted((spots / "spot").glob("*.png")):
        left, top = window_of(path)
        rows.append((f"spot/{path.name}", "spot", left, top, left + width, top + SPOT))
    table = pd.DataFrame(rows, columns=["image", "label", "left", "top", "right", "bottom"])
    table.to_csv(file, index=False)
    return file


def pixels_of(path: Path) -> Tensor:
    pixels = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
    return torch.from_numpy((pixels - 0.5) / 0.5).permute(2, 0, 1)[None]


def grad_cam(model: nn.Module, x: Tensor, target: int) -> np.ndarray:
    """Of `Spot`, whose score is the largest of the class's 16 windows: its channel / 16."""
    with torch.no_grad():
        return model.conv(x)[0, target].double().numpy() / 16  # type: ignore[operator,no-any-return]


def predicted(x: Tensor) -> int:
    with torch.no_grad():
        return int(Spot()(x).argmax())


def enlarged(raw: np.ndarray, cells: int) -> np.ndarray:
    """Cell by cell between the four positions around it (bilinear)."""
    side = len(raw)
    at = [min(max((i + 0.5) * side / cells - 0.5, 0), side - 1) for i in range(cells)]
    found = np.zeros((cells, cells))
    for i, y in enumerate(at):
        for j, x in enumerate(at):
            for row in range(side):
                for column in range(side):
                    found[i, j] += max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column)) * raw[row, column]
    return found


def table_below(printed: str, title: str) -> dict[str, list[str]]:
    """The rows of the first table below a line that begins with `title`, by their first cell."""
    after = printed[printed.index(f"\n{title}") + 1 :].splitlines()
    start = next(i for i, line in enumerate(after) if re.match(r"(method|controls of|random layers)\b", line))
    rows = after[
        start : next(i for i in range(start, len(after) + 1) if not after[i : i + 1] or not after[i])
    ]
    return {cells[0]: cells[1:] for row in rows if (cells := re.split(r" {2,}", row.strip()))}


def controls_below(printed: str, title: str) -> dict[str, list[str]]:
    """The controls of the table of `title`: the center first."""
    return table_below(printed[printed.index(f"\n{title}") :], "controls of")


@pytest.mark.slow
def test_where_maps_lie_is_that_of_a_plain_loop(fresh: Path, spots: Path, tmp_path: Path) -> None:
    """The largest value lies in the left half of a window, or in the right one."""
    half, size = SPOT // 2, SIDE // CELLS
    printed = launch("trust", fresh, *FAST, "--boxes", boxes_in(spots, tmp_path / "boxes.csv", half))
    hits, inside, ratios = [], [], []
    for path in sorted((spots / "spot").glob("*.png")):
        x = pixels_of(path)
        if predicted(x) != 1:
            continue  # boxes of 'spot' are not where 'none' should be seen
        cells, (left, top) = enlarged(grad_cam(Spot(), x, 1), CELLS), window_of(path)
        within = total = 0.0
        best, hit = -math.inf, False
        for i in range(CELLS):
            for j in range(CELLS):
                lies = top <= i * size < top + SPOT and left <= j * size < left + half
                total, within = total + max(0, cells[i, j]), within + lies * max(0, cells[i, j])
                if cells[i, j] > best:
                    best, hit = cells[i, j], lies
        hits.append(hit)
        inside.append(within / total)
        ratios.append(within / total / (half * SPOT / SIDE**2))
    count = len(hits)
    assert count >= FEWEST
    assert 0 < np.mean(hits) < 1
    assert f"Where the maps lie: boxes, 3.1 % of the image on average, known in {count} images." in printed
    assert "This does not decide the verdicts" in " ".join(printed.split())
    for title, expected in (("pointing game", hits), ("energy inside", inside), ("energy / area", ratios)):
        found = table_below(printed, title)["Grad-CAM"]
        assert found[0] == str(count)
        assert float(found[1]) == pytest.approx(np.mean(expected), abs=1e-3), title
    read = printed[printed.index("Read Grad-CAM at conv") :]
    assert launch("trust", fresh, *FAST).endswith(read)  # with boxes or without


@pytest.mark.slow
def test_smuggled_maps_are_called_what_they_are(fresh: Path, spots: Path, tmp_path: Path) -> None:
    boxes = boxes_in(spots, tmp_path / "boxes.csv")
    given = ("--methods", ",".join(SMUGGLED), "--boxes", boxes)
    printed = launch("trust", fresh, *FAST[:-1], "insertion_deletion,stability", *given)
    for title in ("pointing game", "energy inside", "energy / area"):
        rows = table_below(printed, title)
        hits = title == "pointing game"  # the window has the strongest edges, too: both hit it always
        assert rows["truth"][-1] == ("no more than edges" if hits else "more than edges"), title
        assert rows["center_map"][-1] == "its maps are the center"
        assert rows["random_map"][-1] == "does not depend on the weights"
        own, control = float(rows["center_map"][1]), controls_below(printed, title)["center_map"][0]
        assert own == pytest.approx(float(control), rel=0.01), title
    assert float(table_below(printed, "pointing game")["truth"][1]) == 1
    assert float(table_below(printed, "energy / area")["flat_map"][1]) == 1
    area = SPOT**2 / SIDE**2
    assert float(table_below(printed, "pointing game")["flat_map"][1]) == pytest.approx(area, abs=6e-4)
    assert float(table_below(printed, "energy inside")["flat_map"][1]) == pytest.approx(area, abs=6e-4)
    described = table_below(printed, "Description (")
    assert described["center_map"][-1] == "its maps are the center"
    assert described["random_map"][-1] == "does not depend on the weights"
    assert described["truth"][-1].startswith("beats its best control")
    assert described["center_map"][3] == described["flat_map"][3] == "0.000"  # perfectly stable
    assert described["flat_map"][:3] == [f"{math.log(25):.3f}"] * 2 + ["0.000"]
    assert "says nothing of their quality" in " ".join(printed.split())


def entropy_by_hand(values: np.ndarray) -> float:
    p = np.abs(values).ravel() / np.abs(values).sum()
    return -sum(v * math.log(v) for v in p if v > 0)


def gini_by_hand(values: np.ndarray) -> float:
    """Half of the mean absolute difference between any two, relative to the mean."""
    v = np.abs(values).ravel()
    return float(np.abs(v[:, None] - v[None]).sum() / (2 * len(v) ** 2 * v.mean()))


def noisy(x: Tensor, k: int, deviation: float) -> Tensor:
    """The k-th noisy copy."""
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(3, SIDE, SIDE, generator=generator) for _ in range(k + 1)]
    return x + deviation * draws[k]


def bits(values: np.ndarray) -> float:
    """Entropy of the histogram of 100 equal bins."""
    counts, _ = np.histogram(values, 100)
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


@pytest.mark.slow
def test_what_describes_maps_is_that_of_plain_loops(fresh: Path, spots: Path) -> None:
    printed = launch("trust", fresh, *REPEATED)
    described, curve = table_below(printed, "Description ("), table_below(printed, "smooth MPRT")
    assert described["method"] == [
        *("entropy", "at most", "Gini", "efficient MPRT", "max-sensitivity", "verdict")
    ]
    paths = sorted(spots.glob("*/*.png"))
    maps = [grad_cam(Spot(), x, predicted(x)) for x in map(pixels_of, paths)]
    values = list(map(float, described["Grad-CAM"][:-1]))
    assert values[0] == pytest.approx(np.mean([entropy_by_hand(m) for m in maps]), abs=1e-3)
    assert values[1] == pytest.approx(math.log(16), abs=1e-3)
    assert values[2] == pytest.approx(np.mean([gini_by_hand(m) for m in maps]), abs=1e-3)
    assert "MPRT of 16 images" in " ".join(printed.split())
    ids = pd.concat([s.rows() for s in description_stores(fresh) if s.settings.figure == "mprt"])["id"]
    x = {name: pixels_of(spots / name) for name in ids}
    assert len(x) == 16
    other = randomized(Spot().eval(), 0, torch.cat(list(x.values())))
    simpler, alike, changes = [], [], []
    draws = 0.02 * (2 * torch.rand(10, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) - 1)
    for image in x.values():
        target = predicted(image)
        own, random = (grad_cam(m, image, target) for m in (Spot(), other))
        simpler.append((bits(random) - bits(own)) / bits(own) if random.any() else np.nan)
        deviation = 0.1 * float(image.max() - image.min())
        copies = [image, *(noisy(image, k, deviation) for k in range(9))]
        means = [sum(grad_cam(m, copy, target) for copy in copies) for m in (Spot(), other)]
        alike.append(
            stats.spearmanr(means[0].ravel(), means[1].ravel()).statistic if means[1].any() else np.nan
        )
        moved = [grad_cam(Spot(), image + draw, target) - own for draw in draws]
        changes.append(max(np.linalg.norm(m) for m in moved) / np.linalg.norm(own))
    assert values[3] == pytest.approx(np.nanmean(simpler), abs=2e-3)
    assert values[4] == pytest.approx(np.mean(changes), abs=2e-3)
    assert curve["random layers"] == ["100 %", "mean"]  # of one layer
    assert float(curve["Grad-CAM"][0]) == pytest.approx(np.nanmean(alike), abs=6e-3)


@pytest.mark.slow
def test_what_is_stopped_is_resumed_and_gives_the_same(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = (*REPEATED, "--images", 10)
    measure, done = Repeated._measure, list[int]()

    def stopping(self: Repeated, *of: object) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        measure(self, *of)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Repeated, "_measure", stopping)
        stopped = run_command("trust", fresh, *given)
    assert stopped.returncode == 130
    assert "run the same command to resume" in stopped.stdout
    kept = {s.settings.figure: len(s.rows()) for s in description_stores(fresh)}
    assert kept["mprt"] == 8
    assert "stability" not in kept
    counted = list[str]()
    with monkeypatch.context() as patch:
        patch.setattr(Repeated, "_measure", lambda s, *of: (counted.append(of[0]), measure(s, *of)))
        resumed = launch("trust", fresh, *given)
    assert len(counted) == 3 * 2 - 2  # of 4, 4 and 2 images
    again = launch("trust", fresh, *given)
    assert "Measuring" not in again
    shutil.rmtree(fresh / "trust")
    whole = launch("trust", fresh, *given)
    for title in ("Description (", "smooth MPRT"):
        assert table_below(resumed, title) == table_below(again, title) == table_below(whole, title)


@pytest.mark.slow
def test_what_an_earlier_version_measured_is_described_without_new_curves(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = launch("trust", fresh, *FAST)
    for store in description_stores(fresh):
        shutil.rmtree(store.folder)
    [store] = stores(fresh)
    rows = store.rows()
    monkeypatch.setattr(Measurement, "_figures", lambda *of: pytest.fail("curves are known"))
    after = launch("trust", fresh, *FAST)
    assert "their maps are made again, to describe them" in " ".join(after.split())
    assert after.endswith(before.partition("24 images, layer")[2])
    pd.testing.assert_frame_equal(store.rows(), rows)


@pytest.mark.slow
def test_settings_of_other_versions_are_read(fresh: Path) -> None:
    """A key that is missing has its default; one that is not known is ignored."""
    launch("trust", fresh, *FAST)
    [store] = description_stores(fresh)
    assert isinstance(store, DescriptionStore)
    (store.folder / "description.json").write_text('{"layer": "conv", "figure": "maps", "later": [1]}')
    [read] = description_stores(fresh)
    assert (read.settings.layer, read.settings.cells, read.settings.samples) == ("conv", 14, 10)
    assert read.settings.key != store.settings.key  # 8 cells are others than the default
    (store.folder / "description.json").write_text("[]")
    assert not description_stores(fresh)


@pytest.mark.slow
def test_a_network_that_cannot_be_drawn_anew_has_no_mprt(spots: Path, tmp_path: Path) -> None:
    torch.jit.trace(Spot().eval(), torch.zeros(1, 3, SIDE, SIDE)).save(tmp_path / "net.pt")  # type: ignore[no-untyped-call]
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    fed = ["--input-size", SIDE, "--resize", "squash", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5"]
    named = ["--class-names", tmp_path / "names.txt", "--methods", "input_x_gradient", "--force"]
    out = tmp_path / "run"
    launch("run", "--model", tmp_path / "net.pt", "--data", spots, "--out", out, *fed, *named)
    printed = launch("trust", out, *REPEATED, "--images", 10)
    assert "Not measured: mprt (" in printed
    described = table_below(printed, "Description (")
    assert "max-sensitivity" in described["method"]
    assert "efficient MPRT" not in described["method"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("image,left,top,right\nspot/0.png,1,2,3", "none called bottom"),
        ("picture,left,top,right,bottom\nspot/0.png,1,2,3,4", "none called image"),
        ("image,left,top,right,bottom\nother.png,1,2,3,4", "boxes of no image of the run"),
        ("image,left,top,right,bottom\nspot/0.png,5,2,3,4", "1 box without an area (left 5"),
        ("image,left,top,right,bottom\nspot/0.png,a,2,3,4", "without an area"),
    ],
)
def test_boxes_that_cannot_be_used_are_one_line(table: str, said: str, made: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text(table)
    assert said in one_line("trust", made, *FAST, "--boxes", tmp_path / "boxes.csv")
    assert "No file" in one_line("trust", made, *FAST, "--boxes", tmp_path / "nowhere.csv")


def test_repeated_figures_of_many_layers_are_refused(small_run: RunData, tiny: Classifier) -> None:
    works = measurements(tiny, small_run, layers=["all"], images=10)
    assert len(works) > 1
    with pytest.raises(UserError, match="measured at one layer"):
        repeated(works, ["mprt", "road"])
    assert not repeated(works, ["road"])


def test_nothing_is_described_of_nothing() -> None:
    empty = Description([])
    assert not empty.methods
    assert not empty.regions
