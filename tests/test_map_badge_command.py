"""The figures of maps from Python and from the command line."""

import re
from html import escape
from pathlib import Path

import pytest
from torch import nn

import vitrine
from explain.quality.one_map.kept import Badge
from explain.quality.one_map.map_check import ONE_IMAGE
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


def test_a_notebook_shows_what_the_command_prints() -> None:
    net = vitrine.wrap(network(), ["blue", "<green>", "red"], TRANSFORM)
    found = vitrine.explain(net, PHOTO, ["grad_cam", "layer_cam"], target=1, check=True)
    plain, *figures = re.findall(r"<figure.*?</figure>", found._repr_html_())
    assert "<small>" not in plain  # the image itself
    for figure, badge in zip(figures, found.badges.values(), strict=True):
        assert badge.lines
        assert re.findall(r"<small>(.*?)</small>", figure) == [escape(line) for line in badge.lines]
    html = found._repr_html_()
    for check in found.checks.values():
        assert escape("\n".join(check.lines)) in html
        assert check.dependence in check.lines
    assert html.count(ONE_IMAGE) == 1
    assert "<green>" not in html
    plain = vitrine.explain(net, PHOTO, ["grad_cam"])._repr_html_()
    assert "top 10" in plain
    assert "<pre" not in plain
    assert ONE_IMAGE not in plain


def test_a_notebook_shows_what_is_wrong_with_a_map() -> None:
    model = network()
    nn.init.zeros_(model[-1].weight)  # no position changes any score
    net = vitrine.wrap(model, ["blue", "green", "red"], TRANSFORM)
    found = vitrine.explain(net, PHOTO, ["grad_cam"], check=True)
    assert "flat: Every position has zero: the map prefers no part of the image." in found._repr_html_()
    assert found.checks == {}  # there is nothing to check


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
    assert text.count("Not compared with another image's map. 'explain' has no run: in Inspect") == 1
    assert "on this image: insertion − deletion is " in text
    assert text.count("python launch.py trust RUN") == 1


def test_what_cannot_be_measured_leaves_the_maps_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*given: object) -> None:
        raise UserError("Memory does not suffice.")

    monkeypatch.setattr("explain.quality.one_map.badge.baseline", refused)
    text = launch(*words_of(tmp_path, "grad_cam,layer_cam"))
    assert text.count("not measured: Memory does not suffice.") == 2
    assert (tmp_path / "maps" / "photo.layer_cam.npy").is_file()
