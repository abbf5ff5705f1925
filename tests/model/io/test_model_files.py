import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from blockdot.model.io.checkpoint import Checkpoint
from blockdot.model.io.model_files import ModelFiles, is_model_folder
from messages import check_messages
from safetensors.numpy import save_file

CASES = Path(__file__).parents[4] / "shared" / "cases" / "checkpoints"


@pytest.fixture
def folder(tmp_path):
    """A matrix with its parts in two files, and two plain ones."""
    save_file(
        {"a.weight": np.zeros((2, 8), np.uint8), "c": np.ones(3, np.float32)}, tmp_path / "1.safetensors"
    )
    rest = {"a.weight_scale_2": np.float32(1), "d": np.full(2, 5, np.float16)}
    save_file({k: np.asarray(v) for k, v in rest.items()}, tmp_path / "2.safetensors")
    where = {"a.weight": "1.safetensors", "c": "1.safetensors"} | dict.fromkeys(rest, "2.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return tmp_path


def test_a_folder_is_read_as_one(folder):
    for path in (folder, folder / "model.safetensors.index.json"):
        assert is_model_folder(path)
        files = ModelFiles(path)
        assert files.folder == folder
        assert list(files.files) == ["1.safetensors", "2.safetensors"]
        assert set(files.infos) == {"a.weight", "c", "a.weight_scale_2", "d"}
        assert files.file_name("d") == "2.safetensors"
        assert files.values("d").tolist() == [5, 5]
        assert files.raw("c", 4, 4).view("<f4").tolist() == [1]
    with pytest.raises(KeyError, match="nothing"):
        files.raw("nothing")


def test_without_an_index_there_must_be_one_file(folder):
    (folder / "model.safetensors.index.json").unlink()
    message = (
        "model folder must hold a file *.safetensors.index.json or one .safetensors file, "
        f"but {str(folder)!r} "
    )
    check_messages([(ValueError, message + "holds 2 of them", lambda: ModelFiles(folder))])
    shutil.copy(folder / "2.safetensors", folder / "model.safetensors")
    assert set(ModelFiles(folder).infos) == {"a.weight_scale_2", "d"}
    for name in ("1", "2", "model"):
        (folder / f"{name}.safetensors").unlink()
    check_messages([(ValueError, message + "holds 0 of them", lambda: ModelFiles(folder))])


def test_messages(folder):
    index = folder / "model.safetensors.index.json"
    good = json.loads(index.read_text())
    cases = []

    def case(message, text):
        def read():
            index.write_text(text)
            ModelFiles(folder)

        cases.append((ValueError, message, read))

    def mapped(**changed):
        return json.dumps({"weight_map": good["weight_map"] | changed})

    case(f"index must have a weight_map, not as {str(index)!r} is", "{}")
    case(f"index must have a weight_map, not as {str(index)!r} is", '{"weight_map": []}')
    case(f"JSON file must hold an object, not as {str(index)!r} does", "[]")
    for bad in ("../1.safetensors", "", 3):
        case(f"index must name a file beside it for 'c', not {bad!r} as {str(index)!r} does", mapped(c=bad))
    case(
        f"tensor 'c' must be in '2.safetensors', where {str(index)!r} has it, not in '1.safetensors'",
        mapped(c="2.safetensors"),
    )
    case(
        f"tensor 'e' must be in '2.safetensors', where {str(index)!r} has it, not missing",
        mapped(e="2.safetensors"),
    )
    check_messages(cases)
    index.write_text("{")
    with pytest.raises(ValueError, match=r"^JSON file must be readable, not '.*index\.json': Expecting .+$"):
        ModelFiles(folder)
    index.write_text(mapped(c="3.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"3\.safetensors"):
        ModelFiles(folder)
    save_file({"c": np.zeros(1, np.float32)}, folder / "3.safetensors")
    index.write_text(mapped(f="3.safetensors"))
    check_messages(
        [(ValueError, "tensor 'c' must be in one file, not in '1.safetensors' and '3.safetensors'",
          lambda: ModelFiles(folder))]
    )  # fmt: skip


def test_a_matrix_whose_parts_lie_in_two_files(folder):
    """Its parts are found wherever they are; without one of them it is refused when it is read."""
    message = f"tensor 'a.weight' of {str(folder / '1.safetensors')!r} must have 'a.weight_scale' beside it"
    assert Checkpoint(folder).refused == {"a": message}
    if CASES.is_dir():
        shared = Checkpoint(CASES / "model.safetensors.index.json")
        assert shared.layouts == {"a": "modelopt"}
        assert shared.read("a").shape == (4, 64)
        assert [info.name for info in shared.others] == ["c.weight", "d.weight"]
