"""The engines of a run: the same rows, whoever computes them, and whoever is lost meanwhile."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from explain.run import engines
from explain.run.engine import run
from explain.run.engines import Workers, schedule
from explain.run.format import done_ids, part_files, read_request
from explain.run.job import BatchRows, Job, batches_of, local
from explain.run.parquet import read
from explain.run.ray_engine import Place, Task, Worker, _unpacked, on_workers, place, units
from explain.run.reader import open_run
from models import checkpoints
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.errors import Cancelled, UserError
from models.registry import spec
from tests.command import launch, one_line
from tests.ports import free_port
from tests.ray_runs import Opened

CLASSES = ("happiness", "sadness", "neutral", "anger")
EACH, BATCH = 14, 4
HALF = {"batch_size": BATCH, "part_rows": 2 * BATCH}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """A network that was not trained, and 56 noisy pictures of four classes."""
    folder, rng = tmp_path_factory.mktemp("engines"), np.random.default_rng(0)
    named = {"architecture": "small_conv", "classes": list(CLASSES)}
    checkpoints.save(folder / "net.safetensors", spec("small_conv").build(4), named)
    for name in CLASSES:
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(EACH):
            pixels = rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / name / f"{i:02d}.png")
    return Opened(folder / "net.safetensors", folder / "pictures")


@pytest.fixture(scope="module")
def whole(opened: Opened) -> Path:
    """The run that the engine `local` makes without a stop."""
    out = opened.folder.parent / "whole"
    run(*opened.both(), out, ["grad_cam"], **HALF)
    return out


@pytest.fixture(scope="module")
def ray_started() -> Iterator[Any]:
    """One Ray for the tests of this file."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'vitrine-xai[cluster]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            "local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            log_to_driver=False,
            logging_level="CRITICAL",
        )
        yield ray
        ray.shutdown()


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in part_files(folder)]


def as_text(table: pa.Table) -> list[str]:
    """One text per row, equal for equal rows, those with NaN among them."""
    return [repr(row) for row in table.to_pylist()]


def test_batches_begin_where_they_did_before() -> None:
    assert batches_of(range(10), 10, 4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches_of(range(4, 10), 10, 4) == [[4, 5, 6, 7], [8, 9]]
    assert batches_of([1, 5, 8, 9, 10, 11, 12], 13, 4) == [[1, 5], [8, 9, 10, 11], [12]]
    assert batches_of([0, 1, 2, 4, 5, 6], 7, 4) == [[0, 1, 2], [4, 5, 6]]
    assert batches_of([], 7, 4) == []


@pytest.mark.parametrize(
    ("nodes", "wanted", "gpus", "found"),
    [
        ([(2, 0)], Workers(), 0, Place(2, 1, 0)),
        ([(2, 0)], Workers(count=1), 0, Place(1, 2, 0)),
        ([(16, 2)], Workers(), 1, Place(2, 8, 1)),
        ([(16, 2)], Workers(), 0.5, Place(4, 4, 0.5)),
        ([(16, 2), (4, 0)], Workers(count=3), 0, Place(3, 5, 0)),
        ([(8, 4), (4, 4)], Workers(), 1, Place(8, 1, 1)),
    ],
)
def test_workers_share_the_cores(
    nodes: list[tuple[float, float]], wanted: Workers, gpus: float, found: Place
) -> None:
    assert place(nodes, wanted, gpus, grows=False) == found


def test_workers_that_do_not_fit() -> None:
    with pytest.raises(UserError, match=r"3 workers with 1 core each: .* 2 cores and 0 GPUs; .*most 2\)"):
        place([(2, 0)], Workers(count=3), 0, grows=False)
    with pytest.raises(UserError, match=r"1 worker with 1 core and 1 GPU each: .*most 0\)"):
        place([(2, 0)], Workers(), 1, grows=True)
    assert place([(2, 0)], Workers(count=3), 1, grows=True) == Place(3, 1, 1)


def test_units_hold_every_batch_once() -> None:
    batches = batches_of(range(103), 103, 5)
    for workers, most in ((1, 1), (1, 16), (2, 16), (40, 3)):
        found = [json.loads(text) for text in units(batches, workers, most)]
        assert [batch for _, unit in found for batch in unit] == batches
        assert [at for at, _ in found] == [batches.index(unit[0]) for _, unit in found]
        assert max(len(unit) for _, unit in found) <= most


def test_what_engines_refuse(monkeypatch: pytest.MonkeyPatch, opened: Opened) -> None:
    with pytest.raises(UserError, match="No engine 'spark': choose from local, ray"):
        schedule("spark", Workers(), opened)
    with pytest.raises(UserError, match="local has no workers: add --engine ray"):
        schedule("local", Workers(count=2), opened)
    monkeypatch.setattr("models.extras.find_spec", lambda name: None)
    words = ["--model", "m", "--data", "d", "--out", "o"]
    assert "pip install 'vitrine-xai[cluster]'" in one_line("run", *words, "--engine", "ray")


@pytest.mark.slow
def test_a_batch_that_comes_twice_counts_once(opened: Opened, whole: Path, tmp_path: Path) -> None:
    def twice(job: Job, batches: list[list[int]]) -> Iterator[BatchRows]:
        sent: list[BatchRows] = []
        for batch in local(job, batches):
            yield from (batch, *sent)
            sent.append(batch)

    seen: list[int] = []
    run(
        *opened.both(),
        tmp_path / "run",
        ["grad_cam"],
        **HALF,
        schedule=twice,
        progress=lambda now: seen.append(now.done),
    )
    assert contents(tmp_path / "run") == contents(whole)
    assert seen == [*range(BATCH, 4 * EACH + 1, BATCH)]


def test_a_run_without_all_rows_is_not_complete(opened: Opened, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ended after 3 of 14 batches"):
        run(
            *opened.both(),
            tmp_path / "run",
            ["grad_cam"],
            **HALF,
            schedule=lambda job, batches: local(job, batches[:3]),
        )
    assert open_run(tmp_path / "run").manifest.status == "partial"


# -- a worker, in this process -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Broken:
    """Opens nothing."""

    error: Exception

    def __call__(self, device: str) -> Any:
        raise self.error


def answers(reopen: Any, whole: Path, *batches: list[int], first: int = 0) -> list[BatchRows]:
    """What the driver gets from one worker for one unit."""
    worker = Worker(Task(reopen, read_request(whole), "cpu", 1, str(whole.parent)))
    unit = pa.table({"unit": [json.dumps([first, batches])]})
    return [_unpacked(row) for table in worker(unit) for row in table.to_pylist()]


@pytest.fixture
def same_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker goes into the folder of its command."""
    monkeypatch.setattr("os.chdir", lambda folder: None)


@pytest.mark.usefixtures("same_folder")
def test_a_worker_sends_the_rows_of_its_batches(opened: Opened, whole: Path) -> None:
    found = answers(opened, whole, [4, 5, 6, 7], [8, 9, 10, 11], first=1)
    assert [(batch.number, batch.device) for batch in found] == [(1, "cpu"), (2, "cpu")]
    rows = pa.concat_tables([read(path) for path in part_files(whole)]).slice(4, 8)
    assert as_text(pa.concat_tables([batch.table for batch in found])) == as_text(rows)


@pytest.mark.usefixtures("same_folder")
def test_errors_of_a_worker_are_one_line(opened: Opened, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^No folder 'x'$"):
        answers(Broken(UserError("No folder 'x'")), whole, [0])
    with pytest.raises(RuntimeError, match="in a worker") as caught:
        answers(Broken(ZeroDivisionError("by zero\nand more")), whole, [0])
    assert str(caught.value) == "in a worker: ZeroDivisionError: by zero"
    assert "raise self.error" in caught.value.__notes__[0]
    (tmp_path / "anger").mkdir()
    (tmp_path / "anger" / "0.png").write_bytes((opened.folder / "anger" / "00.png").read_bytes())
    with pytest.raises(UserError, match="finds other images or labels there"):
        answers(replace(opened, folder=tmp_path), whole, [0])


@pytest.mark.slow
def test_a_wrong_address_is_said_at_once(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """'auto' is the cluster that was started last on this machine, which may have ended since."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vitrine-xai[cluster]'")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray._private.utils.read_ray_address", lambda: f"127.0.0.1:{free_port()}")
    for address in (f"127.0.0.1:{free_port()}", f"ray://127.0.0.1:{free_port()}", "auto"):
        with pytest.raises(UserError, match=rf"^Ray at '{address}' does not answer \(.*refused\): see 'ray"):
            next(on_workers(Workers(address), opened)(None, [[0]]))  # type: ignore[arg-type]


# -- workers of Ray ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("ray_started")
def test_two_workers_one_of_them_killed(opened: Opened, whole: Path, tmp_path: Path) -> None:
    """The process that reads image 17 first is killed; the run is stopped, and finished by the other
    engine: the same files, byte for byte."""
    out, seen = tmp_path / "run", list[int]()
    fatal = replace(opened, flag=tmp_path / "flag", at=17)
    with pytest.raises(Cancelled, match="40 of 56 images are kept"):
        run(
            *opened.both(),
            out,
            ["grad_cam"],
            **HALF,
            schedule=on_workers(Workers(count=2), fatal),
            progress=lambda now: seen.append(now.done),
            stop=lambda: len(seen) == 10,
        )
    assert int((tmp_path / "flag").read_text()) > 0
    assert seen == [*range(BATCH, 41, BATCH)]
    assert contents(out) == contents(whole)[:5]
    manifest = run(*opened.both(), out, ["grad_cam"], **HALF)
    assert manifest.counts == {"ok": 56, "failed": 0}
    assert contents(out) == contents(whole)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_started")
def test_begun_here_and_finished_by_a_worker(opened: Opened, tmp_path: Path) -> None:
    """With an image that cannot be read, through the command line."""
    folder, seen = tmp_path / "pictures", list[int]()
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for file in (opened.folder / name).iterdir():
            (folder / name / file.name).hardlink_to(file)
    broken = folder / "happiness" / "03.png"
    broken.unlink()
    broken.write_bytes(b"no picture")
    net: tuple[Classifier, FolderSource] = replace(opened, folder=folder).both()  # type: ignore[assignment]
    run(*net, tmp_path / "whole", ["grad_cam"], batch_size=BATCH)
    with pytest.raises(Cancelled):
        run(
            *net,
            tmp_path / "run",
            ["grad_cam"],
            batch_size=BATCH,
            progress=lambda now: seen.append(now.done),
            stop=lambda: len(seen) == 2,
        )
    assert len(done_ids(tmp_path / "run")) == 2 * BATCH
    words = ["--model", opened.network, "--data", folder, "--methods", "grad_cam", "--batch-size", BATCH]
    launch("run", *words, "--engine", "ray", "--workers", 1, "--out", tmp_path / "run")
    made = open_run(tmp_path / "run").manifest
    assert made.counts == {"ok": 55, "failed": 1}
    assert "--engine ray" in made.command
    made_here, together = (
        pa.concat_tables(map(read, part_files(tmp_path / name))) for name in ("whole", "run")
    )
    assert as_text(together) == as_text(made_here)


@pytest.mark.slow
def test_one_entry_for_each_engine() -> None:
    assert list(engines.ENGINES) == ["local", "ray"]
    assert schedule("local", Workers(), lambda device: None) is local  # type: ignore[arg-type, return-value]
