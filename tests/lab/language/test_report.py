import math

import numpy as np
import pytest
from blockdot.lab.language.arithmetic import Arithmetic, combine
from blockdot.lab.language.report import EvaluatedWay, EvaluationReport
from blockdot.lab.language.windows import check_segments
from blockdot.lab.quality.quantization_error import Quantization
from messages import check_messages


def report(ways, likelihoods, segment=10) -> EvaluationReport:
    found = tuple(map(EvaluatedWay, ways, likelihoods))
    return EvaluationReport({}, {}, found, segment)


def test_a_difference_is_paired_and_that_of_the_whole_text(rng):
    # Tokens differ much, the two ways little and always alike: only a paired interval is narrow.
    likely = -rng.gamma(2, 2, 205)
    other = likely - 0.01 - rng.normal(0, 0.001, 205)
    made = report([Arithmetic(), Arithmetic(quantization=Quantization())], [likely, other])
    assert made.ways[0].perplexity == pytest.approx(math.exp(-likely.mean()))
    none, compared = made.against_unquantized
    assert none is None
    assert compared is not None
    assert len(compared.difference.values) == 20
    assert compared.difference.mean == pytest.approx(likely.mean() - other.mean())
    mean, low, high = compared.percent
    assert mean == pytest.approx(100 * (made.ways[1].perplexity / made.ways[0].perplexity - 1))
    assert low < 100 * math.expm1(0.01) < high
    assert high - low < 0.1
    assert compared.difference.resolved
    assert compared.difference.method == "bootstrap"
    assert not compared.text().endswith("~")
    assert made.compare(made.ways[0], made.ways[0]).text().endswith("~")


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(3)
    ways = [Arithmetic(), Arithmetic(quantization=Quantization())]
    covered = 0
    for _ in range(80):
        noise = rng.normal(0.05, 0.3, 200)
        compared = report(ways, [np.zeros(200), -noise]).against_unquantized[1]
        assert compared is not None
        low, high = compared.difference.interval
        covered += low < 0.05 < high
    assert 70 <= covered <= 79


def test_compared_are_ways_that_differ_in_one_thing(rng):
    ways = [
        Quantization(scale=scale, block_size=size) for scale in ("ue4m3", "ue5m3") for size in (8, 16, 32)
    ]
    sweep = combine([*ways, Quantization(block_size=8, tensor_scale=True)])
    made = report(sweep, rng.normal(-2, 1, (len(sweep), 40)))
    pairs = {(one.after.arithmetic.label, one.before.arithmetic.label) for one in made.comparisons}
    finer = {
        (f"{s} N={a} absmax", f"{s} N={b} absmax") for s in ("ue4m3", "ue5m3") for a, b in ((8, 16), (16, 32))
    }
    scales = {(f"ue5m3 N={n} absmax", f"ue4m3 N={n} absmax") for n in (8, 16, 32)}
    assert pairs == finer | scales | {("ue5m3 N=8 absmax +g", "ue5m3 N=8 absmax")}


def test_rows_have_the_same_keys_and_the_document_the_segments(rng):
    sweep = combine([Quantization(block_size=8)])
    made = report(sweep, rng.normal(-2, 1, (2, 45)))
    first, second = made.rows()
    assert list(first) == list(second)
    assert (first["block_size"], second["block_size"]) == (None, 8)
    document = made.document()
    assert document["segment_tokens"] == [12, 11, 11, 11]
    for way, evaluated in zip(document["ways"], made.ways, strict=True):
        assert sum(way["segments"]) == pytest.approx(-evaluated.log_likelihoods.sum())
        assert math.exp(sum(way["segments"]) / 45) == pytest.approx(way["perplexity"])


def test_errors():
    message = "text must have two segments of 64 scored tokens, not 127 tokens alone"
    check_messages(
        [
            (ValueError, message, lambda: check_segments(127, 64)),
            (ValueError, "segment must be at least 1 token, not 0", lambda: check_segments(127, 0)),
        ]
    )
    check_segments(128, 64)
