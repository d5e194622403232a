import hashlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mpc_infer.encoding import canonical_json, digest, parse_json, same_digest
from mpc_infer.errors import InvalidInput, InvalidRequest

PARTS = st.lists(st.binary(max_size=4), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=10,
)


def test_the_digest_is_the_documented_hash():
    plain = b"".join(len(part).to_bytes(8, "big") + part for part in (b"mpc-infer/v1/model-hash", b"a", b"", b"bc"))
    assert digest("model-hash", b"a", b"", b"bc") == hashlib.sha256(plain).digest()


@given(PARTS, PARTS)
def test_no_two_lists_of_parts_have_one_digest(first, second):
    assert (digest("x", *first) == digest("x", *second)) == (first == second)


def test_domains_separate():
    assert len({digest("a", b"b"), digest("ab"), digest("", b"ab"), digest("a", b"", b"b"), digest("b", b"b")}) == 5


def test_digests_are_compared_whole():
    assert same_digest(b"a" * 32, b"a" * 32)
    assert not same_digest(b"a" * 32, b"a" * 31 + b"b")
    assert not same_digest(b"a" * 32, b"a" * 31)


@given(JSON)
def test_canonical_json_comes_back(value):
    data = canonical_json(value)
    assert json.loads(data) == value
    assert canonical_json(json.loads(data)) == data
    assert parse_json(data, max_bytes=len(data)) == value


def test_canonical_json_is_that_of_the_rfc():
    assert (
        canonical_json({"b": [1, True, None], "a": "\u20ac\n", "": {}})
        == '{"":{},"a":"€\\n","b":[1,true,null]}'.encode()
    )


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53, -(2**53), b"bytes", {1: 2}, object(), {"a": "\ud800"}]
)
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(InvalidInput):
        canonical_json(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"nul",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"a":1,"a":2}',
        b'[{"a":{"b":1,"b":1}}]',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1,]",
        b"{} {}",
        b"9" * 5000,
        b'"' + b"\\" * 99_999,
    ],
)
def test_what_is_not_json_is_refused(data):
    with pytest.raises(InvalidRequest):
        parse_json(data, max_bytes=10**6)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"":', b"[[", b"[ \n"])
def test_deep_nesting_is_refused_before_the_parser_sees_it(opening):
    """eth_account and py-evm raise the recursion limit so far that json.loads would overflow the C stack."""
    with pytest.raises(InvalidRequest):
        parse_json(opening * 200_000, max_bytes=10**7)


def test_depth_has_a_limit_and_strings_have_none():
    assert parse_json(b"[" * 32 + b"]" * 32, max_bytes=100)
    with pytest.raises(InvalidRequest):
        parse_json(b"[" * 33 + b"]" * 33, max_bytes=100)
    text = json.dumps({"a": '[{"' * 1000 + "\\"}).encode()
    assert parse_json(text, max_bytes=len(text)) == json.loads(text)
    assert len(parse_json(b"[" + b"[]," * 999 + b"[]]", max_bytes=10**5)) == 1000


def test_size_has_a_limit():
    with pytest.raises(InvalidRequest):
        parse_json(b'"abc"', max_bytes=4)


@given(st.binary(max_size=60))
@example(b'"\\')
@example(b"]]]][[[[")
def test_arbitrary_bytes_never_do_anything_else(data):
    try:
        parse_json(data, max_bytes=60)
    except InvalidRequest:
        return
    json.loads(data)
