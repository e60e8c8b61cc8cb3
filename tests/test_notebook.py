"""The notebook of the documentation: it runs from top to bottom, and gives what it was saved with.

After a change of the notebook or of the interface, `python tests/test_notebook.py` saves its outputs anew.
"""

import os
import re
import tempfile
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "vitrine.ipynb"
LARGEST = 200_000  # bytes of the notebook with its pictures


def executed(folder: Path) -> "nbformat.NotebookNode":
    """The notebook after a run in `folder`. Raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of its execution
        if cell.cell_type == "code":
            cell.outputs = [without_addresses(out) for out in cell.outputs if lasts(out)]
    return notebook


def lasts(output: "nbformat.NotebookNode") -> bool:
    """Whether an output is worth saving: no progress bar, and no page that ends with the kernel."""
    return output.get("name") != "stderr" and "<iframe" not in output.get("data", {}).get("text/html", "")


def without_addresses(output: "nbformat.NotebookNode") -> "nbformat.NotebookNode":
    """Without the plain text of what has HTML: it holds addresses of objects."""
    if "text/html" in output.get("data", {}):
        output.data.pop("text/plain", None)
    return output


def texts(cell: "nbformat.NotebookNode") -> list[str]:
    """What a cell prints or gives, as text; pictures leave their captions."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        text = data.get("text/html", data.get("text/plain", output.get("text", "")))
        found.append(re.sub(r"data:[^\"]*", "", text))
    return found


@pytest.mark.slow
def test_the_notebook_gives_what_it_was_saved_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells with the tag `tested` give the same, all others something where they gave something."""
    from tests.forked import Forked

    monkeypatch.setattr("jupyter_client.launcher.Popen", Forked)
    saved, now = nbformat.read(NOTEBOOK, as_version=4), executed(tmp_path)
    tested = 0
    for before, after in zip(saved.cells, now.cells, strict=True):
        assert bool(before.get("outputs")) == bool(after.get("outputs")), before.source
        if "tested" in before.metadata.get("tags", []):
            assert texts(before) == texts(after), before.source
            tested += 1
    assert tested >= 6


def test_the_saved_outputs_are_small_and_name_no_machine() -> None:
    text = NOTEBOOK.read_text()
    assert len(text) <= LARGEST
    assert not re.search(r"/(home|tmp|root|Users|work)/", re.sub(r"data:image[^\"]*", "", text))
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not [out for cell in cells for out in cell.get("outputs", []) if out.output_type == "error"]
    assert sum(bool(cell.get("outputs")) for cell in cells) >= 10


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(executed(Path(folder)), NOTEBOOK)
