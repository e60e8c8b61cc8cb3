"""Runs at URLs: written, resumed, read and locked there; the bytes of a local run."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from dashboard.app import build
from dashboard.session.context import Context
from explain.run.engine import Progress, run
from explain.run.format import MODEL, NOTES, part_files
from explain.run.people.notes import add, read
from explain.run.reader import open_run
from explain.run.remote import mirrors, writer_lock
from explain.run.remote.mirror import Mirror
from explain.run.remote.mirrors import mirror_of, publish_all
from explain.run.remote.writer_lock import FILE as WRITER
from explain.run.run_folder import run_folder
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.remote.files import Entry
from models.errors import Cancelled, UserError
from models.sources import model_file
from tests.buckets import s3_server as s3_server
from tests.command import launch
from tests.remote import servers_are_asked as servers_are_asked
from tests.remote_runs import OPTIONS, Machine, files_at, parts, uploaded
from tests.remote_runs import here as here
from tests.remote_runs import machine as machine
from tests.remote_runs import place as place

pytestmark = pytest.mark.usefixtures("servers_are_asked")


def stopped_after(images: int) -> tuple[Callable[[Progress], None], Callable[[], bool]]:
    """`progress` and `stop` of a run that is stopped after so many images."""
    done = [0]
    return (lambda now: done.__setitem__(0, now.done)), (lambda: done[0] >= images)


@pytest.mark.slow
def test_a_run_that_is_resumed_by_another_machine_has_the_bytes_of_a_local_one(
    place: str, machine: Machine, tiny: Classifier, pictures: Path, here: Path
) -> None:
    source, url = FolderSource(pictures), f"{place}/first"
    progress, stop = stopped_after(8)
    with pytest.raises(Cancelled, match=f"8 of 18 images are kept in '{url}'"):
        run(tiny, source, run_folder(url), ["grad_cam"], progress=progress, stop=stop, **OPTIONS)
    found = files_at(url)
    assert sorted(found) == ["request.json", "samples/part-00000.parquet", "samples/part-00001.parquet"]
    machine("second")
    computed = list[int]()
    folder = run_folder(url)
    run(tiny, source, folder, ["grad_cam"], progress=lambda now: computed.append(now.done), **OPTIONS)
    assert computed == [12, 16, 18]
    found = files_at(url)
    assert {name: data for name, data in found.items() if name.startswith("samples/")} == parts(here)
    assert sorted(found) == ["manifest.json", "request.json", *parts(here)]
    assert json.loads(found["manifest.json"])["counts"] == {"ok": 18, "failed": 0}


@pytest.mark.slow
def test_what_did_not_change_is_not_fetched_again(
    place: str, machine: Machine, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded(here, f"{place}/first")
    folder, fetched = run_folder(f"{place}/first"), list[str]()
    assert parts(folder) == parts(here)
    real = Mirror._copy

    def counted(mirror: Mirror, name: str, there: Entry) -> str:
        fetched.append(name)
        return real(mirror, name, there)

    monkeypatch.setattr(Mirror, "_copy", counted)
    monkeypatch.setattr(mirrors, "_open", {})  # another process
    run_folder(f"{place}/first")
    assert fetched == []
    system, top = fsspec.core.url_to_fs(f"{place}/first")
    system.pipe_file(f"{top}/samples/part-00001.parquet", (here / "samples/part-00000.parquet").read_bytes())
    system.rm_file(f"{top}/samples/part-00002.parquet")
    run_folder(f"{place}/first")
    assert fetched == ["samples/part-00001.parquet", "manifest.json"]  # not there while a part is old
    assert not (folder / "samples/part-00002.parquet").exists()


@pytest.mark.slow
def test_page_report_and_analysis_of_a_url(place: str, machine: Machine, here: Path, tmp_path: Path) -> None:
    url = f"{place}/first"
    uploaded(here, url)
    opened = open_run(run_folder(url))
    assert opened.folder.name == "first"
    ctx = Context(opened)
    assert build(ctx).blocks
    assert ctx.new_runs == Path("runs")
    assert url in map(str, ctx.server_files)  # visitors do not see it
    assert np.array_equal(opened.maps("grad_cam", "pred", [3]), open_run(here).maps("grad_cam", "pred", [3]))
    launch("report", url, "--out", tmp_path / "there.html")
    launch("report", here, "--out", tmp_path / "here.html")
    assert (tmp_path / "there.html").read_text() == (tmp_path / "here.html").read_text()
    said = launch("analyze", url)
    assert said == launch("analyze", here)
    assert {"analysis.json", "analysis.parquet"} <= set(files_at(url))
    assert model_file.FILE == MODEL
    shutil.copytree(here, tmp_path / "other")
    assert f"A          tiny, {url}" in launch("compare", url, tmp_path / "other")


@pytest.mark.slow
def test_notes_of_two_machines_are_all_kept(place: str, machine: Machine, here: Path) -> None:
    url, warned, image = f"{place}/first", list[str](), str(open_run(here).table["id"][0])
    uploaded(here, url)
    for name in ("first", "second"):  # both have it open, and the second one is first to write it there
        machine(name)
        folder = run_folder(url)
        add(folder, image, "text", f"of {name}", "me", open_run(here).classes)
    add(folder, image, "text", "of second later", "me", open_run(here).classes)
    of_second = (folder / NOTES).read_text().splitlines()
    later = [of_second[0].replace('"at": "20', '"at": "21'), of_second[1].replace('"at": "20', '"at": "22')]
    (folder / NOTES).write_text("\n".join(later) + "\n")
    publish_all(warned.append)
    machine("first")
    folder = run_folder(url)
    publish_all(warned.append)
    lines = [json.loads(line)["value"] for line in files_at(url)[NOTES].decode().splitlines()]
    assert lines == ["of first", "of second", "of second later"]
    assert (folder / NOTES).read_bytes() == files_at(url)[NOTES]
    assert read(folder)[image].text == "of second later"
    assert warned == []


@pytest.mark.slow
def test_two_writers_do_not_mix(
    place: str, machine: Machine, tiny: Classifier, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, url, refused = FolderSource(pictures), f"{place}/first", list[str]()
    monkeypatch.setattr(writer_lock, "RENEWED", 0.05)

    def another(now: Progress) -> None:
        if now.done == 8:
            machine("second")
            with pytest.raises(UserError) as error:
                run(tiny, source, run_folder(url), ["grad_cam"], **OPTIONS)
            refused.append(str(error.value))

    run(tiny, source, run_folder(url), ["grad_cam"], progress=another, **OPTIONS)
    assert len(refused) == 1
    assert f"Another process is writing to '{url}' (process " in refused[0]
    assert WRITER not in files_at(url)
    assert open_run(run_folder(url)).manifest.counts["ok"] == 18


@pytest.mark.slow
def test_the_lock_of_a_killed_writer_is_taken_over(
    place: str, machine: Machine, tiny: Classifier, pictures: Path
) -> None:
    source, url, said = FolderSource(pictures), f"{place}/first", list[str]()

    def killed(now: Progress) -> None:
        """The lock stays, and another machine takes it: this one notices before its next part."""
        if now.done == 8:
            mirror = mirror_of(run_folder(url))
            assert isinstance(mirror, Mirror)
            mirror._wait()
            system, top = fsspec.core.url_to_fs(url)
            holder = json.loads(system.cat_file(f"{top}/{WRITER}"))
            system.pipe_file(
                f"{top}/{WRITER}", json.dumps(holder | {"token": "other", "machine": "x"}).encode()
            )

    with pytest.raises(UserError, match="Another process has begun to write"):
        run(tiny, source, run_folder(url), ["grad_cam"], progress=killed, **OPTIONS)
    written = ["request.json", "samples/part-00000.parquet", "samples/part-00001.parquet", WRITER]
    assert sorted(files_at(url)) == written
    machine("second")
    run(tiny, source, run_folder(url), ["grad_cam"], say=said.append, **OPTIONS)
    assert len(said) == 1
    assert said[0].startswith(f"'{url}' is locked by process ")
    assert "manifest.json" in files_at(url)


@pytest.mark.slow
def test_a_part_that_is_half_there_is_computed_again(
    place: str, machine: Machine, tiny: Classifier, pictures: Path, here: Path
) -> None:
    url, said = f"{place}/first", list[str]()
    uploaded(here, url)
    system, top = fsspec.core.url_to_fs(url)
    part = f"{top}/samples/part-00001.parquet"
    system.pipe_file(part, system.cat_file(part)[:-50])
    assert open_run(run_folder(url)).damaged == 1
    run(tiny, FolderSource(pictures), run_folder(url), ["grad_cam"], say=said.append, **OPTIONS)
    assert said == [
        "1 of the run's files were damaged and are set aside (*.damaged): their images are done again"
    ]
    found, whole = files_at(url), parts(here)
    assert found["samples/part-00005.parquet"] == whole["samples/part-00001.parquet"]
    assert "samples/part-00001.parquet" not in found
    assert found["samples/part-00001.parquet.damaged"] == whole["samples/part-00001.parquet"][:-50]
    assert open_run(run_folder(url)).manifest.counts["ok"] == 18


@pytest.mark.slow
def test_a_damaged_copy_is_fetched_again(
    place: str, machine: Machine, tiny: Classifier, pictures: Path, here: Path
) -> None:
    url, said = f"{place}/first", list[str]()
    uploaded(here, url)
    part, maps = part_files(run_folder(url))[1], open_run(here).maps("grad_cam", "pred", range(18))

    def shown_maps(folder: Path) -> None:
        assert np.array_equal(open_run(folder).maps("grad_cam", "pred", range(18)), maps)

    def resumed(folder: Path) -> None:
        run(tiny, FolderSource(pictures), folder, ["grad_cam"], say=said.append, **OPTIONS)

    for reads in (shown_maps, resumed):
        machine("first")
        flip_a_bit_of_a_map(part)
        reads(run_folder(url))
        assert parts(run_folder(url)) == parts(here)
    assert said == []
    part.write_bytes(b"")
    assert parts(run_folder(url)) == parts(here)


def flip_a_bit_of_a_map(part: Path) -> None:
    """As a disk does: size and times stay."""
    group, stat, data = pq.read_metadata(part).row_group(0), part.stat(), bytearray(part.read_bytes())
    columns = (group.column(k) for k in range(group.num_columns))
    column = next(c for c in columns if c.path_in_schema.startswith("map.grad_cam.pred.list"))
    begins = column.dictionary_page_offset or column.data_page_offset
    data[begins + column.total_compressed_size // 2] ^= 1
    part.write_bytes(bytes(data))
    os.utime(part, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.slow
def test_restart_replaces_what_is_there(
    place: str, machine: Machine, tiny: Classifier, pictures: Path, here: Path
) -> None:
    url = f"{place}/first"
    uploaded(here, url)
    with pytest.raises(UserError, match=f"'{url}' holds another run"):
        run(tiny, FolderSource(pictures), run_folder(url), ["layer_cam"], **OPTIONS)
    options = OPTIONS | {"part_rows": 9}
    run(tiny, FolderSource(pictures), run_folder(url), ["layer_cam"], restart=True, **options)
    names = sorted(name for name in files_at(url) if name.startswith("samples"))
    assert names == ["samples/part-00000.parquet", "samples/part-00001.parquet"]


@pytest.mark.slow
def test_other_files_at_a_url_are_left_alone(
    place: str, machine: Machine, tiny: Classifier, pictures: Path
) -> None:
    system, top = fsspec.core.url_to_fs(place)
    system.pipe_file(f"{top}/photos/0.png", b"a photo")
    with pytest.raises(UserError, match="holds other files, such as 0\\.png, and is no run"):
        run(tiny, FolderSource(pictures), run_folder(f"{place}/photos"), ["grad_cam"])
    assert files_at(f"{place}/photos") == {"0.png": b"a photo"}
