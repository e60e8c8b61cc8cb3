"""The rules of the house: who may import whom, where hooks live, how big things get, what the README
promises."""

import ast
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ["models", "explain", "dashboard", "vitrine", "launch"]
SOURCES = [ROOT / "launch.py", *(p for name in LAYERS[:4] for p in (ROOT / name).rglob("*.py"))]


ALL = [*SOURCES, *(ROOT / "tests").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]


@cache
def statements_of(path: Path) -> list[ast.AST]:
    """Every statement of a file, which several rules look at: a tenth of its nodes."""
    return list(_statements(ast.parse(path.read_text())))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, part, ()):
            yield inner
            yield from _statements(inner)


@cache
def imported(path: Path) -> set[str]:
    names = {a.name for n in statements_of(path) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module for n in statements_of(path) if isinstance(n, ast.ImportFrom) and n.module}
    return {name.split(".")[0] for name in names}


def _imports_against_the_order(path: Path) -> set[str]:
    """What a file imports of what stands above it."""
    own, names = path.relative_to(ROOT).parts[0].removesuffix(".py"), imported(path)
    wrong = names & set(LAYERS[LAYERS.index(own) + 1 :])
    if own != "dashboard":
        wrong |= names & {"gradio"}
    if own == "models":
        wrong |= names & {"captum", "pytorch_grad_cam"}
    return wrong


@pytest.mark.slow
def test_imports_run_one_way() -> None:
    assert len(SOURCES) > 400
    wrong = {str(path.relative_to(ROOT)): _imports_against_the_order(path) for path in SOURCES}
    assert not {path: names for path, names in wrong.items() if names}


def modules_imported(path: Path, known: Collection[str]) -> set[str]:
    """The project's modules that a file imports anywhere: inside functions and for type checkers, too."""
    nodes = statements_of(path)
    names = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    for n in nodes:
        if isinstance(n, ast.ImportFrom) and n.module:
            names |= {n.module, *(f"{n.module}.{alias.name}" for alias in n.names)}
    return names & set(known)


def test_no_file_imports_itself_through_others() -> None:
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in SOURCES}
    graph = {name: modules_imported(path, modules) - {name} for name, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' → '.join(reversed(error.args[1]))}")


TABS = sorted((ROOT / "dashboard" / "tabs").glob("*.py"))


def test_tabs_write_no_markup() -> None:
    assert len(TABS) > 20
    markup = re.compile(r"</\w+>|<(?:button|div|section|code|small|p)\b")
    assert not {path.stem: found for path in TABS if (found := markup.findall(path.read_text()))}


def test_functions_stay_short() -> None:
    folders = [ROOT / name for name in ("dashboard", "explain", "models", "vitrine")]
    paths = [p for folder in folders for p in folder.rglob("*.py")] + [ROOT / "launch.py"]
    functions = [
        (f"{path.stem}.{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for path in paths
        for node in statements_of(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert not [(name, lines) for name, lines in functions if lines > 40]


def test_rooms_that_look_into_networks_import_each_other_one_way() -> None:
    order = ["network", "methods", "features", "inversion", "gaze"]
    files = [p for room in order for p in (ROOT / "explain" / room).glob("*.py")]
    modules = {f"explain.{p.parent.name}.{p.stem}": p for p in files}
    for name, path in modules.items():
        rooms = {one.split(".")[1] for one in modules_imported(path, modules)}
        assert not rooms & set(order[order.index(name.split(".")[1]) + 1 :]), name


def test_hooks_live_in_one_file() -> None:
    users = [p for p in SOURCES if re.search(r"register_\w*hook", p.read_text())]
    assert users == [ROOT / "explain" / "network" / "hooks.py"]


def test_one_file_knows_ray() -> None:
    users = [p for p in SOURCES if "ray" in imported(p)]
    assert users == [ROOT / "explain" / "run" / "ray_engine.py"]


def test_nothing_from_outside_is_unpickled() -> None:
    for path in SOURCES:
        for line in path.read_text().splitlines():
            assert "pickle" + ".load" not in line
            assert "torch.load(" not in line or "weights_only=True" in line, path


def test_files_stay_small() -> None:
    lengths = {
        p: len(p.read_text().splitlines())
        for p in [*SOURCES, *(ROOT / "tests").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    }
    assert not {p.name: n for p, n in lengths.items() if n > 400}
    assert sorted(lengths[p] for p in SOURCES)[len(SOURCES) // 2] <= 150


def test_every_file_is_formatted_by_one_tool() -> None:
    assert not [
        p.name for p in ALL if re.search(r"# fmt: (skip|off)", p.read_text()) and p.name != "test_house.py"
    ]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", *map(str, ALL)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


STEPS = {
    "help": "import launch, explain.methods.registry",
    "image": "from models.data.open import open_data; open_data(sys.argv[1]).load(0)",
    "charts": """
from models.training.charts import charts
from models.training.trained import find_trained
trained = find_trained(Path(sys.argv[2]))
assert len(trained) == 1 and [charts(one) for one in trained]
""",
    "page": """
from dashboard.app import build
from dashboard.session.context import Context
from explain.run.reader import open_run
build(Context(open_run(Path('dashboard/demo'))))
""",
}
"""Steps of one process, one after the other: each imports what it needs and is not there yet."""


def _modules_after(steps: Collection[str], *given: Path) -> list[set[str]]:
    """All modules that are imported after each step of a fresh interpreter."""
    code = "import sys; from pathlib import Path\n" + "".join(f"{s}\nprint(*sys.modules)\n" for s in steps)
    words = [sys.executable, "-c", code, *map(str, given)]
    out = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return [set(line.split()) for line in out.stdout.splitlines()]


@pytest.fixture(scope="module")
def modules_after(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Step -> all modules that are imported after it."""
    from PIL import Image

    from tests.test_trained import fake

    folder, trained = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("trained")
    (folder / "red").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "red" / "a.png")
    fake(trained / "a.safetensors", 0)
    return dict(zip(STEPS, _modules_after(STEPS.values(), folder, trained), strict=True))


@pytest.mark.slow
def test_help_imports_neither_torch_nor_gradio(modules_after: dict[str, set[str]]) -> None:
    assert not {"torch", "gradio"} & modules_after["help"]


@pytest.mark.slow
def test_a_local_path_imports_no_fsspec(modules_after: dict[str, set[str]]) -> None:
    assert "models.data.folder" in modules_after["image"]
    assert "fsspec" not in modules_after["image"]


@pytest.mark.slow
def test_charts_of_a_training_are_read_without_torch(modules_after: dict[str, set[str]]) -> None:
    assert "torch" not in modules_after["charts"]


@pytest.mark.slow
def test_page_is_built_before_torch_is_imported(modules_after: dict[str, set[str]]) -> None:
    assert "gradio" in modules_after["page"]
    assert "torch" not in modules_after["page"]


@pytest.mark.slow
def test_a_network_of_ours_imports_no_library_of_others() -> None:
    """They take seconds: a command waits for those that it uses."""
    (made,) = _modules_after(["from models.registry import load; load('fer_vgg:toon_faces')"])
    assert "torch" in made
    assert not {"torchvision", "timm", "sklearn", "captum", "lightning"} & made


def test_readme_is_short_and_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 100
    assert "make run" in text
    assert "make test" in text
    makefile = (ROOT / "Makefile").read_text()
    assert {"run", "test", "check"} <= set(re.findall(r"^(\w+):", makefile, re.M))
    import launch

    known = {c.name or getattr(c.callback, "__name__", "") for c in launch.app.registered_commands} | {
        g.name for g in launch.app.registered_groups
    }
    assert set(re.findall(r"python launch\.py (\w+)", text)) <= known


def test_every_method_is_in_the_documentation() -> None:
    from explain.methods.registry import METHODS
    from explain.methods.spec import table

    assert table(METHODS.values()) in (ROOT / "docs" / "methods.md").read_text(), (
        "python launch.py methods --markdown gives the table"
    )


def test_every_test_that_the_security_page_names_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert len(named) > 30
    assert [name for file, name in named if f"def {name}(" not in (ROOT / "tests" / file).read_text()] == []
