"""Every metric of gaze against a plain implementation that follows its reference line by line, and against
answers known by hand."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from explain.gaze.metrics import EPS, METRICS, VARIANTS, Map, Truth, problem, roc_area, scores
from models.errors import UserError
from models.gaze.density import center_gaussian, density, distribution, sigma_in_pixels

SIZE = (24, 32)


def truth(seed: int = 0, n: int = 40, others: int = 300) -> Truth:
    rng = np.random.default_rng(seed)
    rows, cols = (
        np.clip(rng.normal(10, 3, n), 0, 23).astype(int),
        np.clip(rng.normal(20, 4, n), 0, 31).astype(int),
    )
    rows[1], cols[1] = rows[0], cols[0]  # two people looked at one pixel
    elsewhere = np.stack([rng.integers(0, 24, others), rng.integers(0, 32, others)], 1)
    borders = np.arange(0, others, 15)
    return Truth(rows, cols, density(rows, cols, SIZE, 2.0), elsewhere, borders, center_gaussian(SIZE))


def saliency(seed: int = 1, steps: int = 0) -> np.ndarray:
    """A map, with `steps` of many equal values."""
    values = (
        np.random.default_rng(seed).random(SIZE)
        + 0.8 * density(np.array([11]), np.array([18]), SIZE, 4.0) / 0.01
    )
    return np.floor(values * steps) / steps if steps else values


def trapezoid(x: list[float], y: list[float]) -> float:
    return sum((x[i + 1] - x[i]) * (y[i + 1] + y[i]) / 2 for i in range(len(x) - 1))


def judd(s: np.ndarray, t: Truth, rng: np.random.Generator) -> float:
    """AUC_Judd.m."""
    fixated = np.zeros(SIZE, bool)
    fixated[t.rows, t.cols] = True
    s = s.astype(np.float64) + rng.random(SIZE) / 1e7
    s = (s - s.min()) / (s.max() - s.min())
    at, pixels, n = sorted(s[fixated], reverse=True), s.size, int(fixated.sum())
    tp, fp = [0.0], [0.0]
    for i, threshold in enumerate(at, 1):
        above = int((s >= threshold).sum())
        tp.append(i / n)
        fp.append((above - i) / (pixels - n))
    return trapezoid([*fp, 1.0], [*tp, 1.0])


def stepped(positives: np.ndarray, negatives: np.ndarray) -> float:
    """The ROC curve of AUC_Borji.m and AUC_shuffled.m, for one split of the scaled map."""
    top = max(positives.max(), negatives.max())
    thresholds = [k * 0.1 for k in range(int(np.floor(top / 0.1 + 1e-9)) + 1)][::-1]
    tp = [0.0, *(float((positives >= t).mean()) for t in thresholds), 1.0]
    fp = [0.0, *(float((negatives >= t).mean()) for t in thresholds), 1.0]
    return trapezoid(fp, tp)


def scaled(s: np.ndarray) -> np.ndarray:
    return (s - s.min()) / (s.max() - s.min())


def fixated_once(t: Truth) -> list[tuple[int, int]]:
    return sorted(set(zip(t.rows.tolist(), t.cols.tolist(), strict=True)))


def plain(name: str, variant: str, s: np.ndarray, t: Truth) -> float:
    """As the definitions say, in loops; draws as the seed gives them."""
    once, rng = fixated_once(t), np.random.default_rng(0)
    points = once if variant == "mit" else list(zip(t.rows.tolist(), t.cols.tolist(), strict=True))
    at = np.array([s[p] for p in points])
    if name == "auc":
        return judd(s, t, rng) if variant == "mit" else pairs(at, s.ravel())
    if name == "auc_borji":
        drawn = rng.integers(s.size, size=(100, len(points)))
        if variant == "mit":
            z = scaled(s)
            return float(np.mean([stepped(np.array([z[p] for p in points]), z.ravel()[d]) for d in drawn]))
        return float(np.mean([pairs(at, s.ravel()[d]) for d in drawn]))
    if name == "nss":
        return float((at.mean() - s.mean()) / s.std(ddof=1 if variant == "mit" else 0))
    if name == "cc":
        return float(stats.pearsonr(s.ravel(), t.people.ravel()).statistic)
    if name == "sim":
        p, q = (scaled(s), scaled(t.people)) if variant == "mit" else (s, t.people)
        return sum(min(a, b) for a, b in zip((p / p.sum()).ravel(), (q / q.sum()).ravel(), strict=True))
    if name == "kl":
        p, q = s / s.sum(), t.people.astype(np.float64)
        return sum(b * math.log(EPS + b / (a + EPS)) for a, b in zip(p.ravel(), q.ravel(), strict=True))
    if name == "ig":
        assert t.prior is not None
        p, b = (scaled(s), scaled(t.prior)) if variant == "mit" else (s, t.prior)
        p, b = p / p.sum(), b / b.sum()
        return float(np.mean([math.log2(EPS + p[x]) - math.log2(EPS + b[x]) for x in points]))
    assert name == "sauc"
    assert t.others is not None
    return pairs(at, np.array([s[r, c] for r, c in t.others]))


def pairs(positive: np.ndarray, negative: np.ndarray) -> float:
    numbers = negative.tolist()  # Python's own are compared faster than NumPy's
    return float(np.mean([(p > n) + 0.5 * (p == n) for p in positive.tolist() for n in numbers]))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("steps", [0, 4])
@pytest.mark.parametrize("name", [n for n in METRICS if n != "sauc"])
def test_as_its_definition_in_loops(name: str, steps: int, variant: str) -> None:
    s, t = saliency(steps=steps), truth()
    assert scores(s, t, variant)[name] == pytest.approx(plain(name, variant, s, t), abs=2e-5)


def test_shuffled_against_all_fixations_of_other_images() -> None:
    s, t = saliency(steps=5), truth()
    assert scores(s, t)["sauc"] == pytest.approx(plain("sauc", "tuebingen", s, t), abs=1e-6)


@pytest.mark.slow
def test_shuffled_as_mit_draws_from_ten_images() -> None:
    """Against the mean over many draws in a plain loop, each of ten images."""
    s, t = saliency(), truth()
    assert t.others is not None
    z, rng, found = scaled(s), np.random.default_rng(5), []
    positives = np.array([z[p] for p in fixated_once(t)])
    ours = np.mean(
        [METRICS["sauc"].compute(Map(s, SIZE), t, "mit", np.random.default_rng(k)) for k in range(20)]
    )
    groups = [t.others[k : k + 15] for k in range(0, len(t.others), 15)]
    for _ in range(600):
        chosen = rng.permutation(len(groups))[:10]
        pixels = list({(int(r), int(c)) for k in chosen for r, c in groups[k]})
        order = rng.permutation(len(pixels))[: len(positives)]
        found.append(stepped(positives, np.array([z[pixels[i]] for i in order])))
    assert ours == pytest.approx(np.mean(found), abs=4 * np.std(found) / np.sqrt(600) + 0.004)


def test_roc_area_is_scikit_learns() -> None:
    rng = np.random.default_rng(2)
    positive, negative = rng.integers(0, 9, 50) / 9, rng.integers(0, 8, 700) / 9
    expected = roc_auc_score([1] * 50 + [0] * 700, np.r_[positive, negative])
    assert roc_area(positive, np.sort(negative)) == pytest.approx(expected, abs=1e-12)


def test_known_answers() -> None:
    """A map that is high at the fixations alone; its own density; the prior itself; a map upside down."""
    t = truth()
    exact = np.zeros(SIZE)
    exact[t.rows, t.cols] = 1
    best = scores(exact, t, "mit")
    assert best["auc"] == pytest.approx(1, abs=1e-6)
    n = len(fixated_once(t))
    assert scores(exact, t)["auc"] == pytest.approx(
        1 - n / (2 * exact.size)
    )  # its own pixels are among the negatives, and tie
    own = scores(t.people, t)
    assert (own["cc"], own["sim"]) == (pytest.approx(1), pytest.approx(1))
    assert own["kl"] == pytest.approx(0, abs=1e-6)
    assert t.prior is not None
    assert scores(t.prior, t)["ig"] == pytest.approx(0, abs=1e-9)
    s = saliency()
    upright, turned = scores(s, t), scores(2 - s, t)
    for name in ("auc", "sauc"):
        assert upright[name] + turned[name] == pytest.approx(1)
    assert upright["nss"] == pytest.approx(-turned["nss"], abs=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_ranks_alone_count_for_auc(variant: str) -> None:
    s, t = saliency(), truth()
    assert scores(np.exp(3 * s), t, variant)["auc"] == pytest.approx(scores(s, t, variant)["auc"], abs=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_has_no_score_is_nan_with_a_reason(variant: str) -> None:
    t, empty = truth(), Truth(np.zeros(0, int), np.zeros(0, int), np.zeros(SIZE, np.float32))
    for values, about, why in (
        (np.full(SIZE, 0.3), t, "same everywhere"),
        (np.where(saliency() > 1, np.nan, 1.0), t, "not finite"),
        (saliency(), empty, "nobody looked"),
    ):
        assert why in problem(values, about)
        assert all(np.isnan(v) for v in scores(values, about, variant).values())


def test_a_density_alone_has_the_scores_of_densities() -> None:
    t = truth()
    drawn = Truth(np.zeros(0, int), np.zeros(0, int), t.people)
    found, whole = scores(saliency(), drawn), scores(saliency(), t)
    assert {name for name, value in found.items() if np.isnan(value)} == {
        m.name for m in METRICS.values() if m.points
    }
    assert found["cc"] == whole["cc"]


@pytest.mark.parametrize("name", ["sim", "kl", "ig"])
def test_a_map_below_zero_is_raised(name: str) -> None:
    """As `convert_saliency_map_to_density` of pysaliency does: until its least is zero."""
    s, t = saliency() - 0.7, truth()
    assert scores(s, t)[name] == pytest.approx(plain(name, "tuebingen", s - s.min(), t), abs=2e-5)
    assert scores(-saliency(), t)[name] == pytest.approx(
        plain(name, "tuebingen", saliency().max() - saliency(), t), abs=2e-5
    )


def test_small_maps_are_enlarged() -> None:
    t, small = truth(), saliency()[::4, ::4]
    whole = Map(small, SIZE).values
    assert whole.shape == SIZE
    assert scores(small, t) == scores(whole, t)


def test_draws_are_those_of_the_seed() -> None:
    s, t = saliency(), truth()
    assert scores(s, t, "mit", seed=3) == scores(s, t, "mit", seed=3)
    assert scores(s, t, "mit", seed=3)["auc_borji"] != scores(s, t, "mit", seed=4)["auc_borji"]


def test_unknown_variants_are_refused() -> None:
    with pytest.raises(UserError, match="tuebingen, mit"):
        scores(saliency(), truth(), "oxford")


@pytest.mark.parametrize("n", [5, 60])  # few, and more than the picture has rows
def test_density_is_scipys_gaussian(n: int) -> None:
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 24, n), rng.integers(0, 32, n)
    counts = np.zeros(SIZE)
    np.add.at(counts, (rows, cols), 1)
    expected = gaussian_filter(counts, 2.5, mode="constant", truncate=12)
    assert density(rows, cols, SIZE, 2.5) == pytest.approx(expected / expected.sum(), abs=1e-7)


def test_densities_of_nothing_and_of_negatives() -> None:
    none = np.zeros(0, int)
    assert not density(none, none, SIZE, 2.0).any()
    assert distribution(np.array([[-1.0, 1.0], [3.0, 0.0]])).tolist() == [[0, 0.25], [0.75, 0]]


def test_center_gaussian() -> None:
    found = center_gaussian((40, 80))
    y, x = np.mgrid[0:40, 0:80]
    assert found.sum() == pytest.approx(1, abs=1e-5)
    expected = np.exp(-((y - 19.5) ** 2) / 200 - (x - 39.5) ** 2 / 800)
    assert found / found.max() == pytest.approx(expected / expected.max(), abs=1e-6)


def test_the_blur_in_pixels_or_degrees() -> None:
    assert sigma_in_pixels(None, None, None) == 24
    assert sigma_in_pixels(None, 1.0, 35.0) == 35
    for wrong in ((None, 1.0, None), (24.0, 1.0, 35.0), (0.0, None, None)):
        with pytest.raises(UserError):
            sigma_in_pixels(*wrong)
