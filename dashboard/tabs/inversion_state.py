"""What the Inversion tab shows: kept in the page's state, changed by one action at a time, put into links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dashboard.links import TAB, image_of
from dashboard.session.subjects import of_link
from dashboard.session.types import Subject
from dashboard.tabs.query import query_string
from explain.run.reader import RunData

ID = "inversion"


@dataclass(frozen=True)
class InversionView:
    """`subject` None: nothing yet; `layer`: the one whose output is edited."""

    subject: Subject | None = None
    layer: str = ""

    def apply(self, action: str, value: str, layers: Sequence[str]) -> "InversionView":
        """The view after a click. What does not fit leaves it as it is. `layers`: those with a decoder."""
        return replace(self, layer=value) if action == "layer" and value in layers else self

    def of(self, subject: Subject, layers: Sequence[str]) -> "InversionView":
        """Another image; the deepest layer where none was chosen."""
        return InversionView(subject, self.layer or (layers[-1] if layers else ""))

    def query(self, run: RunData) -> str:
        return query_string(tab=ID, image=image_of(run, self.subject))


def from_query(parameters: Mapping[str, str], run: RunData, first: InversionView) -> InversionView:
    """The view that a link asks for; `first` where it asks for none of this tab."""
    subject = of_link(run, parameters) if parameters.get(TAB) == ID else None
    return replace(first, subject=subject) if subject else first
