"""Files are written whole or not at all, whatever ends the writing."""

from pathlib import Path

import pytest

from models.errors import UserError
from models.files.atomic import atomic, output_file


def stop_half_way(path: Path, failure: type[BaseException]) -> None:
    path.write_text("half")
    raise failure


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("failure", [OSError, ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file(tmp_path: Path, failure: type[BaseException], shared: bool) -> None:
    path = tmp_path / "file.txt"
    with atomic(path, shared) as temporary:
        temporary.write_text("old")
        assert not path.exists()
    with pytest.raises(failure), atomic(path, shared) as temporary:
        stop_half_way(temporary, failure)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_written_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "file.txt"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    line = r"file.txt' cannot be written \(No space left.*\): free space\.$"
    with pytest.raises(UserError, match=line), output_file(path, "free space"):
        raise OSError(28, "No space left on device")
    assert not list(path.parent.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"), output_file(tmp_path / "file" / "x", "move it"):
        pass
