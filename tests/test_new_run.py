"""The New run tab: its commands, its processes, what it reads from their output, and what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import torch
from PIL import Image
from tqdm import tqdm

from dashboard.components.listed.check_view import check_result
from dashboard.components.listed.run_list import run_list, state
from dashboard.server.permissions import Access
from dashboard.session.check_process import check_in_steps
from dashboard.session.context import Context
from dashboard.session.run_command import (
    FIELDS,
    check_words,
    classes_file,
    filled_in,
    run_words,
    write_classes,
)
from dashboard.session.run_jobs import RunJob, RunJobs, RunState
from dashboard.session.run_log import LogProgress, parse
from dashboard.session.training_jobs import as_typed
from dashboard.tabs.new_run_state import NewRunView
from models import checkpoints
from models.classes.mapping import read_mapping
from models.errors import Cancelled, UserError
from models.process_identity import birth, runs
from models.registry import spec
from tests.command import run_command
from tests.conftest import COLORS
from tests.forked import Forked, pause_at_the_first_progress, wait_until_paused

PLAIN = {"model": "fer_vgg:toon_faces", "data": "toon_faces", "name": "mine"}


def test_the_command_names_only_what_is_filled_in() -> None:
    values = PLAIN | {"data": "my faces", "mean": "0.5", "limit": "8", "device": "cpu", "force": "yes"}
    assert as_typed(run_words(values, Path("runs"))) == (
        "python launch.py run --model fer_vgg:toon_faces --data 'my faces' --out runs/mine --mean 0.5 "
        "--limit 8 --force"
    )
    assert check_words(values) == [
        "check",
        *("--model", "fer_vgg:toon_faces", "--data", "my faces", "--mean", "0.5"),
    ]


def test_every_field_is_an_option_of_the_command_line() -> None:
    """What the page writes, `run` and `check` read: only the data is not there."""
    values = dict.fromkeys(FIELDS, "1") | PLAIN | {"data": "nowhere.txt", "label_columns": "2,3"}
    for words in (run_words(values, Path("t")), check_words(values)):
        done = run_command(*words)
        assert done.returncode == 2
        assert "No such option" not in done.stderr
        assert "nowhere.txt" in done.stderr


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 99, "a b", "a\0b"])
def test_names_are_no_paths(name: str) -> None:
    with pytest.raises(UserError, match="is no name for a run"):
        run_words(PLAIN | {"name": name}, Path("t"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "net.py:build"}, "is code, which a page does not run"),
        ({"model": "/anywhere/net.py:Net"}, "is code, which a page does not run"),
        ({"model": "torchvision.models:resnet18"}, "is code, which a page does not run"),
        ({"model": " "}, "needs a model and data"),
        ({"weights": "--preprocess"}, "is no value"),
        ({"mean": "0\n1"}, "is no value"),
        ({"limit": "-3"}, "whole number"),
        ({"limit": "many"}, "whole number"),
    ],
)
def test_what_a_page_does_not_start(changed: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        run_words(PLAIN | changed, Path("t"))
    assert "\n" not in str(refused.value)
    assert "preprocess" not in FIELDS


def test_another_reading_fills_the_form() -> None:
    words = ["--scale", "255", "--mean", "0.5", "--std", "0.5"]
    assert filled_in(PLAIN | {"mean": "0"}, words) == PLAIN | {"scale": "255", "mean": "0.5", "std": "0.5"}
    assert filled_in({"crop": "none"}, ["--resize", "squash"])["crop"] == ""
    assert filled_in({}, ["--classes", "sorted"])["classes"] == "sorted"
    with pytest.raises(UserError, match="has no field"):
        filled_in(PLAIN, ["--preprocess", "x.py:f"])


def test_the_bar_of_a_log_is_what_tqdm_writes() -> None:
    """Against tqdm itself, not a copy of its format."""
    bars = [
        tqdm.format_meter(n, 800, n / 40, unit="image", rate=40, postfix="failed=2", ncols=80)
        for n in (0, 40, 100)
    ]
    found = parse(f"input      a\nsample     95 % of 64\n\r{chr(13).join(bars)}")
    assert (found.done, found.total, found.rate, found.left) == (100, 800, 40, 17)
    assert found.message == "sample     95 % of 64"


def test_bars_of_slow_runs_refusals_and_stops() -> None:
    slow = parse("\r  1%|  | 8/800 [00:16<1:02:03,  2.50s/image]\r 2%| | 16/800 [00:30<?, ?image/s]\r")
    assert (slow.done, slow.rate, slow.left) == (16, None, None)
    slow = parse("\r  1%|  | 8/800 [00:16<1:02:03,  2.50s/image]")
    assert (slow.rate, slow.left) == (0.4, 3723)
    assert parse("x\nvitrine: No folder at 'y'.\n").error == "No folder at 'y'."
    assert parse("\nStopped. Results so far are in runs/x; run the same command to resume.\n").stopped
    assert parse("") == LogProgress()


def test_a_process_is_known_by_its_birth() -> None:
    mine = os.getpid()
    assert runs(mine, birth(mine))
    assert not runs(mine, "1")  # an earlier process with this id
    assert not runs(0, "")
    assert not runs(-1, "")
    assert not runs(2**80, "")


def test_corrections_are_a_file_that_run_reads(tmp_path: Path) -> None:
    outputs = ["a", 'b "2", c', "# d"]
    matching = [{"data": n, "output": k, "name": outputs[k], "rule": ""} for k, n in enumerate(outputs)]
    checked = {"outputs": outputs, "matching": [*matching, {"data": "e", "output": None, "rule": ""}]}
    view = NewRunView().of(PLAIN, checked, "check")
    assert view.apply("output:9", "1") == view.apply("output:0", "99") == view.apply("x", "") == view
    view = view.apply("output:0", "1").apply("named:1", "a")
    assert [row["output"] for row in view.rows] == [1, 0, 2, None]
    with pytest.raises(UserError, match="No output is called 'zzz'"):
        view.apply("named:1", "zzz")
    path = classes_file(tmp_path, "mine")
    write_classes(path, view.rows, outputs)
    assert read_mapping(path).outputs([*outputs, "e"], outputs) == {"a": 1, outputs[1]: 0, "# d": 2}
    write_classes(path, view.rows, outputs)  # its own file is written again
    path.write_text("a,b")
    with pytest.raises(UserError, match="was not written by this page"):
        write_classes(path, view.rows, outputs)


def test_corrections_belong_to_one_network_and_data() -> None:
    checked = {"outputs": ["a", "b"], "matching": [{"data": "x", "output": 0, "rule": ""}]}
    view = NewRunView().of(PLAIN, checked, "").apply("output:0", "1")
    assert view.corrected(PLAIN | {"mean": "0.5"})
    assert not view.corrected(PLAIN | {"weights": "other.pth"})
    assert view.of(PLAIN, checked, "").corrections == {"0": 1}
    assert view.of(PLAIN | {"data": "other"}, checked, "").corrections == {}
    assert view.of(PLAIN, checked | {"outputs": ["b", "a"]}, "").corrections == {}


def test_texts_of_a_check_stay_texts() -> None:
    evil = '<img src=x onerror="a()">'
    reading = {"name": evil, "words": ["--mean", evil], "accuracy": 0.9, "as_now": 0.1, "images": 9}
    rows = [{"data": evil, "output": 0, "name": evil, "rule": evil}]
    checked = {"input": evil, "notes": [evil], "outputs": [evil] * 200, "matching": rows, "images": 9}
    checked |= {"unread": 1, "accuracy": 0.1, "interval": [0, 0.3], "chance": 0.1, "shares": {"0": 1.0}}
    checked |= {"readings": [reading | {"p": 0.0, "better": True}], "verdict": evil, "wrong": True}
    checked |= {"error": evil, "data": evil}
    for outputs in (200, 2):
        shown = str(check_result(checked | {"outputs": [evil] * outputs}, rows, evil, evil))
        assert "<img" not in shown
        assert "data-action" in shown
    job = RunJob({"model": evil, "data": evil}, name="x")
    shown = run_list([RunState(job, "failed", LogProgress(error=evil))], evil, {}, evil)
    assert "<img" not in shown


def test_states_in_words() -> None:
    job, half = RunJob({}, name="x"), LogProgress(400, 800, 12.3, 240, "sample")
    assert state(RunState(job, "running", half)) == "400 of 800 images, 12.3 images/s, 4 min left"
    assert state(RunState(job, "running", LogProgress(message="input"))) == "starting"
    assert state(RunState(job, "cancelled", half)) == "cancelled at 400 of 800 images"
    assert state(RunState(job, "ended", half)) == "ended without a result: see x.log"
    shown = run_list([RunState(job, "complete", half)], "runs", {"x": "http://127.0.0.1:1/"}, "")
    assert 'href="http://127.0.0.1:1/"' in shown
    shared = run_list([RunState(job, "complete", half)], "runs", {"x": None}, "python launch.py serve --run")
    assert "python launch.py serve --run runs/x" in shared.striptags()
    assert "data-action" not in shared


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[RunJobs]:
    made = RunJobs(tmp_path / "runs")
    yield made
    for found in made.all():
        if found.job.alive:
            os.kill(found.job.pid, signal.SIGKILL)


def test_job_files_of_others_start_and_end_nothing(jobs: RunJobs) -> None:
    """A file may hold anything: no command is read from it, and no other process is ended."""
    jobs.folder.mkdir()
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    raw = {"values": PLAIN | {"command": "rm"}, "pid": sleeper.pid, "born": "1", "name": "other"}
    (jobs.folder / "a.job.json").write_text(json.dumps(raw))
    (jobs.folder / "b.job.json").write_text(json.dumps({"values": ["rm"]}))
    (jobs.folder / "c.job.json").write_text("{")
    (jobs.folder / "d.job.json").write_text(json.dumps({"values": {"model": "evil.py:f", "data": "x"}}))
    (jobs.folder / "e e.job.json").write_text(json.dumps(raw))
    assert [(found.job.name, found.state) for found in jobs.all()] == [("a", "ended"), ("d", "ended")]
    assert jobs.one("a").job.values == PLAIN
    with pytest.raises(UserError, match="is not running"):
        jobs.cancel("a")
    with pytest.raises(UserError, match="is code"):
        jobs.resume("d")
    for name in ("../a", "zzz", ""):
        with pytest.raises(UserError, match="There is no run"):
            jobs.resume(name)
    assert sleeper.poll() is None
    sleeper.kill()
    sleeper.wait()
    (jobs.folder / "mine.log").write_text("of another program")
    with pytest.raises(UserError, match="was not written by this page"):
        jobs.start(PLAIN)
    assert (jobs.folder / "mine.log").read_text() == "of another program"


@pytest.fixture
def small(pictures: Path) -> dict[str, str]:
    """A form with a network that was not trained, so that another reading may seem better, and 54 images."""
    torch.manual_seed(0)
    file, about = pictures.with_name("a.safetensors"), {"architecture": "small_conv", "classes": list(COLORS)}
    checkpoints.save(file, spec("small_conv").build(3), about)
    for path in list(pictures.rglob("*.png")):
        for number in (1, 2):
            shutil.copy(path, path.with_name(f"{path.stem}-{number}.png"))
    return PLAIN | {"model": str(file), "data": str(pictures), "force": "yes"}


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_started_cancelled_resumed_and_complete(
    jobs: RunJobs, small: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        pause_at_the_first_progress(patch)
        assert jobs.start(small | {"limit": "48"}) == "mine"
    wait_until_paused(jobs.one("mine").job.pid)
    with pytest.raises(UserError, match="is running already"):
        jobs.start(small)
    another = RunJobs(jobs.folder)  # a page, or a server, that comes later
    assert another.one("mine").progress.done == 32
    another.cancel("mine")
    os.kill(jobs.one("mine").job.pid, signal.SIGCONT)
    wait(lambda: jobs.one("mine").state != "running")
    assert jobs.one("mine").state == "cancelled"
    with pytest.raises(UserError, match="is not complete"):
        jobs.run_folder("mine")
    another.resume("mine")
    wait(lambda: jobs.one("mine").state != "running")
    assert jobs.one("mine").state == "complete"
    assert jobs.one("mine").progress.total == 48
    assert jobs.run_folder("mine") == jobs.folder / "mine"
    jobs.start(small | {"name": "bad", "data": small["data"] + "/nowhere"})
    wait(lambda: jobs.one("bad").state != "running")
    assert state(jobs.one("bad")) == "failed"
    assert jobs.one("bad").progress.error.startswith("No ")


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_a_check_is_followed_and_cancelled() -> None:
    def cancelled() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        list(check_in_steps(check_words(PLAIN), cancelled))
    *_, answer = check_in_steps(check_words(PLAIN | {"data": "nowhere"}), lambda: None)
    assert isinstance(answer, dict)
    assert answer["error"].startswith("No ")


@pytest.mark.slow
def test_a_page_of_another_run_ends_with_its_server(demo: Path) -> None:
    """Also where the server is killed."""
    code = (
        "import sys, time; from pathlib import Path; from dashboard.session.run_pages import RunPages\n"
        "pages, run = RunPages(), Path(sys.argv[1])\n"
        "pages.open(run)\n"
        "while not pages.address(run): time.sleep(0.1)\n"
        "print(pages.address(run), flush=True); time.sleep(600)"
    )
    server = Forked([sys.executable, "-c", code, str(demo)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:")
    assert _answers(address)
    server.kill()
    server.communicate()
    wait(lambda: not _answers(address), 30)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}healthz").status_code == 200
    except httpx.HTTPError:
        return False


def test_where_runs_are_written(demo: Path) -> None:
    from explain.run.reader import open_run
    from launch import DEMO

    assert Context(open_run(demo)).new_runs == demo.parent
    assert Context(open_run(DEMO)).new_runs == Path("runs")


@pytest.mark.slow
@pytest.mark.parametrize("access", [Access.VISITOR, Access.READER])
def test_visitors_have_neither_the_tab_nor_its_events(demo: Path, access: Access) -> None:
    from dashboard.app import build
    from explain.run.reader import open_run

    def events(who: Access) -> set[str]:
        page = build(Context(open_run(demo), access=who))
        found = {f"{block.fn.__qualname__}" for block in page.fns.values() if block.fn}
        page.close(verbose=False)
        return found

    assert any("NewRunTab" in name for name in events(Access.OWNER))
    assert not any("NewRunTab" in name for name in events(access))


@pytest.mark.parametrize("access", [Access.VISITOR, Access.READER])
def test_every_handler_refuses_those_who_may_not_compute(demo: Path, access: Access) -> None:
    """Also where the tab were built for them."""
    import inspect

    import gradio as gr

    from dashboard.tabs.new_run import NewRunTab
    from explain.run.reader import open_run

    ctx = Context(open_run(demo))
    with gr.Blocks():
        tab = NewRunTab(ctx)
    ctx.access = access
    called = {"listen"}
    for name, handler in inspect.getmembers(tab, inspect.ismethod):
        if name.startswith("_") or name in called:
            continue
        given = [
            None for p in inspect.signature(handler).parameters.values() if p.kind.name != "VAR_POSITIONAL"
        ]
        with pytest.raises((gr.Error, UserError), match="allow-compute"):
            next(iter(handler(*given) if inspect.isgeneratorfunction(handler) else [handler(*given)]))
        called.add(name)
    assert {"start", "check", "act", "correct", "drop_checkpoint", "typed"} <= called


def test_dropped_files_are_kept_and_nothing_else(tmp_path: Path) -> None:
    from gradio.utils import get_upload_folder

    from dashboard.server.uploads import keep_upload

    upload = Path(get_upload_folder()) / "x" / "my net!.pth"
    upload.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"a": torch.zeros(1)}, upload)
    kept = keep_upload(str(upload), tmp_path / "dropped", (".pth",))
    assert kept.parent == tmp_path / "dropped"
    assert kept.name.endswith("-my_net_.pth")
    assert kept.read_bytes() == upload.read_bytes()
    secret = tmp_path / "secret.pth"
    secret.write_text("x")
    link = upload.with_name("link.pth")
    link.symlink_to(secret)
    Image.new("RGB", (2, 2)).save(upload.with_name("a.png"))
    for path in (secret, link, "", "/etc/passwd", upload.with_name("none.pth"), "http://x/y.pth"):
        with pytest.raises(UserError, match="Only uploaded files"):
            keep_upload(str(path), tmp_path / "dropped", (".pth",))
    with pytest.raises(UserError, match="is not accepted here"):
        keep_upload(str(upload.with_name("a.png")), tmp_path / "dropped", (".pth",))
    assert len(list((tmp_path / "dropped").iterdir())) == 1


def wait(done: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it never happened")
