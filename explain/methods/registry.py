"""The registry of explanation methods. A method is added by one entry in `cam_entries`,
`attention_entries` or `attribution_entries`, or from outside by `register_method`.

The dashboard's controls, the command line, the contract tests and the table in the documentation read these
entries.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from explain.methods.attention_entries import ATTENTION_METHODS
from explain.methods.attribution_entries import ATTRIBUTION_METHODS
from explain.methods.cam_entries import CAM_METHODS
from explain.methods.spec import Method, Parameter
from explain.network.stages import STAGES
from models.errors import UserError
from models.layers.access import Access, reaches
from models.program import program

METHODS: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Add an entry. Raises UserError where the name is taken."""
    if method.name in METHODS:
        remedy = f"unregister_method('{method.name}') first, or " if METHODS[method.name].from_outside else ""
        raise UserError(f"Method '{method.name}' cannot be registered twice: {remedy}choose another name.")
    METHODS[method.name] = method
    return method


def register_method(
    name: str,
    function: Callable[..., Any],
    title: str = "",
    *,
    parameters: Sequence[Parameter] = (),
    class_specific: bool = True,
    passes: float = 3,
    **entry: Any,
) -> Method:
    """Add a method of your own: for `vitrine.explain`, for runs, and for dashboards that open afterwards.

    `function(model, x, target)` gets the network in eval mode, normalized images (N, C, H, W) and the class
    of each image (N,), and returns finite maps (N, h, w) of any resolution; larger is more evidence. Modes,
    gradients and hooks of the network are restored after each call.

    `name`: letters, digits and _. `title`: default: the name. `parameters`: further keyword arguments of the
    function. `class_specific`: False where all classes have the same map. `passes`: about how many forward
    passes one image costs; the dashboard computes expensive methods on request. `entry`: further fields of
    `Method`: `summary`, `citation`, `cost`, `signed`. Raises UserError for a name that is taken or not valid.

        >>> import vitrine
        >>> vitrine.register_method("my_map", lambda model, x, target: x.mean(1), title="My map").title
        'My map'
        >>> vitrine.unregister_method("my_map")
    """
    if not name.isidentifier() or not name.isascii() or not callable(function):
        raise UserError(f"Method '{name}': give a name of letters, digits and _, and a function.")
    fields: dict[str, Any] = {"summary": "", "citation": "", "cost": "1 call of its function"} | entry
    fields |= {"needs": "network", "layered": False, "coarse": False, "differences": False}
    fields |= {"parameters": tuple(parameters), "class_specific": class_specific}
    method = register(Method(name, title or name, function, passes=lambda *_: passes, **fields))
    _ = method.code  # a callable object may change when it is called
    return method


def unregister_method(name: str) -> None:
    """Remove a method that `register_method` added. Raises UserError for every other name."""
    if not get(name).from_outside:
        raise UserError(f"Method '{name}' is built in: only registered methods can be removed.")
    del METHODS[name]


def get(name: str) -> Method:
    """Raises UserError for an unknown name, with the nearest ones."""
    if name not in METHODS:
        raise UserError(f"No method '{name}': {_near(name, METHODS)}'{program()} methods' lists all.")
    return METHODS[name]


def method_in_runs(name: str, access: Access = "modules") -> Method:
    """A method that runs over many images take, of a network that allows so much. Raises UserError for
    others."""
    names = methods_in_runs(access)
    if name not in METHODS:
        raise UserError(f"No method '{name}': {_near(name, names)}A run takes {', '.join(names)}.")
    if name not in names:
        if not reaches(access, "layers"):
            raise UserError(
                f"{METHODS[name].title} needs more of the network than its {access}: a run takes "
                f"{', '.join(names)}."
            )
        raise UserError(
            f"{METHODS[name].title} runs the network many times for one image: a run takes "
            f"{', '.join(names)}; for single images use 'explain', or Inspect."
        )
    return METHODS[name]


def methods_in_runs(access: Access = "modules") -> list[str]:
    """Those of few passes. Where no layer can be reached there are none, and those of many passes are
    taken."""
    if reaches(access, "layers"):
        return [m.name for m in METHODS.values() if m.in_runs and reaches(access, m.access)]
    return methods_for(access)


def defaults(access: str, layer: str | None = None) -> tuple[list[str], str | None]:
    """The methods and the layer where no method is named: LayerCAM over the stages of the network, the only
    maps of few passes that say more than their controls on several networks (docs/trust_results.md)."""
    without_layers = {"gradients": ["input_x_gradient"], "scores": ["occlusion"]}
    if access in without_layers:
        return without_layers[access], layer
    return ["layer_cam"], layer or STAGES


def methods_for(access: str) -> list[str]:
    """Those that a network which allows so much can be explained with."""
    return [m.name for m in METHODS.values() if reaches(access, m.access)]


def _near(name: str, names: Iterable[str]) -> str:
    """'did you mean ...? ' with the nearest of the methods' names and titles, or ''."""
    import difflib

    known = {_plain(text): choice for choice in names for text in (METHODS[choice].title, choice)}
    near = [_plain(name)] if _plain(name) in known else difflib.get_close_matches(_plain(name), known, 3)
    choices = list(dict.fromkeys(known[text] for text in near))
    return f"did you mean {' or '.join(choices)}? " if choices else ""


def _plain(text: str) -> str:
    """Without case, spaces and signs: Grad-CAM++ is gradcampp."""
    return "".join(c for c in text.lower().replace("+", "p").replace("×", "x") if c.isalnum())


for method in (*CAM_METHODS, *ATTENTION_METHODS, *ATTRIBUTION_METHODS):
    register(method)
