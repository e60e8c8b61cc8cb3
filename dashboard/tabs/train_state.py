"""What the Train tab shows: kept in the page's state, changed by one action at a time."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from models.training.trained import Trained

TICK = "tick:"


@dataclass(frozen=True)
class TrainView:
    """`chosen`: the training whose curves are shown; `ticked`: those that are compared, in the order of their
    ticks; `drawn`: what the charts on the page were drawn from."""

    chosen: str | None = None
    ticked: tuple[str, ...] = ()
    drawn: str = ""

    def apply(self, action: str, value: str) -> "TrainView":
        """The view after a click. What does not fit leaves it as it is."""
        if action == "show":
            return replace(self, chosen=None if self.chosen == value else value)
        if not action.startswith(TICK):
            return self
        name = action.removeprefix(TICK)
        others = tuple(n for n in self.ticked if n != name)
        return replace(self, ticked=(*others, name) if value == "true" else others)

    def among(self, names: Collection[str]) -> "TrainView":
        """Without ticks of trainings that are gone."""
        return replace(self, ticked=tuple(name for name in self.ticked if name in names))

    def stamp(self, chosen: Trained | None) -> str:
        """What the charts and the comparison are drawn from; they are drawn anew where it differs."""
        epochs, measured = (len(chosen.curves), chosen.measured) if chosen else (0, {})
        return f"{self.chosen} {epochs} {measured.get('accuracy', measured.get('mAP'))} {self.ticked}"
