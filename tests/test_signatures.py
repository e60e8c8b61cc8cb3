"""Signatures of components are those that `inspect` reads, each read once."""

import gc
import inspect
import weakref

import gradio as gr
import pytest
from gradio import blocks, component_meta

from dashboard import page

COMPONENTS = [gr.HTML, gr.Image, gr.Dropdown, gr.Slider, gr.Plot, gr.State, gr.Row, gr.Tab, gr.Blocks]


def test_every_constructor_has_its_own_signature() -> None:
    assert isinstance(blocks.inspect, page.signatures.Remembering)
    assert blocks.inspect is component_meta.inspect
    read = {kind: blocks.inspect.signature(kind.__init__) for kind in COMPONENTS}
    for kind, signature in read.items():
        assert signature == inspect.signature(kind.__init__)
        assert blocks.inspect.signature(kind.__init__) is signature
        assert component_meta.inspect.getfullargspec(kind.__init__) == inspect.getfullargspec(kind.__init__)
    assert len({str(signature) for signature in read.values()}) == len(COMPONENTS)


@pytest.mark.slow
def test_methods_are_not_kept_and_the_rest_is_the_module() -> None:
    class Component:
        def update(self, value: int = 3) -> None: ...

    one = Component()
    gone = weakref.ref(one)
    assert str(blocks.inspect.signature(one.update)) == "(value: int = 3) -> None"
    assert blocks.inspect.getfullargspec(one.update).args == ["self", "value"]
    del one
    gc.collect()
    assert gone() is None
    assert blocks.inspect.isgeneratorfunction is inspect.isgeneratorfunction
    assert blocks.inspect.Parameter is inspect.Parameter
