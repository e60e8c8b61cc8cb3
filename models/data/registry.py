"""The kinds of data sources: which of them a text after `--data`, or the data root of a run, belongs to.

A further kind is one entry of `models.data.kinds.KINDS`, or comes from outside by `register_data_source`. No
torch.
"""

import re
from collections.abc import Callable

from PIL import Image

from models.data.kind import DataKind, DataRequest, Places, ReopenRequest
from models.data.kinds import KINDS, OF_A_TASK
from models.data.source import ImageSource
from models.errors import UserError

REGISTERED: dict[str, DataKind] = {}
"""Name -> kind that was registered from outside."""


def kinds() -> tuple[DataKind, ...]:
    """In the order in which they are asked whether they recognize a text or a root; the last, a folder,
    recognizes everything."""
    return (*OF_A_TASK, *REGISTERED.values(), *KINDS)


def kind_of(request: DataRequest) -> DataKind:
    """The kind that opens this request."""
    return next(kind for kind in kinds() if kind.recognizes(request))


def kind_of_root(root: str) -> DataKind:
    """The kind that reopens pictures below the data root of a run."""
    return next(kind for kind in kinds() if kind.recognizes_root(root))


def register_data_source(
    name: str,
    open: Callable[[DataRequest], ImageSource],
    recognizes: Callable[[str], bool] | None = None,
    reopen: Callable[[str, str], Image.Image | None] | None = None,
    private: bool = True,
    masks: Callable[[str, str], Places] | None = None,
) -> None:
    """Add a kind of labeled images of your own, for this process: `open_data("NAME:...")`, and so
    `vitrine.run(net, "NAME:...", out)`, opens it.

    `open`: from a request to an `ImageSource` whose `root` begins with `NAME:`. `recognizes`: whether a text
    is of this kind; without it, `NAME` and what begins with `NAME:`; it is asked before the kinds that come
    along. `reopen`: from the root and the id of an item to its picture, RGB, or None where it is gone;
    without it, runs show their thumbnails. `private`: pictures are read from files of this machine, so that a
    run that others made shows them only where its user allows it. `masks`: from the root and the id of an
    item to its regions by name, (height, width) bool each, in which maps should lie. Raises UserError for a
    name that is taken.
    """
    if not re.fullmatch(r"\w[\w-]+", name, re.ASCII):
        raise UserError(
            f"'{name}' is no name for a data source: use letters, digits, '-' and '_', two or more."
        )
    if name in {kind.name for kind in kinds()}:
        raise UserError(f"A data source '{name}' exists: register yours under another name.")
    prefix = f"{name}:"

    def may(r: ReopenRequest) -> bool:
        return r.trusted or not private

    REGISTERED[name] = DataKind(
        name,
        lambda r: recognizes(r.text) if recognizes else r.text == name or r.text.startswith(prefix),
        _checked(name, open),
        lambda root: root.startswith(prefix),
        lambda r: reopen(r.root, r.item_id) if reopen and may(r) else None,
        private,
        lambda r, label: masks(r.root, r.item_id) if masks and may(r) else {},
    )


def unregister_data_source(name: str) -> None:
    """Remove a registered kind. Raises UserError where there is none of this name."""
    if REGISTERED.pop(name, None) is None:
        raise UserError(f"No data source '{name}' is registered: {', '.join(REGISTERED) or 'none is'}.")


def _checked(name: str, open: Callable[[DataRequest], ImageSource]) -> Callable[[DataRequest], ImageSource]:
    """`open`, refused where it returns anything else than an `ImageSource`."""

    def opened(request: DataRequest) -> ImageSource:
        source = open(request)
        if not isinstance(source, ImageSource):
            raise UserError(
                f"The data source '{name}' opens a {type(source).__name__}: return a "
                "models.data.source.ImageSource."
            )
        return source

    return opened
