"""The pages of the documentation: every link leads somewhere, every page is listed once, lines are of normal
width, and the commands of the tutorial work as they are written."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
KINDS = ["Tutorial", "How-to", "Reference", "Results"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    missing = [x for x in links if not x.startswith("http") and not (page.parent / x).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_lines_are_of_normal_width(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S).splitlines()
    long = [x for x in prose if len(x) > 110 and not x.lstrip().startswith(("|", "python launch.py"))]
    assert not [x for x in long if "](" not in x or len(re.sub(r"\]\([^)]*\)", "]", x)) > 110]


def test_every_page_is_listed_once_under_one_kind() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    assert re.findall(r"^## (.+)$", index, re.M) == KINDS
    listed = re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", index, re.M)
    pages = [p.name for p in (ROOT / "docs").glob("*.md") if p.name != "index.md"]
    assert sorted(listed) == sorted([*pages, "vitrine.ipynb"])


@pytest.mark.slow
def test_the_tutorial_works_as_it_is_written(tmp_path: Path) -> None:
    """Its script and its commands in their order, in an empty folder; only `serve`, which does not end, is
    left out."""
    text = (ROOT / "docs" / "tutorial.md").read_text().replace("\\\n", " ")
    (script,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (tmp_path / "make_photos.py").write_text(script)
    commands = [shlex.split(x) for x in re.findall(r"^    python (.+)$", text, re.M)]
    assert len(commands) >= 8
    printed = []
    for name, *options in commands:
        if options[0] == "serve":
            continue
        path = ROOT / name if name == "launch.py" else tmp_path / name
        done = subprocess.run(
            [sys.executable, str(path), *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (options, done.stderr)
        printed.append(done.stdout)
    assert "worst      fear" in printed[1]
    assert "fear is blurred" in printed[1]
    assert (tmp_path / "maps" / "00.occlusion.npy").is_file()
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "fear.zip").is_file()
