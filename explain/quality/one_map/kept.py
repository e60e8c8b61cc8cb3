"""How much of the score is kept by the part of the image that a map points to: what was measured, as figures
and in words. Needs no torch."""

from dataclasses import dataclass

from explain.formatting import percent
from explain.quality.flags import NO_ORDER, Flag

TOP = 0.1
"""The fraction of the cells that stays."""
NOISES = 3
"""Controls of smooth noise, whose mean is given: a single one may hit by chance."""
LEAST = 0.01
"""The smallest probability of the whole image of which fractions are given."""


@dataclass(frozen=True)
class Quantity:
    """What a map explains, as it is measured: the probability of `target`; with a `contrast_class`, whose
    difference of logits has no probability, p(target) / (p(target) + p(contrast_class)), which is the sigmoid
    of that difference where the classes exclude each other. `numbers`: an output that is a number, or the
    difference of two."""

    target: str
    contrast_class: str = ""
    numbers: bool = False

    @property
    def name(self) -> str:
        if self.numbers:
            return f"{self.target} minus {self.contrast_class}" if self.contrast_class else self.target
        against = f" against {self.contrast_class}" if self.contrast_class else ""
        return f"the probability of {self.target}{against}"

    @property
    def short(self) -> str:
        """Without the class where there is one alone, which the heading of the maps has."""
        return self.name if self.numbers or self.contrast_class else "the probability"

    def value(self, score: float) -> str:
        """'61 %' of a probability, '0.412' of a number; a dash for NaN."""
        if score != score:
            return "–"
        if self.numbers:
            return f"{score:.4g}".replace("-", "−")
        if 0 < score < 1e-4:
            return "under 0.01\u00a0%"
        return f"{100 * score:{'.0f' if score >= 0.0995 else '.2g'}}\u00a0%"


@dataclass(frozen=True)
class Kept:
    """Scores of an image of which only the cells with the 10 % largest values of a map stay, and the rest is
    blurred: of the map (`own`), of the spot in the `center`, of smooth `noise` (mean of 3). `whole`: of the
    image itself; `blurred`: of the image that is blurred everywhere."""

    quantity: Quantity
    whole: float
    own: float
    center: float
    noise: float
    blurred: float

    @property
    def fraction(self) -> float:
        """Of the whole image's score, by the map; NaN of numbers, whose zero is no absence of evidence, and
        where the whole image has no score."""
        return self._fraction(self.own)

    @property
    def center_fraction(self) -> float:
        return self._fraction(self.center)

    @property
    def noise_fraction(self) -> float:
        return self._fraction(self.noise)

    def _fraction(self, score: float) -> float:
        return score / self.whole if self.whole > 0 and not self.quantity.numbers else float("nan")

    def _beaten_by(self, own: str, center: str, noise: str) -> str:
        """Which controls keep more than the map, in words; '' where none does. Given are the scores as they
        are printed: what is printed alike is alike."""
        scores = ("the center", self.center, center), ("noise", self.noise, noise)
        more = [name for name, score, text in scores if score > self.own and text != own]
        return ": less than both" if len(more) == 2 else f": less than {more[0]}" if more else ""

    @property
    def text(self) -> str:
        """One line; scores instead of fractions of numbers, and of probabilities that are small, or larger
        without the rest of the image."""
        fractions = (self.fraction, self.center_fraction, self.noise_fraction)
        if self.whole >= LEAST and max(fractions) <= 2:
            own, center, noise = map(percent, fractions)
            return (
                f"top {percent(TOP)} of the map keep {own} of {self.quantity.short} (center {center}, "
                f"noise {noise}){self._beaten_by(own, center, noise)}"
            )
        own, whole, center, noise = map(self.quantity.value, (self.own, self.whole, self.center, self.noise))
        return (
            f"top tenth of the map alone: {self.quantity.short} is {own} (whole image {whole}, center "
            f"{center}, noise {noise}){self._beaten_by(own, center, noise)}"
        )

    @property
    def details(self) -> str:
        """How it is measured, with all scores."""
        own, whole, center, noise, blurred = map(
            self.quantity.value, (self.own, self.whole, self.center, self.noise, self.blurred)
        )
        return (
            f"Only the cells with the {percent(TOP)} largest values of the map stay, the rest of the image "
            f"is blurred: {self.quantity.name}, as the network gives it, is then {own}; of the whole image "
            f"{whole}; with a spot in the center instead of the map {center}; with smooth noise {noise} "
            f"(mean of {NOISES}); blurred everywhere {blurred}."
        )


@dataclass(frozen=True)
class Badge:
    """What is said beside a map. `kept`: None where it is not measured, as of maps without an order of their
    positions."""

    flags: tuple[Flag, ...]
    kept: Kept | None = None

    @property
    def ordered(self) -> bool:
        """Whether the map prefers some part of the image, so that it can be checked."""
        return not any(flag.name in NO_ORDER for flag in self.flags)

    @property
    def lines(self) -> list[str]:
        """As plain text."""
        said = [self.kept.text] if self.kept else []
        return said + [f"{flag.name}: {flag.reason}" for flag in self.flags]
