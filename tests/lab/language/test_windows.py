import numpy as np
import pytest
from blockdot.lab.language.windows import cut_windows
from messages import check_messages


@pytest.mark.parametrize(
    ("length", "stride", "prefix", "scored"),
    [
        (4, 4, (), [1, 2, 3, 5, 6, 7]),  # the first of each window has nothing before it
        (4, 2, (), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (4, 1, (), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (4, 3, (99,), [0, 1, 2, 3, 4, 5, 6, 7, 8]),  # with a prefix every token has something before it
        (5, 2, (99,), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (10, 10, (), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_each_token_is_scored_once_if_something_stands_before_it(length, stride, prefix, scored):
    windows = cut_windows(np.arange(10), length, stride, prefix)
    assert (windows.tokens[:, : len(prefix)] == 99).all()
    # The likelihood of a token stands for the token here.
    assert windows.pick(windows.tokens[:, 1:].astype(float)).tolist() == scored
    assert windows.scored == len(scored)
    assert windows.tokens[0, len(prefix)] == 0
    assert windows.left_out == 10 - 1 - windows.tokens[-1, -1]
    assert (np.diff(windows.tokens[:, -1]) == stride).all()


def test_errors():
    check_messages(
        [
            (ValueError, "text must fill a window of 12 tokens, not be 10 long", lambda: cut(12, 12)),
            (ValueError, "text must fill a window of 11 tokens, not be 10 long", lambda: cut(12, 3, (7,))),
            (ValueError, "window must be at least 3 tokens, not 2", lambda: cut(2, 1, (7,))),
            (ValueError, "stride must be from 1 to 4 tokens, not 5", lambda: cut(4, 5)),
            (ValueError, "stride must be from 1 to 4 tokens, not 0", lambda: cut(4, 0)),
        ]
    )


def cut(length, stride, prefix=()):
    return cut_windows(np.arange(10), length, stride, prefix)
