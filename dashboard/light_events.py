"""Values of events that need no thread. Gradio hands every value of an input and of an output to a thread of
its own, one after another, and makes every component anew that an event leaves as it is: on a busy server
each thread waits for the interpreter, and that was up to a third of a click. Texts, numbers and choices are
read here and now; files, pictures and changed components go Gradio's way."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from copy import copy
from typing import Any

import gradio as gr

SIMPLE = (gr.Checkbox, gr.Dropdown, gr.HTML, gr.Markdown, gr.Number, gr.Radio, gr.Slider, gr.Textbox)
"""Components that read and write texts, numbers and choices in microseconds, and no files."""
UNCHANGED = gr.skip()
Rest = Callable[[Any, Any], Awaitable[list[Any]]]
"""Gradio's own way: of an event, and what its inputs sent or its handler answered."""


async def read(block_fn: Any, inputs: Sequence[Any], state: Any, rest: Rest) -> list[Any]:
    """What the handler of the event `block_fn` gets for `inputs`, as the page sent them. `state`: what Gradio
    knows of the page. Where a component refuses a value, all of them are left to `rest`, which says why."""
    blocks = block_fn.inputs
    usual = block_fn.preprocess and not block_fn.batch and not block_fn.component_prop_inputs
    if state is None or not usual or len(inputs) != len(blocks):
        return await rest(block_fn, inputs)
    try:
        made = [_read(block, value, state) for block, value in zip(blocks, inputs, strict=True)]
    except Exception:
        return await rest(block_fn, inputs)
    return await _completed(made, "inputs", block_fn, inputs, rest)


async def written(block_fn: Any, answer: Any, state: Any, rest: Rest) -> list[Any]:
    """What the page gets for the handler's `answer`: one value, or one for each of several outputs."""
    blocks = block_fn.outputs
    usual = block_fn.postprocess and not block_fn.batch and not block_fn.is_validator_function
    values = [answer] if len(blocks) == 1 else answer
    if state is None or not usual or not isinstance(values, list | tuple) or len(values) != len(blocks):
        return await rest(block_fn, answer)

    async def alone(part: Any, left: list[Any]) -> list[Any]:
        return await rest(part, left[0] if len(left) == 1 else left)

    made = [_written(block, value) for block, value in zip(blocks, values, strict=True)]
    return await _completed(made, "outputs", block_fn, values, alone)


async def _completed(
    made: list[tuple[Any] | None], side: str, block_fn: Any, values: Sequence[Any], rest: Rest
) -> list[Any]:
    """`made`, each in a tuple; where that is None, what `rest` makes of the value."""
    left = [k for k, one in enumerate(made) if one is None]
    others: Iterator[Any] = iter(())
    if left:
        part, blocks = copy(block_fn), getattr(block_fn, side)
        setattr(part, side, [blocks[k] for k in left])
        others = iter(await rest(part, [values[k] for k in left]))
    return [next(others) if one is None else one[0] for one in made]


def _read(block: Any, value: Any, state: Any) -> tuple[Any] | None:
    if block.stateful:
        return (state[block._id],)
    if not isinstance(block, SIMPLE) or not _is_simple(value):
        return None
    return (state.get(block._id, block).preprocess(value),)


def _written(block: Any, value: Any) -> tuple[Any] | None:
    if isinstance(value, dict) and value == UNCHANGED and not block.stateful:
        return (gr.skip(),)  # one of its own: what is sent may be changed on its way
    if isinstance(block, gr.HTML | gr.Markdown) and isinstance(value, str):
        return (block.postprocess(value),)
    return None


def _is_simple(value: Any) -> bool:
    parts = value if isinstance(value, list) else [value]
    return all(part is None or isinstance(part, str | int | float) for part in parts)
