"""How to make the same maps again: as a command line, and as Python."""

from collections.abc import Sequence

from explain.methods.request import Classes, MapRequest, Smoothing
from models.faces.crop import OFF, FaceRequest
from models.faces.detectors import DEFAULT
from models.inputs.channels import channels_of, has_alpha
from models.program import typed


def command_line(
    picture: str,
    model: str,
    weights: str,
    classes: Sequence[str],
    requests: Sequence[MapRequest],
    options: Sequence[str] = (),
    which: str = "",
    outputs: str = "",
    task: str = "",
    faces: FaceRequest | None = None,
) -> str:
    """One call of `explain` for requests that differ in method and parameters alone. `classes`: the names
    that the command knows, none where it has others; `options`: those of the preprocessing; `which`: the set
    of parameters that was read, of a file with several; `outputs`: of what kind they are, where that was
    said; `task`: where it is not one class per image; `faces`: which face is used, where that is asked."""
    first = requests[0]
    words = [
        "explain",
        picture,
        "--model",
        model,
        *(["--weights", weights] if weights else []),
        *(["--which", which] if which else []),
        *(["--outputs", outputs] if outputs else []),
        *(["--task", task] if task else []),
        *options,
        *_face_words(faces),
    ]
    words += ["--methods", ",".join(q.method for q in requests)]
    words += ["--layer", first.layer] if first.layer else []
    words += ["--fuse", first.fuse] if "," in first.layer and first.fuse != "mean" else []
    for option, index in (("--target", first.target), ("--contrast-class", first.contrast_class)):
        words += [option, _name(index, classes)] if index is not None else []
    for q in requests:
        for name, value in q.parameters:
            words += ["--set", f"{q.method}.{name}={value}"]
    words += ["--flip"] if first.smoothing.flip else []
    words += ["--noise", str(first.smoothing.samples)] if first.smoothing.samples else []
    return typed([*words, "--out", "maps"])


def in_memory_lines(
    picture: str, requests: Sequence[MapRequest], classes: Sequence[str], faces: FaceRequest | None = None
) -> str:
    """Python lines for a network that is a module of the program that opened the page."""
    first = requests[0]
    words = [f"net, {picture!r}", f"methods={[q.method for q in requests]!r}"]
    words += [f"target={_name(first.target, classes)!r}"] if first.target is not None else []
    words += [f"layer={first.layer!r}"] if first.layer else []
    words += [] if faces is None else [f"faces={faces.which!r}"]
    words += [] if faces is None or faces.detector == DEFAULT else [f"face_detector={faces.detector!r}"]
    given = dict(pair for q in requests for pair in q.parameters)
    words += [f"{name}={value!r}" for name, value in given.items()]
    return f"import vitrine\n\nvitrine.explain({', '.join(words)})\n"


def python_lines(
    picture: str,
    model: str,
    weights: str,
    requests: Sequence[MapRequest],
    options: Sequence[str] = (),
    which: str = "",
    outputs: str = "",
    task: str = "",
    faces: FaceRequest | None = None,
) -> str:
    """A Python program, to be run in the folder of launch.py."""
    text = ", ".join(f"{name}={value!r}" for name, value in _fields(options).items())
    cropped = faces is not None and faces.which != OFF
    loaded = _loading(model, weights, text, which, outputs, task)
    smooth = any(q.smoothing != Smoothing() for q in requests)
    listed = ",\n    ".join(f"MapRequest({q.method!r}{''.join(_words(q))})" for q in requests)
    return "\n".join(
        [
            "from pathlib import Path",
            "",
            "from explain.methods.live import open_session",
            f"from explain.methods.request import MapRequest{', Smoothing' if smooth else ''}",
            "from models.data.images import open_image",
            *(["from models.faces.crop import FaceRequest"] if cropped else []),
            *(["from models.inputs.options import PreprocessingOptions"] if text else []),
            "from models.registry import load",
            *(["from models.outputs.task import with_task"] if task else []),
            "",
            f"classifier = {loaded}",
            f"session = open_session(classifier, open_image(Path({picture!r}){_how_read(options)})"
            + (f", {_face_request(faces)})" if cropped and faces else ")"),
            f"for request in (\n    {listed},\n):",
            "    result = session.map(request)  # result.raw: float32 (h, w), as the method gives it",
            "    print(request.method, result.raw.shape, result.raw.min(), result.raw.max())",
            "",
        ]
    )


def _face_words(faces: FaceRequest | None) -> list[str]:
    """The options of a request for a face."""
    if faces is None:
        return []
    words = ["--faces", faces.which]
    if faces.which == OFF:
        return words
    words += [] if faces.detector == DEFAULT else ["--face-detector", faces.detector]
    return words + ([] if faces.margin is None else ["--face-margin", f"{faces.margin:g}"])


def _face_request(faces: FaceRequest) -> str:
    """The request as Python, without what is the default."""
    words = [repr(faces.which)]
    words += [] if faces.detector == DEFAULT else [f"detector={faces.detector!r}"]
    words += [] if faces.margin is None else [f"margin={faces.margin:g}"]
    return f"FaceRequest({', '.join(words)})"


def _loading(model: str, weights: str, options: str, which: str, outputs: str, task: str) -> str:
    """The expression that opens the network."""
    given = [
        repr(model),
        *([repr(weights)] if weights else []),
        *([f"options=PreprocessingOptions({options})"] if options else []),
        *([f"which={which!r}"] if which else []),
        *([f"outputs={outputs!r}"] if outputs else []),
        *([f"task={task!r}"] if task else []),
    ]
    loaded = f"load({', '.join(given)})"
    return f"with_task({loaded}, {task!r})" if task else loaded


def _how_read(options: Sequence[str]) -> str:
    """The arguments of `open_image`, behind the path, for images that are read in another way than usual."""
    read = _fields(options)
    white = 1.0 if read.get("scale", "255") in ("255", "255.0") else 255.0
    values = {"exif": read.get("exif"), "bits": int(read.get("bits", 0)), "white": white if white != 1 else 0}
    values["alpha"] = has_alpha(channels_of(str(read.get("channels", "rgb"))))
    return "".join(f", {k}={v!r}" for k, v in values.items() if v)


def _name(target: Classes, classes: Sequence[str]) -> str:
    """A class by its name, or by its number where there are no names."""
    return classes[target] if classes and isinstance(target, int) else str(target)


def _fields(options: Sequence[str]) -> dict[str, str | bool]:
    """['--mean', '0.5', '--no-transform-input'] as arguments of `PreprocessingOptions`."""
    arguments: dict[str, str | bool] = {}
    for k, word in enumerate(options):
        if word.endswith("transform-input"):
            arguments["transform_input"] = not word.startswith("--no-")
        elif word.startswith("--"):
            arguments[word[2:].replace("-", "_")] = options[k + 1]
    return arguments


def _words(q: MapRequest) -> list[str]:
    """The fields that differ from the defaults, as arguments."""
    several = "," in q.layer and q.fuse != "mean"
    values = [
        ("layer", q.layer or None),
        ("target", q.target),
        ("contrast_class", q.contrast_class),
        ("parameters", q.parameters or None),
        ("fuse", q.fuse if several else None),
    ]
    words = [f", {name}={value!r}" for name, value in values if value is not None]
    return words + (
        [f", smoothing=Smoothing({q.smoothing.flip}, {q.smoothing.samples})"]
        if q.smoothing != Smoothing()
        else []
    )
