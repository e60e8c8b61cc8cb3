"""Which layer is advised for the next run, from figures of several layers."""

import numpy as np
import pandas as pd
import pytest

from explain.analysis.chance import AT_CHANCE
from explain.quality.over_depth.depth import Depth, advice
from explain.quality.verdict import Trust, recommendation


def test_of_a_network_at_chance_no_layer_is_advised(center: np.ndarray) -> None:
    layers = [measured("a", shifted(center, 0.1), center), measured("b", shifted(center, -0.05), center)]
    depth = Depth.of(layers, "b", at_chance=AT_CHANCE)
    assert (depth.best, depth.advised) == (None, None)
    assert advice(depth) == (
        "No layer is recommended: the network is at chance, and its maps have nothing to explain."
    )


def test_without_the_figure_that_decides_no_layer_is_advised(center: np.ndarray) -> None:
    as_road = {"insertion": "least_relevant_first", "deletion": "most_relevant_first"}
    layers = [measured("a", shifted(center, 0.1), center), measured("b", shifted(center, -0.05), center)]
    depth = Depth.of([Trust(t.layer, t.rows.rename(columns=as_road)) for t in layers], "b")
    assert (depth.best, depth.advised) == (None, None)
    assert advice(depth) == (
        "No layer is recommended: insertion − deletion, which decides, was not measured, but ROAD alone."
    )
    [road] = depth.layers[0].verdicts
    assert (road.decisive.outcome, road.passes) == ("better", False)


def measured(layer: str, own: np.ndarray, center: np.ndarray) -> Trust:
    """One method, and the center as its control, on images of equal names."""
    ids = [f"{k}.png" for k in range(len(own))]
    rows = [
        {"id": ids, "method": "layer_cam", "variant": "", "insertion": own, "deletion": 0.0, "seconds": 0.01},
        {"id": ids, "method": "", "variant": "center", "insertion": center, "deletion": 0.0},
    ]
    frame = pd.concat([pd.DataFrame(row) for row in rows], ignore_index=True)
    return Trust(layer, frame.assign(**{"like.center": 0.1, "agreement": np.nan}))


@pytest.fixture
def center() -> np.ndarray:
    return np.random.default_rng(0).normal(0.3, 0.05, 40)


def shifted(center: np.ndarray, by: float, seed: int = 1) -> np.ndarray:
    return np.asarray(center + by + np.random.default_rng(seed).normal(0, 0.02, len(center)))


def test_another_layer_is_advised_where_the_own_has_no_method_that_passes(center: np.ndarray) -> None:
    layers = [measured("a", shifted(center, 0.1), center), measured("b", shifted(center, -0.05), center)]
    depth = Depth.of(layers, "b")
    assert depth.advised is not None
    assert depth.advised.layer == "a"
    assert advice(depth).startswith(
        "Use --layer a for the next run: LayerCAM there beats its best control on "
    )
    assert "at b, LayerCAM: worse than the center" in advice(depth)


def test_another_layer_is_advised_where_the_own_is_significantly_worse(center: np.ndarray) -> None:
    layers = [measured("a", shifted(center, 0.2), center), measured("b", shifted(center, 0.1), center)]
    assert advice(Depth.of(layers, "b")).startswith("Use --layer a ")
    assert advice(Depth.of(layers, "a")) == "No layer is better than the run's own, a."


def test_no_other_layer_is_advised_by_chance(center: np.ndarray) -> None:
    own = shifted(center, 0.1)
    layers = [
        measured("a", own + np.array([0.012, *np.resize([-0.01, 0.01], 39)]), center),
        measured("b", own, center),
    ]
    depth = Depth.of(layers, "b")
    assert depth.best is not None
    assert depth.advised is None
    assert advice(depth).startswith("The run's own layer, b, may be as good as a (")
    means = [float(trust.verdicts[0].decisive.mean) for trust in layers]
    assert f"{means[1]:.3f} against {means[0]:.3f}, p = " in advice(depth), (
        "the figures in the order of the names"
    )
    step = np.arange(40) * 1e-5
    close = center + np.where(step < 33e-5, 0.01 + step, -0.012 - step)
    unsure = [measured("a", close, center), measured("b", center - 0.1, center)]
    assert 0.025 < unsure[0].verdicts[0].decisive.p < 0.05
    assert "below 0.05 / 2" in advice(Depth.of(unsure, "b"))
    none = [measured("a", shifted(center, -0.1), center), measured("b", shifted(center, -0.2), center)]
    assert advice(Depth.of(none, "b")) == "No method beats its controls at any of these layers."


def test_layers_are_compared_on_the_images_of_both(center: np.ndarray) -> None:
    more = measured("a", shifted(center, 0.1), center)
    depth = Depth.of([more, measured("b", shifted(center, 0.1)[:15], center[:15])], "b")
    assert [trust.images for trust in depth.layers] == [15, 15]


def few_much_better(own: np.ndarray) -> np.ndarray:
    """Worse in seven of eight images, with a larger mean."""
    step = np.arange(len(own)) * 1e-4
    return own + np.where(np.arange(len(own)) % 8 == 0, 0.5 + step, -0.01 - step)


def test_where_mean_and_ranks_differ_no_layer_is_preferred(center: np.ndarray) -> None:
    own = center + 0.2
    layers = [measured("a", few_much_better(own), center), measured("b", own, center)]
    depth = Depth.of(layers, "b")
    assert depth.p_of_own["a"] < 0.05
    assert (depth.best is not None and depth.best.layer, depth.advised) == ("a", None)
    assert advice(depth).endswith(", most images the other way).")


def two_methods(first: np.ndarray, second: np.ndarray, center: np.ndarray, seconds: float = 0.001) -> Trust:
    """LayerCAM and Grad-CAM (of the same passes) or Score-CAM (of others)."""
    rows = measured("a", first, center).rows
    other = measured("a", second, center).rows.query("variant == ''")
    return Trust("a", pd.concat([rows, other.assign(method="grad_cam", seconds=seconds)], ignore_index=True))


def test_where_mean_and_ranks_differ_the_other_method_is_named(center: np.ndarray) -> None:
    text = recommendation(two_methods(few_much_better(center + 0.2), center + 0.2, center))
    assert text.startswith("Read LayerCAM at a: ")
    assert text.endswith(" Grad-CAM may be as good."), "the same passes take the same time"
    better = two_methods(shifted(center, 0.3), shifted(center, 0.1), center)
    assert "as good" not in recommendation(better)


def test_a_faster_method_is_one_of_other_passes(center: np.ndarray) -> None:
    trust = two_methods(few_much_better(center + 0.2), center + 0.2, center)
    other = Trust("a", trust.rows.replace({"method": {"grad_cam": "eigen_cam"}}))
    assert recommendation(other).endswith(" Eigen-CAM may be as good; Eigen-CAM is faster.")


def test_rounding_is_no_difference(center: np.ndarray) -> None:
    """The map of the control itself, computed another way."""
    near = center * (1 + 1e-8)
    [verdict] = measured("a", near, center).verdicts
    assert (verdict.decisive.wins, verdict.decisive.p, verdict.passes) == (0.0, 1.0, False)


def test_a_method_is_a_control_by_most_of_its_maps(center: np.ndarray) -> None:
    """Flat maps are like nothing: one map that is not flat does not make the method a control."""
    trust = measured("a", shifted(center, 0.1), center)
    trust.rows.loc[trust.rows["variant"] == "", "like.center"] = [0.99, *[np.nan] * 39]
    assert trust.verdicts[0].text == "flat: no place is stronger than another"
    half = measured("a", shifted(center, 0.1), center)
    half.rows.loc[half.rows["variant"] == "", "like.center"] = [*[0.99] * 20, *[np.nan] * 20]
    assert half.verdicts[0].text == "its maps are the center"
