"""What the outputs of a network are: logits, or probabilities, of 1 or in percent. It is found out, unless a
person says it (`--outputs`)."""

from typing import TYPE_CHECKING

from models.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

KINDS = ("logits", "probabilities", "percent")
WHOLE = {"probabilities": 1.0, "percent": 100.0}
"""What the outputs of one image sum to."""
TINY = 1e-12
NEAR = 1e-3
"""By how much of the whole their sum may differ from it."""


def require_known(kind: str) -> None:
    """Raises UserError for a text that is neither empty nor one of `KINDS`."""
    if kind and kind not in KINDS:
        raise UserError(f"No kind of outputs '{kind[:40]}': choose from {', '.join(KINDS)}.")


def kind_of(scores: "Tensor") -> str:
    """What outputs (N, K) of several classes are: a distribution in every row, or logits."""
    return next((kind for kind in WHOLE if are_distributions(scores, kind)), "logits")


def are_distributions(scores: "Tensor", kind: str) -> bool:
    """Whether all outputs (N, K) are positive or 0, and those of each image sum to the whole."""
    whole, total = WHOLE[kind], scores.sum(1)
    return scores.shape[1] > 1 and bool((scores >= 0).all() and ((total - whole).abs() <= NEAR * whole).all())


def require_distributions(scores: "Tensor", kind: str) -> None:
    """Raises UserError where a person says that outputs (N, K) are probabilities, and they cannot be."""
    if kind not in WHOLE or are_distributions(scores, kind):
        return
    lowest, total = float(scores.min()), scores.sum(1)
    seen = f"sum to {float(total[(total - WHOLE[kind]).abs().argmax()]):.4g}, not to {WHOLE[kind]:g}"
    if not lowest >= 0:  # NaN, too
        seen = f"hold {lowest:.4g}"
    raise _contradiction(kind, f"a test image {seen}", kind_of(scores))


def require_within(outputs: "Tensor", kind: str) -> None:
    """Raises UserError where a person says that single outputs (N,) are probabilities, and they cannot be."""
    lowest, highest = float(outputs.min()), float(outputs.max())
    if kind in WHOLE and not 0 <= lowest <= highest <= WHOLE[kind] * (1 + 1e-6):
        seen = f"test images lie between {lowest:.4g} and {highest:.4g}, not between 0 and {WHOLE[kind]:g}"
        raise _contradiction(kind, seen, "logits")


def _contradiction(kind: str, seen: str, instead: str) -> UserError:
    return UserError(
        f"The outputs are said to be {kind}, but those of {seen}: leave --outputs (outputs=) out, or give "
        f"{instead}."
    )


def fractions(scores: "Tensor", kind: str) -> "Tensor":
    """Probabilities as fractions of 1, in float32 at least."""
    scores = in_float32(scores)
    return scores if WHOLE[kind] == 1 else scores / WHOLE[kind]


def in_float32(scores: "Tensor") -> "Tensor":
    """Outputs of 16 bits in float32: in float16 `TINY` is 0, and 1 - 1e-7 is 1, whose logit is infinite."""
    return scores if scores.element_size() >= 4 else scores.float()


def to_record(told: str, found: str) -> str:
    """The kind that a run has to name so that it is read in the same way again: what was `told` where it is
    not `found`, and percent, which earlier versions did not find; otherwise empty text."""
    return told if told and told != found else "percent" if found == "percent" else ""


def recorded(model: "nn.Module") -> str:
    """`to_record` of the network's outputs, as `models.outputs` reads them."""
    return str(getattr(model, "outputs_read_as", ""))
