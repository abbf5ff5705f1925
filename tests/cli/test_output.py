from blockdot.cli.output import check_outputs
from messages import check_messages


def test_messages(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    known = (".csv", ".json", ".md")
    check_messages(
        [
            (
                ValueError,
                f"output {rule}",
                lambda path=path: check_outputs([path], known),
            )
            for path, rule in (
                (tmp_path / "r.txt", f"must end in .csv, .json or .md, not {tmp_path / 'r.txt'}"),
                (
                    tmp_path / "no" / "r.csv",
                    f"must be in a folder that exists, not {tmp_path / 'no' / 'r.csv'}",
                ),
                (tmp_path / "folder.csv", f"must be a file, not the folder {tmp_path / 'folder.csv'}"),
            )
        ]
        + [
            (
                ValueError,
                f"outputs must differ, not be {tmp_path / 'a.md'} twice",
                lambda: check_outputs([tmp_path / "a.md"] * 2, known),
            )
        ]
    )
