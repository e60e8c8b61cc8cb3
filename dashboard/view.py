"""What the Errors tab shows, as a few keys: kept in the page's state, changed by one action at a time, put into links."""

from dataclasses import asdict, dataclass, replace
from urllib.parse import urlencode

from explain.errors import SORTS
from explain.run_data import RunData

TARGETS = {"pred": "predicted", "label": "true", "both": "both"}


@dataclass(frozen=True)
class View:
    """`label` None: the overview of all classes; `pred` given: the images of `label` that were called `pred`."""

    label: int | None = None
    pred: int | None = None
    method: str = ""
    target: str = "both"
    sort: str = "most confident"
    shared: bool = False
    page: int = 0

    def apply(self, action: str, value: str, run: RunData) -> "View":
        """The view after a click. What does not fit the run leaves the view as it is."""
        known = set(run.present)
        number = int(value) if value.lstrip("-").isdigit() else -1
        if action == "overview":
            return replace(self, label=None, pred=None, page=0)
        if action == "class" and number in known:
            return replace(self, label=number, pred=None, page=0)
        if action == "cell":
            row, _, column = value.partition(",")
            if row.isdigit() and column.isdigit() and int(row) in known and int(column) < len(run.classes):
                pred = None if row == column else int(column)
                return replace(self, label=int(row), pred=pred, page=0)
        if action == "page" and number >= 0:
            return replace(self, page=number)
        if action == "sort" and value in SORTS:
            return replace(self, sort=value, page=0)
        if action == "method" and value in run.manifest.request.methods:
            return replace(self, method=value)
        if action == "target" and value in TARGETS:
            return replace(self, target=value)
        if action == "shared":
            return replace(self, shared=value == "true")
        return self

    def query(self, run: RunData) -> str:
        """The view as query parameters, with names instead of numbers."""
        names = {"class": self.label, "as": self.pred}
        parts = {k: run.classes[v] for k, v in names.items() if v is not None}
        parts |= {k: str(v) for k, v in asdict(self).items() if k in ("method", "target", "sort") and v != asdict(first_view(run))[k]}
        return "?" + urlencode(parts | ({"page": str(self.page + 1)} if self.page else {}))


def first_view(run: RunData) -> View:
    return View(method=run.manifest.request.methods[0])


def from_query(parameters: dict[str, str], run: RunData) -> View:
    """The view that a link asks for."""
    view, index = first_view(run), {name: str(i) for i, name in enumerate(run.classes)}
    label, pred = (index.get(parameters.get(key, ""), "") for key in ("class", "as"))
    view = view.apply("cell", f"{label},{pred}", run) if pred else view.apply("class", label, run)
    for action in ("method", "target", "sort"):
        view = view.apply(action, parameters.get(action, ""), run)
    page = parameters.get("page", "1")
    return view.apply("page", str(int(page) - 1) if page.isdigit() else "0", run)
