"""The figures of maps from Python and from the command line."""

from pathlib import Path

import pytest

import vitrine
from explain.quality.kept import Badge
from models.errors import UserError
from tests.command import launch
from tests.test_map_badge import PHOTO
from tests.test_python import TRANSFORM, network


def test_vitrine_explain_holds_the_figures() -> None:
    net = vitrine.wrap(network(), ["blue", "green", "red"], TRANSFORM)
    found = vitrine.explain(net, PHOTO, ["grad_cam", "layer_cam"], check=True)
    assert [*found.badges] == [*found.checks] == ["grad_cam", "layer_cam"]
    assert all(isinstance(badge, Badge) and badge.kept for badge in found.badges.values())
    assert vitrine.explain(net, PHOTO).checks == {}


def words_of(folder: Path, methods: str) -> list[object]:
    """The command `explain` for a network of one's own."""
    PHOTO.save(folder / "photo.png")
    code = "import torch\nfrom tests.conftest import TinyNet\ndef build():\n    torch.manual_seed(0)\n"
    (folder / "net.py").write_text(code + "    return TinyNet()\n")
    words = ["explain", folder / "photo.png", "--model", f"{folder / 'net.py'}:build", "--methods", methods]
    words += ["--input-size", "32", "--resize", "squash", "--mean", "0", "--std", "1"]
    return [*words, "--out", folder / "maps"]


def test_the_command_prints_the_figures(tmp_path: Path) -> None:
    words = words_of(tmp_path, "grad_cam")
    plain = launch(*words)
    assert "top 10" in plain
    assert "insertion" not in plain
    text = " ".join(launch(*words, "--check").split())
    assert "a random network's map" in text
    assert "on this image: insertion − deletion is " in text
    assert text.count("python launch.py trust RUN") == 1


def test_what_cannot_be_measured_leaves_the_maps_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*given: object) -> None:
        raise UserError("Memory does not suffice.")

    monkeypatch.setattr("explain.quality.badge.baseline", refused)
    text = launch(*words_of(tmp_path, "grad_cam,layer_cam"))
    assert text.count("not measured: Memory does not suffice.") == 2
    assert (tmp_path / "maps" / "photo.layer_cam.npy").is_file()
