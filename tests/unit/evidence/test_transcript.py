import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpc_infer.encoding import digest
from mpc_infer.evidence import Transcript

OPENINGS = st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=4)), max_size=4)


def run(openings):
    transcript = Transcript()
    for step, opened in openings:
        transcript.add(step, opened)
    return transcript.digest()


@given(OPENINGS, OPENINGS)
def test_two_runs_agree_exactly_when_they_opened_the_same(first, second):
    assert (run(first) == run(second)) == (first == second)


def test_the_digest_is_the_documented_one():
    expected = hashlib.sha256(digest("transcript"))
    expected.update((3).to_bytes(8, "big") + (5).to_bytes(8, "big") + b"value")
    assert run([(3, b"value")]) == expected.digest()


def test_arrays_count_by_their_bytes():
    array = np.arange(6, dtype=np.uint64).reshape(2, 3)
    assert run([(0, array.data)]) == run([(0, array.tobytes())]) == run([(0, bytearray(array.tobytes()))])


def test_looking_does_not_end_it():
    transcript = Transcript()
    before = transcript.digest()
    transcript.add(0, b"")
    assert transcript.digest() != before
