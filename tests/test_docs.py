"""The pages of the documentation: every link leads somewhere, every page is listed once, lines are of normal
width, and the commands of the tutorial work as they are written."""

import contextlib
import io
import re
import runpy
import shlex
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.command import run_command

ROOT = Path(__file__).parent.parent
CARDS = sorted((ROOT / "models" / "weights").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")), *CARDS]
KINDS = ["Tutorial", "How-to", "Reference", "Results"]
WIDTH = 110
PHOTOS, FIRST = 14, 48
"""Of each class, where the page on photos has 50, from this face on: its output is compared without the
numbers, and of these few the same classes are the worst."""
FEWER = {"--images": "10", "--steps": "2", "--limit": "16"}
"""Options of commands whose output the page does not show: their work grows with their value."""
ADDED = {"export": ["--per-class", "4"]}
"""Command whose output the page does not show -> options for less work."""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    assert not [x for x in links if not x.startswith("http") and not (page.parent / x).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_lines_are_of_normal_width(page: Path) -> None:
    lines = [x for x in page.read_text().splitlines() if not x.lstrip().startswith("|")]  # tables are wide
    assert not [x for x in lines if len(x) > WIDTH]


def test_every_page_is_listed_once_under_one_kind() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    assert re.findall(r"^## (.+)$", index, re.M) == KINDS
    listed = re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", index, re.M)
    pages = [p.name for p in (ROOT / "docs").glob("*.md") if p.name != "index.md"]
    assert sorted(listed) == sorted([*pages, "vitrine.ipynb"])


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_the_title_says_the_kind_that_the_index_has(page: Path) -> None:
    kinds = re.split(r"^## (.+)$", (ROOT / "docs" / "index.md").read_text(), flags=re.M)[1:]
    of = {kind for kind, table in zip(kinds[::2], kinds[1::2], strict=True) if f"({page.name})" in table}
    title = page.read_text().splitlines()[0]
    assert page.name == "index.md" or of == {title.removeprefix("# ").partition(":")[0]}


def steps(page: Path) -> list[tuple[list[str], str]]:
    """(words of a command, the output that the page shows below it) of every `python` command."""
    text = page.read_text().replace("\\\n", " ")
    found = re.findall(r"^    python (.+)\n(?:\n```\n((?:.*\n)*?)```)?", text, re.M)
    return [(shlex.split(command), output) for command, output in found]


def shape(line: str) -> str:
    """A line without its numbers, which differ between machines, and with single spaces."""
    return " ".join(re.sub(r"[+-]?\d[\d.,e-]*", "0", line).split())


def launched(folder: Path, *options: str) -> str:
    """What `python launch.py` prints in this folder."""
    done = run_command(*options, cwd=folder)
    assert done.returncode == 0, (options, done.stderr)
    return done.stdout


def script_run(folder: Path, name: str, *options: str) -> str:
    """What another script prints in this folder."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        patch.setattr(sys, "argv", [name, *options])
        runpy.run_path(name, run_name="__main__")
    return printed.getvalue()


def follow(page: Path, folder: Path) -> None:
    """Run the commands of a page in their order in a folder: they print the lines that it shows; only
    `serve`, which does not end, is left out, and where they show nothing they get fewer images."""
    for (name, *options), shown in steps(page):
        if options[0] == "serve":
            continue
        if not shown:
            fewer = [FEWER.get(before, word) for before, word in pairwise(options)]
            options = [options[0], *fewer, *ADDED.get(options[0], ())]
        message = launched(folder, *options) if name == "launch.py" else script_run(folder, name, *options)
        printed = {shape(line) for line in message.splitlines()}
        assert not [x for x in shown.splitlines() if x != "..." and shape(x) not in printed], message


@pytest.mark.slow
def test_the_tutorial_works_as_it_is_written(tmp_path: Path) -> None:
    """On copies of the two shipped runs."""
    page = ROOT / "docs" / "tutorial.md"
    for name in ("demo", "demo_repaired"):
        shutil.copytree(ROOT / "dashboard" / name, tmp_path / "dashboard" / name)
    assert len(steps(page)) >= 5
    follow(page, tmp_path)
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "anger.zip").is_file()
    assert (tmp_path / "runs" / "own" / "manifest.json").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
def test_the_page_on_photos_works_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its script and its commands, in an empty folder."""
    monkeypatch.setattr("explain.run.preflight.check.MOST", 32)
    page = ROOT / "docs" / "photos.md"
    (script,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    for words, fewer in {
        "< 50:": f"< {PHOTOS}:",
        "enumerate(faces.items)": f"list(enumerate(faces.items))[{FIRST}:]",
    }.items():
        assert script.count(words) == 1
        script = script.replace(words, fewer)
    (tmp_path / "make_photos.py").write_text(script)
    assert len(steps(page)) >= 10
    follow(page, tmp_path)
    assert (tmp_path / "maps" / "00.occlusion.npy").is_file()
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "fear.zip").is_file()


@pytest.mark.slow
def test_own_methods_models_and_data_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Its blocks, one after the other; what they register is removed at the end."""
    import vitrine
    from models.data import registry as data
    from models.data.toon_faces import draw_face
    from models.registry import unregister_model

    monkeypatch.chdir(tmp_path)
    draw_face("fear", (1, 2)).image.save("photo.jpg")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extend.md").read_text(), re.S)
    assert len(blocks) == 3
    names: dict[str, object] = {}
    removed = (
        lambda: vitrine.unregister_method("my_gradient"),
        lambda: unregister_model("mine"),
        lambda: data.unregister_data_source("plain"),
    )
    for block, remove in zip(blocks, removed, strict=True):
        exec(block, names)
        request.addfinalizer(remove)
    assert (tmp_path / "runs" / "plain" / "manifest.json").is_file()
