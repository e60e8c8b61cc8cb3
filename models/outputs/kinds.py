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
NEAR, NEAR_SAID, NEAR_EARLIER = 5e-3, 2e-2, 1e-3
"""By how much of the whole their sum may differ from it, as numbers that are rounded: where it is found out,
where a person said the kind, and where earlier versions found it out."""


def require_known(kind: str) -> None:
    """Raises UserError for a text that is neither empty nor one of `KINDS`."""
    if kind and kind not in KINDS:
        raise UserError(f"No kind of outputs '{kind[:40]}': choose from {', '.join(KINDS)}.")


def kind_of(scores: "Tensor") -> str:
    """What outputs (N, K) of several classes are: a distribution in every row, or logits."""
    return next((kind for kind in WHOLE if are_distributions(scores, kind)), "logits")


def are_distributions(scores: "Tensor", kind: str, near: float = NEAR) -> bool:
    """Whether all outputs (N, K) are positive or 0, and those of each image sum to the whole."""
    whole, total = WHOLE[kind], scores.sum(1)
    return scores.shape[1] > 1 and bool((scores >= 0).all() and ((total - whole).abs() <= near * whole).all())


def have_one_sum(scores: "Tensor") -> bool:
    """Whether outputs (N, K) of different images are positive or 0 and have about the same sum: it changes
    far less than they do."""
    total = scores.sum(1)
    changes, of_sum = (scores.amax(0) - scores.amin(0)).sum(), total.max() - total.min()
    return bool(
        (scores >= 0).all() and changes > 0 and of_sum <= 0.1 * changes and of_sum <= NEAR_SAID * total.max()
    )


def require_distributions(scores: "Tensor", kind: str) -> None:
    """Raises UserError where a person says that outputs (N, K) are probabilities, and they cannot be."""
    if kind not in WHOLE or are_distributions(scores, kind, NEAR_SAID):
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


def require_fractions(outputs: "Tensor", kind: str) -> None:
    """Raises UserError where a person says that the outputs (N, K) of K labels are probabilities, each of its
    own, and they cannot be; and where they are said to be percent and none is above 1."""
    require_within(outputs, kind)
    if WHOLE[kind] > 1 >= float(outputs.max()):
        raise _contradiction(kind, "test images lie between 0 and 1", "probabilities")


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


def found_newly(scores: "Tensor", kind: str) -> bool:
    """Whether outputs (N, K) are of this kind, and earlier versions found that they are logits."""
    return kind in WHOLE and not are_distributions(scores, kind, NEAR_EARLIER)


def to_record(told: str, found: str) -> str:
    """The kind that a run has to name so that it is read in the same way again: what was `told` where it is
    not `found`, and percent, which earlier versions did not find; otherwise empty text."""
    return told if told and told != found else "percent" if found == "percent" else ""


def recorded(model: "nn.Module") -> str:
    """`to_record` of the network's outputs, as `models.outputs.scores` reads them."""
    return str(getattr(model, "outputs_read_as", ""))
