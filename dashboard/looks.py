"""What is being looked at: the picture of a subject, and the network's look at it."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from PIL import Image

from dashboard.context import Context
from dashboard.examples import open_example
from dashboard.uploads import open_upload
from explain.errors import overview
from models.errors import UserError

if TYPE_CHECKING:
    from explain.live import Look

Subject = dict[str, Any]
"""What is looked at: {"row": n} of the run, {"upload": path}, or {"example": name}."""
KEPT = 6  # looks, each with its maps and some passes


def first_row(ctx: Context) -> int | None:
    """What is there before anything is clicked: the worst class's most confident error."""
    rows = [int(r) for sample in overview(ctx.run, each=1) for r in (*sample.wrong, *sample.right)]
    return rows[0] if rows else None


def picture(ctx: Context, subject: Subject) -> Image.Image:
    """The subject's picture. Raises UserError where it cannot be had."""
    if "upload" in subject:
        return open_upload(subject["upload"])
    if "example" in subject:
        return open_example(subject["example"])
    original = ctx.original(int(subject["row"]))
    if original is None:
        raise UserError(f"The image is not at '{ctx.run.manifest.data_root}' any more: the run's own maps are shown, live maps need the image.")
    return original


def called(ctx: Context, subject: Subject) -> str:
    """A name for the picture that says nothing of the server."""
    return str(ctx.run.table.at[int(subject["row"]), "id"]) if "row" in subject else str(subject.get("example", "photo")).replace(" ", "_") + ".jpg"


class Looks:
    """The last few looks, by subject; they are used by the thread that holds the network."""

    def __init__(self, ctx: Context):
        self._ctx, self._kept = ctx, OrderedDict[str, "Look"]()

    def at(self, subject: Subject) -> "Look":
        """The network's look at the subject; call it while holding `ctx.classifier()`. Raises UserError as `picture` does."""
        from explain.live import look

        key = repr(sorted(subject.items()))
        if key not in self._kept:
            with self._ctx.classifier() as classifier:
                self._kept[key] = look(classifier, picture(self._ctx, subject))
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
