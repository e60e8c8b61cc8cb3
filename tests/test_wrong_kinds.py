"""What is taken for another kind of thing: one line says what is accepted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import vitrine
from models.errors import UserError
from models.preprocessing import Preprocessing
from models.registry import load

FED = Preprocessing((8, 8), None, (0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize("image", [np.zeros((8, 8, 3), np.uint8), torch.zeros(3, 8, 8), None, [1]])
def test_an_image_is_a_path_or_a_picture(image: object) -> None:
    net = vitrine.wrap(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), ["a", "b"], FED)
    with pytest.raises(UserError, match=f"image is a {type(image).__name__}.*PIL.Image.fromarray") as caught:
        vitrine.explain(net, image, ["occlusion"])  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_data_is_no_list(tmp_path: Path) -> None:
    net = vitrine.wrap(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), ["a", "b"], FED)
    with pytest.raises(UserError, match="data is a list: pass a folder with one subfolder per class"):
        vitrine.run(net, ["a.png", "b.png"], tmp_path / "run")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_a_folder_of_transformers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hf_vit").mkdir()
    (tmp_path / "hf_vit" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"No model 'hf_vit': .*give hf:hf_vit"):
        load("hf_vit")
