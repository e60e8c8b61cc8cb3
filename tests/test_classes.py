"""Names of classes: exact before folded, one to one, and what cannot be known is asked."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from explain.export.selection import _class, _pair
from explain.features.units import units_in
from explain.methods.single_image import class_number
from models.classes.given_names import must_differ, read_names
from models.classes.mapping import read_mapping
from models.classes.matching import match_classes
from models.classes.names import find_class, names_by_data, one_spelling, unnamed
from models.classes.order import UnclearOrder
from models.data.open import open_data
from models.errors import UserError

NUMBERS = [str(i) for i in range(12)]


# -- the data's classes and the network's outputs --------------------------------------------------


@pytest.mark.parametrize(
    "classes",
    [
        ["a", "A", "b", "B"],
        ["happy", "happiness", "anger", "angry"],
        ["Polish", "polish", "US", "us"],
        ["great_white", "great white", "Great-White"],
        ["01", "1", "1.0"],
    ],
)
def test_exact_names_are_never_merged(classes: list[str]) -> None:
    """Whatever the order of either side."""
    for data in (classes, classes[::-1], sorted(classes)):
        found = match_classes(data, classes)
        assert [classes[i] for i in found.outputs] == data
        assert not found.notes


def test_only_what_is_left_over_is_folded() -> None:
    found = match_classes(["joy", "happiness", "Sad"], ["happiness", "sad", "happy"])
    assert found.outputs == (2, 0, 1)  # joy is a synonym of both, and happiness is taken
    assert set(found.notes) == {"joy → happy (synonym)", "Sad → sad (spelling)"}
    assert match_classes(["07"], ["3", "7"]).notes == ["07 → 7 (number)"]


@pytest.mark.parametrize(
    ("data", "model"),
    [
        (["Happy", "happy"], ["HAPPY", "sad"]),
        (["happy", "joy"], ["happiness", "sadness"]),
        (["cat"], ["Cat", "CAT"]),
        (["1", "01"], ["1.0", "2"]),
    ],
)
def test_a_folding_that_does_not_say_which_is_refused(data: list[str], model: list[str]) -> None:
    with pytest.raises(UserError, match=r"never merged: assign them with --classes FILE"):
        match_classes(data, model)


def test_two_classes_become_one_only_where_a_person_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"'happy' would be 'happiness', which 'happiness' of the data is already.*'happy, happiness'",
    ):
        match_classes(["happy", "happiness"], ["happiness", "sadness"])
    (tmp_path / "map.csv").write_text("happy, happiness\n")
    mapping = read_mapping(tmp_path / "map.csv").outputs(["happy", "happiness"], ["happiness", "sadness"])
    assert match_classes(["happy", "happiness"], ["happiness", "sadness"], mapping=mapping).outputs == (0, 0)


@pytest.mark.parametrize("model", [unnamed(12), tuple("abcdefghijkl")])
def test_numbers_whose_order_nobody_knows_are_asked(model: tuple[str, ...]) -> None:
    with pytest.raises(
        UserError,
        match=r"'2' may be output 2, or output 4 as ImageFolder sorts.*--classes sorted.*--classes numbers",
    ):
        match_classes(NUMBERS, model)
    assert match_classes(NUMBERS, model, order="numbers").outputs == tuple(range(12))
    assert match_classes(NUMBERS, model, order="sorted").outputs == tuple(
        sorted(NUMBERS).index(n) for n in NUMBERS
    )
    with pytest.raises(UserError, match="'3' may be output 3, or output 5"):
        match_classes(["0", "1", "3"], model)  # a part of them, of which the first two lie alike


@pytest.mark.parametrize("form", ["{}", "class_{}"])
def test_classes_that_count_from_one_have_an_order_of_their_own(form: str) -> None:
    data = [form.format(i) for i in range(1, 13)]
    assert match_classes(data, unnamed(12), order="numbers-from-1").outputs == tuple(range(12))
    with pytest.raises(UserError, match=r"--classes sorted; if class N is output N - 1") as error:
        match_classes(data, unnamed(12))
    assert isinstance(error.value, UnclearOrder)
    assert error.value.orders == ("sorted", "numbers-from-1")
    with pytest.raises(UserError, match=rf"are {data[-1]}\. They count from 1: use --classes numbers-from-1"):
        match_classes(data, unnamed(12), order="numbers")
    with pytest.raises(UserError, match="different numbers from 1 to 3, and they are 0"):
        match_classes(["0", "1", "2"], unnamed(3), order="numbers-from-1")
    with pytest.raises(UnclearOrder) as nine:  # 1 to 9: the order of the names is that of the numbers
        match_classes(data[:9], unnamed(9))
    assert nine.value.orders == ("sorted",)
    with pytest.raises(UnclearOrder, match="--classes numbers-from-1 for class N = output N - 1") as part:
        match_classes(data[:8], unnamed(9))
    assert part.value.orders == ("numbers", "numbers-from-1")
    assert match_classes(data[:8], unnamed(9), order="numbers-from-1").outputs == tuple(range(8))


def test_numbers_whose_order_is_the_same_either_way_are_told() -> None:
    for data in (NUMBERS[:10], ["0", "3"], [f"{i:02d}" for i in range(12)]):
        outputs = unnamed(12 if len(data[0]) == 2 else 10)
        found = match_classes(data, outputs)
        assert found.outputs == tuple(map(int, data))
        assert found.notes == ["class N of the data is output N, which is ImageFolder's order too"]
    assert match_classes(NUMBERS, NUMBERS).order == ""  # names
    with pytest.raises(UserError, match="--classes sorted"):
        match_classes(
            [str(i) for i in range(1, 11)], unnamed(10)
        )  # counted from one: ten has no output of its number
    with pytest.raises(UserError, match="must be different numbers from 0 to 9, and they are 10"):
        match_classes([str(i) for i in range(1, 11)], unnamed(10), order="numbers")
    with pytest.raises(UserError, match="the data has 3 classes, the network 10 outputs"):
        match_classes(["a", "b", "c"], unnamed(10), order="sorted")


@pytest.mark.parametrize("form", ["class_{}", "Class {}", "class-{}", "class{}", "class {}"])
def test_names_that_nobody_gave_are_numbers(form: str) -> None:
    """class_10 of the data is no name of output 10: nobody called it so."""
    data = [form.format(i) for i in range(12)]
    with pytest.raises(UserError, match=r"may be output 2, or output 4 as ImageFolder sorts names"):
        match_classes(data, unnamed(12))
    assert match_classes(data, unnamed(12), order="numbers").outputs == tuple(range(12))
    assert match_classes(data, unnamed(12), order="sorted").outputs == tuple(
        sorted(data).index(name) for name in data
    )
    assert match_classes(data[:10], unnamed(10)).outputs == tuple(range(10))


@pytest.mark.parametrize(
    ("data", "outputs"),
    [
        (["1", "2"], 3),
        ([str(i) for i in range(1, 9)], 9),
        ([f"{i:02d}" for i in range(1, 11)], 11),
        ([str(i) for i in range(1, 8)], 8),
        (["class 1", "class 3"], 4),
    ],
)
def test_numbers_without_a_zero_may_count_from_one(data: list[str], outputs: int) -> None:
    with pytest.raises(
        UserError, match=r"may be output 1, or output 0 where numbers count from one\. Use --classes numbers"
    ):
        match_classes(data, unnamed(outputs))


@pytest.mark.parametrize(
    ("data", "mapping"),
    [(["0", "1", "01"], {}), (["class 0", "0", "1"], {}), (["0", "1", "cat"], {"cat": 1})],
)
def test_two_numbers_are_never_one_output(data: list[str], mapping: dict[str, int]) -> None:
    for model in (unnamed(3), ("a", "b", "c")):
        with pytest.raises(UserError):
            match_classes(data, model, mapping=mapping)


def test_what_a_refusal_advises_is_possible() -> None:
    with pytest.raises(UserError, match="their order is ambiguous") as error:
        match_classes(["0", "1", "2"], unnamed(20))
    assert "--classes sorted" not in str(error.value)


def test_an_order_that_contradicts_the_names_is_refused() -> None:
    with pytest.raises(UserError, match="--classes sorted makes 'a' output 0, which the network calls 'b'"):
        match_classes(["a", "b"], ["b", "a"], order="sorted")
    with pytest.raises(UserError, match="--classes numbers makes '1' output 1, which the network calls '2'"):
        match_classes(["1", "2"], ["1", "2", "3"], order="numbers")


def test_a_wordnet_id_does_not_take_what_is_taken() -> None:
    with pytest.raises(UserError, match="no class for n01440764"):
        match_classes(["n01440764", "tench"], ["tench", "shark"], wordnet_ids=["n01440764", "n01491361"])


def test_classes_without_images_need_no_output() -> None:
    assert match_classes(["a", "docs", "b"], ["a", "b"], empty=["docs"]).outputs == (0, -1, 1)
    assert match_classes(["a", "docs", "b"], ["a", "b", "docs"], empty=["docs"]).outputs == (0, 2, 1)


def test_outputs_of_one_name_are_asked_for() -> None:
    with pytest.raises(UserError, match="2 outputs of the network are called 'crane'"):
        match_classes(["crane"], ["crane", "crane"])
    assert match_classes(["crane"], ["crane", "crane"], mapping={"crane": 1}).outputs == (1,)


# -- the file of --classes ---------------------------------------------------------------------------


def test_a_mapping_is_csv(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    lines = [
        "data class,model class",
        "# a comment",
        '"crane, bird", "crane (n02012849)"',
        "C#, csharp",
        '"#1", first',
        '"say ""hi""", x',
    ]
    lines += ["b\tc", "d = e", ""]
    path.write_text("\n".join(lines))
    assert read_mapping(path).pairs == {
        "crane, bird": "crane (n02012849)",
        "C#": "csharp",
        "#1": "first",
        'say "hi"': "x",
        "b": "c",
        "d": "e",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a, x\nb, y\na, z\n", r"Line 3 of .* names 'a' again, after line 1"),
        ("a, b\nb, a\n", r"closes a cycle: a → b → a"),
        ("a, b\nb, c\nc, a\n", r"Line 3 .*closes a cycle: a → b → c → a"),
        ("a\n", r"Line 1 of .*expected 'data class, model class'"),
        ("crane, bird, x\n", r"names with commas stand in double quotes"),
        ("# nothing\n", "has no line"),
    ],
)
def test_a_mapping_that_contradicts_itself_names_the_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_mapping(tmp_path / "map.csv")


def test_a_class_without_an_output_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text("dog, Hund\nyellow,\n'red' =\n")
    mapping = read_mapping(path)
    assert mapping.left_out(["dog", "yellow", "'red'", "cat"]) == ("yellow", "'red'")
    assert mapping.outputs(["dog", "cat"], ["cat", "Hund"]) == {"dog": 1}
    with pytest.raises(UserError, match=r"Line 2 of .*names class 'yellow', which the data lacks"):
        mapping.left_out(["dog", "'red'"])
    path.write_text("dog,\ncat,\n")
    with pytest.raises(UserError, match=r"leaves out every class of the data"):
        read_mapping(path).left_out(["dog", "cat"])
    path.write_text(", dog\n")
    with pytest.raises(UserError, match=r"Line 1 of .*expected 'data class, model class'"):
        read_mapping(path)


def test_unknown_names_in_a_mapping_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text("dog, Hund\ncats, Katze\n")
    with pytest.raises(
        UserError, match=r"Line 2 of .*names class 'cats', which the data lacks: near is 'cat'"
    ):
        read_mapping(path).outputs(["dog", "cat"], ["Hund", "Katze"])
    with pytest.raises(
        UserError, match=r"Line 1 of .*names class 'Hund', which the model lacks: it has chien, chat"
    ):
        read_mapping(path).outputs(["dog", "cats"], ["chien", "chat"])
    path.write_text("dog, 1\ncat, 0\n")  # outputs by number, where none is called so
    assert read_mapping(path).outputs(["dog", "cat"], ["cat", "dog"]) == {"dog": 1, "cat": 0}
    assert read_mapping(path).outputs(["dog", "cat"], ["1", "0"]) == {"dog": 0, "cat": 1}
    with pytest.raises(UserError, match=r"Line 2 of .*names class '0', which the model lacks"):
        read_mapping(path).outputs(
            ["dog", "cat"], ["1", "2", "3"]
        )  # a name beside an index would make two classes one


def test_names_for_outputs_without_names(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("crane, the bird\n\ncrane, the machine\n")
    assert read_names(str(tmp_path / "names.txt")) == ("crane, the bird", "crane, the machine")
    assert read_names("imagenet")[0] == "tench"
    with pytest.raises(UserError, match="give one with a class name per line"):
        read_names(str(tmp_path / "none.txt"))
    with pytest.raises(UserError, match="names class 'a' 2 times"):
        must_differ(["a", "b", "a"], "the file")


# -- one class by its name ----------------------------------------------------------------------------


def test_one_name_is_found_exactly_first() -> None:
    classes = ("Cardigan", "cardigan", "happy", "happiness", "7", "3")
    for i, name in enumerate(classes):
        assert find_class(name, classes) == i
        assert class_number(classes, name) == i
    assert find_class("CARDIGANS", classes) is None
    for unclear in ("CARDIGAN", "joy"):
        with pytest.raises(UserError, match="write the name exactly"):
            find_class(unclear, classes)
    with pytest.raises(UserError, match="No class '1'"):
        class_number(classes, "1")  # a name that is absent, and no index where classes are called by numbers
    assert class_number(("a", "b"), "1") == 1


def test_units_by_name_where_classes_are_numbers() -> None:
    classes = ("0", "1", "10", "2")
    assert units_in("10, 2", classes) == [2, 3]
    with pytest.raises(UserError, match="called by numbers, so name each"):
        units_in("0-2", classes)
    assert units_in("0-2") == [0, 1, 2]


def test_selections_find_classes_exactly_first() -> None:
    from types import SimpleNamespace

    run = SimpleNamespace(classes=("Cardigan", "cardigan", "a>b", "c", "a", "b>c"), present=[0, 1])
    assert [_class(run, name) for name in run.classes] == list(range(6))  # type: ignore[arg-type]
    assert _pair(run, "Cardigan>cardigan") == (0, 1)  # type: ignore[arg-type]
    assert _pair(run, "a>b>a") == (2, 4)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="may be true a, predicted b>c or true a>b, predicted c"):
        _pair(run, "a>b>c")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="write the name exactly"):
        _class(run, "CARDIGAN")  # type: ignore[arg-type]


# -- tables ---------------------------------------------------------------------------------------------


def table(folder: Path, labels: list[str]) -> Path:
    for i in range(len(labels)):
        Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(folder / f"{i}.png")
    pd.DataFrame({"image": [f"{i}.png" for i in range(len(labels))], "label": labels}).to_csv(
        folder / "t.csv", index=False
    )
    return folder / "t.csv"


def test_frequent_spellings_of_a_table_stay_classes_of_their_own(tmp_path: Path) -> None:
    path = table(tmp_path, ["Polish"] * 20 + ["polish"] * 12 + ["POLISH"] * 2 + ["cat"] * 5 + [" cat "])
    source = open_data(str(path))
    assert source.classes == ("Polish", "cat", "polish")
    assert "rare spellings merged: POLISH → Polish" in source.note
    assert "Polish and polish are spelled alike and stay separate classes" in source.note
    assert len([i for i in source.items if i.label == "cat"]) == 6
    known = open_data(
        str(path), known=("POLISH", "Polish", "polish", "cat")
    )  # the network tells all three apart
    assert known.classes == ("POLISH", "Polish", "cat", "polish")


def test_spellings_that_the_network_tells_apart_stay_so_in_a_part(tmp_path: Path) -> None:
    path = table(tmp_path, ["Polish"] * 30 + ["polish"] * 2)
    for source in (open_data(str(path)), open_data(str(path), limit=30), open_data(str(path), "test")):
        assert source.merged == {"polish": "Polish"}
    assert open_data(str(path), known=("Polish", "polish")).merged == {}


def test_one_spelling_needs_a_common_one() -> None:
    assert one_spelling(["Sad"] * 5 + ["sad"] * 4) == {"Sad": "Sad", "sad": "sad"}
    assert one_spelling(["Sad"] * 50 + ["sad"] * 4 + ["SAD"]) == {"Sad": "Sad", "sad": "Sad", "SAD": "Sad"}


@pytest.mark.parametrize(
    ("data", "outputs", "names"),
    [
        (["cat", "dog"], [1, 0], ("dog", "cat", "class 2")),
        (["2", "3"], [1, 2], ("class 0", "2", "3")),  # folder 3 is not "class 2" beside folder 2
        (["2", "class_0"], [0, 1], ("2", "class_0", "class 2 (output 2)")),
        (["cat", "kitten", "dog"], [0, 0, 2], ("class 0", "class 1", "dog")),  # two classes, one output
        (["cat", "empty"], [2, -1], ("class 0", "class 1", "cat")),
    ],
)
def test_outputs_without_names_are_called_as_the_data_calls_them(
    data: list[str], outputs: list[int], names: tuple[str, ...]
) -> None:
    mapping = dict(zip(data, outputs, strict=True))
    assert names_by_data(unnamed(3), mapping) == names
    assert len(set(names)) == 3
