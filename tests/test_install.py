"""Installed as a package: the wheel holds all that it needs, and `vitrine` works from another folder."""

import os
import re
import signal
import site
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port

ROOT = Path(__file__).parent.parent


def test_the_package_and_the_list_of_make_run_ask_for_the_same() -> None:
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = whole["project"]
    assert whole["build-system"]["build-backend"] == "hatchling.build"  # with which `installed` is built
    asked = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    listed = [x for x in (ROOT / "requirements.txt").read_text().splitlines() if x and not x.startswith("#")]
    assert sorted(asked) == sorted(listed)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in an environment of its own, which sees the packages of this one; the path of `vitrine`."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("vitrine_xai-*.whl")
    venv.create(folder / "env", system_site_packages=True, symlinks=True)
    python = folder / "env" / "bin" / "python"
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    (packages / "outer.pth").write_text("\n".join(site.getsitepackages()))
    install = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-compile"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    names = zipfile.ZipFile(wheel).namelist()
    assert not [
        n
        for n in names
        if n.split("/")[0] not in ("dashboard", "explain", "models", "vitrine", "launch.py")
        and "dist-info" not in n
    ]
    return folder / "env" / "bin" / "vitrine"


def clean() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "GRADIO_TEMP_DIR")}


@pytest.mark.slow
def test_vitrine_opens_the_demo_from_another_folder(installed: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [installed, "serve", "--no-browser", "--port", str(free_port())],
        cwd=tmp_path,
        env=clean() | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = re.search(r"http://\S+", process.stdout.readline())
        assert address is not None
        assert "Vitrine" in httpx.get(address[0]).text
        style = httpx.get(f"{address[0]}theme.css")
        assert style.status_code == 200
        config = httpx.get(f"{address[0]}config").json()
        assert [c for c in config["components"] if c["props"].get("elem_id") == "vt-gallery"]
        assert list(tmp_path.glob("vitrine-*"))
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert not list(tmp_path.glob("vitrine-*"))


@pytest.mark.slow
def test_messages_name_the_command_as_it_was_started(installed: Path, tmp_path: Path) -> None:
    words = [installed, "report", str(tmp_path)]
    done = subprocess.run(words, cwd=tmp_path, env=clean(), capture_output=True, text=True)
    assert done.returncode == 2
    assert "make one with vitrine run" in done.stderr
    where = "import launch; print(launch.__file__)"
    python = installed.with_name("python")
    found = subprocess.run([python, "-c", where], cwd=tmp_path, env=clean(), capture_output=True, text=True)
    assert str(installed.parents[1]) in found.stdout


@pytest.mark.slow
def test_a_package_that_is_missing_is_one_line(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['lightning'] = None")
    words = [installed, "train", "--model", "fer_vgg", "--data", "toon_faces", "--out", "x.safetensors"]
    done = subprocess.run(
        words, cwd=tmp_path, env=clean() | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.strip().endswith("pip install lightning (the extra 'train' of vitrine-xai)")
    assert "Traceback" not in done.stderr
