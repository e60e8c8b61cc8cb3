"""What is being looked at: the picture of a subject, and the network's look at it."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from PIL import Image

from dashboard.examples import open_example
from explain.analysis.ranking import overview
from models.errors import UserError

if TYPE_CHECKING:
    from dashboard.session.context import Context
    from explain.methods.live import ImageSession

Subject = dict[str, Any]
"""What is looked at: {"row": n} of the run, {"upload": key of `ctx.photos`}, or {"example": name}."""
KEPT = 8  # looks, each with its maps and some passes


def first_row(ctx: "Context") -> int | None:
    """What is there before anything is clicked: the worst class's most confident error."""
    rows = [int(r) for sample in overview(ctx.run, each=1) for r in (*sample.wrong, *sample.right)]
    return rows[0] if rows else None


def picture(ctx: "Context", subject: Subject) -> Image.Image:
    """The subject's picture. Raises UserError where it cannot be had."""
    if "upload" in subject:
        return ctx.photos.open(subject["upload"])
    if "example" in subject:
        return open_example(subject["example"])
    original = ctx.original(int(subject["row"]))
    if original is None:
        if not ctx.run.may_read_data and ctx.access.computes:
            raise UserError(
                f"This run was not made here: its pictures in '{ctx.run.manifest.data_root}' are read "
                "after serve --allow-data."
            )
        where = f"at '{ctx.run.manifest.data_root}'" if ctx.access.computes else "here"
        raise UserError(
            f"The image is not {where} any more: the run's own maps are shown, live maps need the image."
        )
    return original


def called(ctx: "Context", subject: Subject) -> str:
    """A name for the picture that says nothing of the server."""
    return (
        str(ctx.run.table.at[int(subject["row"]), "id"])
        if "row" in subject
        else str(subject.get("example", "photo")).replace(" ", "_") + ".jpg"
    )


class ImageSessions:
    """The last few looks, by subject; they are used by the thread that holds the network."""

    def __init__(self, ctx: "Context"):
        self._ctx, self._kept = ctx, OrderedDict[str, "ImageSession"]()

    def at(self, subject: Subject) -> "ImageSession":
        """The network's look at the subject; call it while holding `ctx.classifier()`. Raises UserError as
        `picture` does."""
        from explain.methods.live import open_session

        key = _key(subject)
        found = self._kept.pop(key, None)
        if found is None:
            with self._ctx.classifier() as classifier:
                found = open_session(classifier, picture(self._ctx, subject))
        self._kept[key] = found  # the last one now
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    def forget(self, subject: Subject) -> None:
        self._kept.pop(_key(subject), None)


def _key(subject: Subject) -> str:
    return repr(sorted(subject.items()))
