import os
import stat
from pathlib import Path

import pytest
from blockdot.base.whole_files import whole_file, write_whole
from messages import whole


def test_a_file_is_there_when_the_block_ends(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old")
    with whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_written_as_it_is(tmp_path: Path):
    path = tmp_path / ("n" * 255)
    assert write_whole(path, "one\r\ntwo\nΔ") == path
    assert path.read_bytes() == "one\r\ntwo\nΔ".encode()


ERRORS = [ValueError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_leaves_what_was_there(tmp_path: Path, error: BaseException):
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)) as caught:
        write_half()
    assert caught.value is error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_of_any_new_file(tmp_path: Path):
    before = os.umask(0o027)
    try:
        path = write_whole(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path):
    missing, folder = tmp_path / "nowhere" / "file", tmp_path / "folder"
    message = f"[Errno 2] No such file or directory: {str(missing)!r}"
    with pytest.raises(FileNotFoundError, match=whole(message)):
        write_whole(missing, "")
    folder.mkdir()
    with pytest.raises(IsADirectoryError, match=whole(f"[Errno 21] Is a directory: {str(folder)!r}")):
        write_whole(folder, "")
    assert list(tmp_path.iterdir()) == [folder]
