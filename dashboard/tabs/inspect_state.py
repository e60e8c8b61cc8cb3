"""What the Inspect tab shows: the image, and the maps that its form asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from dashboard.links import TAB, image_of, number
from dashboard.session.subjects import of_link
from dashboard.session.types import Subject
from dashboard.tabs.query import query_string
from explain.methods.registry import METHODS
from explain.run.reader import RunData
from models.faces.crop import is_choice

if TYPE_CHECKING:
    from explain.methods.live import MapRequest

ID = "inspect"
NO_CLASS = -1  # the contrast class that is none


@dataclass(frozen=True)
class InspectView:
    """`target` None: the predicted class; `layers`: several are fused as `fuse` says; `flip`, `noise`:
    smoothing (`explain.methods.compute.Smoothing`); `shared`: one scale for all maps; `threshold`: of the
    box, as a fraction of the maximum; `parameters`: by method, those that differ from the defaults."""

    subject: Subject | None = None
    target: int | None = None
    contrast_class: int | None = None
    layers: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    fuse: str = "mean"
    flip: bool = False
    noise: int = 0
    shared: bool = False
    threshold: float = 0.0
    parameters: Mapping[str, tuple[tuple[str, Any], ...]] = field(default_factory=dict)

    @classmethod
    def of_form(
        cls,
        subject: Subject | None,
        values: Sequence[Any],
        parameters: Mapping[str, tuple[tuple[str, Any], ...]] | None = None,
    ) -> "InspectView":
        """`values`: of the controls, in the order of `FORM`."""
        form = dict(zip(FORM, values, strict=False))
        contrast, methods = form["contrast_class"], form["methods"] or []
        return cls(
            subject,
            form["target"],
            None if contrast in (NO_CLASS, None, form["target"]) else contrast,
            tuple(form["layers"] or ()),
            tuple(name for name in METHODS if name in methods),
            form["fuse"],
            bool(form["flip"]),
            int(form["noise"] or 0),
            bool(form["shared"]),
            form["threshold"],
            parameters or {},
        )

    def apply(self, action: str, value: str, classes: Sequence[str]) -> "InspectView":
        """The view after a click on a class, or on a face of a photo; as it is after what does not fit."""
        if action == "faces":
            return self._with_face(value)
        index = number(value)
        fits = action == "target" and index is not None and index < len(classes)
        return replace(self, target=index) if fits else self

    def _with_face(self, value: str) -> "InspectView":
        """Of the predicted class: another part of the photo is another input."""
        if not self.subject or "row" in self.subject or not is_choice(value):
            return self
        return replace(self, subject={**self.subject, "faces": value}, target=None, contrast_class=None)

    def requests(self) -> "list[MapRequest]":
        """One for each method, in the order of the registry."""
        from explain.methods.live import MapRequest
        from explain.methods.request import Smoothing

        smoothing, layers = Smoothing(self.flip, self.noise), ",".join(self.layers)
        return [
            MapRequest(
                method,
                layers,
                self.target,
                self.contrast_class,
                self.parameters.get(method, ()),
                self.fuse,
                smoothing,
            )
            for method in self.methods
        ]

    def query(self, run: RunData) -> str:
        return query_string(image=image_of(run, self.subject))


FORM = tuple(f.name for f in fields(InspectView) if f.name not in ("subject", "parameters"))
"""The controls, in the order in which handlers get their values."""


def from_query(parameters: Mapping[str, str], run: RunData, first: InspectView) -> InspectView:
    """The view that a link asks for; `first` where it names no image, or another tab."""
    subject = of_link(run, parameters) if parameters.get(TAB, ID) == ID else None
    return replace(first, subject=subject) if subject else first
