"""Data sets of symbols: judged by recognisers that share nothing with what makes them."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest

from edgelearn import datasets
from edgelearn.datasets._reber_grammar import accepts

INNER = r"B(TS*X(XT*VP)*(S|XT*VV)|PT*V(V|P(XT*VP)*(S|XT*VV)))E"
REBER = re.compile(INNER)
EMBEDDED = re.compile(rf"B(T{INNER}T|P{INNER}P)E")
ALPHABETS = {
    "reber": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "embedded_reber": "BEPSTVX",
    "n_parity": "01",
    "match_to_sample": "ABCDWXYZ",
}
FACTS = {
    "reber": (18_750, 6_250, 11, 53, "29f95c4ee6f06fab"),
    "embedded_reber": (7_500, 2_500, 9, 40, "e09a68f718697dd6"),
    "n_parity": (1_532, 512, 2, 10, "195401d53de3fa51"),
    "match_to_sample": (6_000, 2_000, 7, 22, "9b9675dc68292529"),
}


@pytest.fixture(scope="module", params=ALPHABETS)
def made(request):
    return datasets.load(datasets.Source(name=request.param))


def read(dataset, part):
    """The strings of one part and their labels."""
    x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
    alphabet = np.array(list(ALPHABETS[dataset.name]))
    assert set(np.unique(x)) == {0, 1}
    assert np.array_equal(x[..., :-1].sum(axis=-1), x[..., -1])
    lengths = x[..., -1].sum(axis=1)
    letters = alphabet[x[..., :-1].argmax(axis=-1)]
    return ["".join(row[:n]) for row, n in zip(letters, lengths, strict=True)], y


def right(name, string):
    match name:
        case "reber":
            return bool(REBER.fullmatch(string))
        case "embedded_reber":
            return bool(EMBEDDED.fullmatch(string))
        case "n_parity":
            return sum(map(int, string)) % 2 == 1
        case _:
            assert set(string[1:-1]) <= set("WXYZ")
            return string[0] == string[-1]


def test_labels_are_those_of_an_independent_recogniser(made):
    for part in ("train", "test"):
        strings, labels = read(made, part)
        assert [right(made.name, string) for string in strings] == (labels == 1).tolist()


def test_sizes_lengths_and_classes(made):
    train, test, shortest, longest, _ = FACTS[made.name]
    (seen, y_train), (unseen, y_test) = read(made, "train"), read(made, "test")
    assert (len(seen), len(unseen)) == (train, test)
    assert (y_train.mean(), y_test.mean()) == (0.5, 0.5)
    lengths = {len(string) for string in (*seen, *unseen)}
    assert (min(lengths), max(lengths)) == (shortest, longest)
    assert len({*seen, *unseen}) == train + test  # no string twice, none in both parts
    assert 0.4 < y_train[: train // 10].mean() < 0.6  # the first samples are of both classes


def test_the_description_needs_no_samples(made):
    assert datasets.describe(datasets.Source(name=made.name)) == made.spec


def test_the_samples_are_the_same_for_ever(made):
    """Accuracies in model cards are on these very samples."""
    found = hashlib.sha256(made.x_test.tobytes() + made.y_test.tobytes()).hexdigest()
    assert found.startswith(FACTS[made.name][-1])


def test_both_kinds_of_other_strings_are_there():
    made = datasets.load(datasets.Source(name="reber"))
    strings, labels = read(made, "train")
    others = [s for s, label in zip(strings, labels, strict=True) if label == 0]
    known = [s for s in others if set(s) <= set("BEPSTVX")]
    assert 0.49 < len(known) / len(others) < 0.51
    assert all(s[0] == "B" and s[-1] == "E" for s in others)


@pytest.mark.parametrize("string", ["", "B", "TXSE", "BTXS", "BTXSEE", "BTXSEB", "BPE", "BTSXXTVV"])
def test_the_grammar_and_the_recogniser_agree(string):
    assert accepts(string.encode()) == bool(REBER.fullmatch(string))


def test_the_embedded_grammar_asks_for_memory_only():
    """Without the last letter but one nothing tells the classes apart."""
    made = datasets.load(datasets.Source(name="embedded_reber"))
    strings, _ = read(made, "test")
    assert all(REBER.fullmatch(string[2:-2]) for string in strings)
    assert {string[1] + string[-2] for string in strings} == {"TT", "TP", "PT", "PP"}
