"""The entry of an explanation method. The dashboard's controls, the command line, the contract test and the
documentation's table read it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from models.errors import UserError
from models.layers.access import Access

if TYPE_CHECKING:
    from torch import Tensor

Value = int | float | str | bool


@dataclass(frozen=True)
class Parameter:
    """A number between `low` and `high`, a yes or no, or one of `choices`, by the type of `default`."""

    name: str
    default: Value
    help: str
    low: float = 0
    high: float = 1
    choices: tuple[str, ...] = ()

    def read(self, given: Any) -> Value:
        """A value that was typed or chosen, checked. Raises UserError with what is allowed."""
        if isinstance(self.default, bool):
            text = str(given).lower()
            if text not in ("true", "false", "yes", "no", "1", "0"):
                raise UserError(f"{self.name} is '{given}': it is yes or no.")
            return text in ("true", "yes", "1")
        if self.choices:
            if given not in self.choices:
                raise UserError(f"{self.name} is '{given}': choose from {', '.join(self.choices)}.")
            return str(given)
        whole = isinstance(self.default, int)
        try:
            value = float(given)
        except (TypeError, ValueError):
            value = float("nan")
        if not self.low <= value <= self.high or (whole and value != int(value)):
            raise UserError(
                f"{self.name} is '{given}': it is {'a whole' if whole else 'a'} number from {self.low:g} "
                f"to {self.high:g}."
            )
        return int(value) if whole else value


@dataclass(frozen=True)
class Method:
    """`function` is the name of a function of this package, as in 'cam.grad_cam', so that the registry can be
    read without torch. It is called with (activation, gradient, **parameters) where it `needs` a captured
    pass, with (inputs, **parameters) where it runs the network itself ('network') or reads its attention in a
    few passes ('attention'), and gives raw maps (N, h, w). A function from outside (`register_method`) stands
    here itself.

    `layered`: it needs a target layer. `coarse`: its maps have the resolution of the layer or of
    the patches; otherwise the input's. `signed`: negative values are evidence against the class.
    `class_specific`: False where the map is the same for every target. `differences`: it also explains by how
    much one class exceeds another. `complete`: a map sums to y(x) - y(x0), x0 being the baseline that its
    parameter `base` names. `access`: how much of the network it must reach. `passes(channels, positions,
    parameters)`: about how many forward passes of the whole network one image costs.
    """

    name: str
    title: str
    function: "str | Callable[..., Any]"
    summary: str
    citation: str
    needs: Literal["pass", "network", "attention"] = "pass"
    parameters: tuple[Parameter, ...] = ()
    layered: bool = True
    coarse: bool = True
    signed: bool = True
    class_specific: bool = True
    differences: bool = True
    complete: bool = False
    cost: str = "1 forward, 1 backward from the output to the layer"
    access: Access = "layers"
    passes: Callable[[int, int, dict[str, Any]], float] = lambda channels, positions, given: 1.2

    @property
    def from_outside(self) -> bool:
        """Whether `register_method` made it."""
        return not isinstance(self.function, str)

    @cached_property
    def code(self) -> str:
        """A hash of what a function from outside does (`own_code`), as it was registered: what was measured
        of other code under the same name is not of this method. '' of built-in methods."""
        if isinstance(self.function, str):
            return ""
        from explain.methods.own_code import code_of

        return code_of(self.function)

    @property
    def in_runs(self) -> bool:
        """Whether runs over many images take it: few passes suffice, or it comes from outside."""
        return self.needs in ("pass", "attention") or self.from_outside

    @property
    def compute(self) -> "Callable[..., Tensor]":
        if not isinstance(self.function, str):
            from explain.methods.registered import checked

            return partial(checked, self.title, self.function)
        module, name = self.function.split(".")
        function: Callable[..., Tensor] = getattr(import_module(f"explain.methods.{module}"), name)
        return function

    def settings(self, given: dict[str, Any] | None = None) -> dict[str, Any]:
        """Every parameter with its given value, or its default. Raises UserError for unknown names and wrong
        values."""
        known = {p.name: p for p in self.parameters}
        for name in given or {}:
            if name not in known:
                raise UserError(
                    f"{self.title} has no parameter '{name}': it has {', '.join(known) or 'none'}."
                )
        return {name: p.read((given or {}).get(name, p.default)) for name, p in known.items()}


def described(m: Method) -> str:
    """One method in a few lines for a terminal."""
    lines = [f"{m.name:22} {m.title}: {m.summary}", f"{'':22} {m.cost}"]
    return "\n".join(
        [
            *lines,
            *(
                f"{'':24}{p.name}={p.default}  {p.help}{f' ({allowed(p)})' if allowed(p) else ''}"
                for p in m.parameters
            ),
        ]
    )


def allowed(p: Parameter) -> str:
    """The values that a parameter accepts, as text."""
    if p.choices or isinstance(p.default, bool):
        return ", ".join(p.choices)
    return f"{p.low:g} to {p.high:g}"


def table(methods: Iterable[Method]) -> str:
    """The table of docs/methods.md; the formula is the first paragraph of the function's docstring."""
    rows = [
        "| name | method | what it shows | map | class | parameters | needs | cost | source |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for m in methods:
        function = m.function if not isinstance(m.function, str) else m.compute
        formula = " ".join((function.__doc__ or "").split("\n\n")[0].split()).replace("|", "\\|")
        parameters = ", ".join(f"`{p.name}` {p.default}" for p in m.parameters)
        of_class = "yes" if m.class_specific else "no"
        rows.append(
            f"| `{m.name}` | {m.title} | {m.summary} | {formula} | {of_class} | {parameters} | {m.access} | "
            f"{m.cost} | {m.citation} |"
        )
    return "\n".join(rows)
