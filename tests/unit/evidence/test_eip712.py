from dataclasses import fields, replace

import pytest
from eth_account.messages import encode_typed_data
from eth_utils import keccak as other_keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc_infer.encoding import keccak, to_address
from mpc_infer.errors import BadSignature, InvalidInput, InvalidRequest
from mpc_infer.evidence import (
    BatchRoot,
    Delivery,
    Domain,
    JobRequest,
    ModelHolding,
    ModelPublication,
    Receipt,
    check_signer,
    engine_name,
    engine_word,
    sign,
)
from mpc_infer.identity import Signer
from mpc_infer.ids import Address

STRUCTS = (JobRequest, Receipt, BatchRoot, ModelPublication, ModelHolding)
DOMAINS = st.builds(Domain, st.integers(1, 2**63), st.binary(min_size=20, max_size=20).map(to_address))


def values_of(kind):
    if kind == "bytes32":
        return st.binary(min_size=32, max_size=32)
    if kind == "address":
        return st.binary(min_size=20, max_size=20).map(to_address)
    return st.integers(0, 2 ** int(kind[4:]) - 1)


def any_struct():
    return st.sampled_from(STRUCTS).flatmap(lambda cls: st.builds(cls, *(values_of(kind) for kind in cls.KINDS)))


def solidity_members(cls):
    return [tuple(member.split(" ")) for member in cls.TYPE.partition("(")[2].rstrip(")").split(",")]


def digest_by_eth_account(struct, domain):
    members = solidity_members(type(struct))
    message = {name: getattr(struct, field.name) for (_, name), field in zip(members, fields(struct), strict=True)}
    types = {type(struct).__name__: [{"name": name, "type": kind} for kind, name in members]}
    about = {
        "name": "mpc-infer",
        "version": "1",
        "chainId": domain.chain_id,
        "verifyingContract": domain.verifying_contract,
    }
    signable = encode_typed_data(about, types, message)
    return other_keccak(b"\x19" + signable.version + signable.header + signable.body), signable


@settings(max_examples=60)
@given(any_struct(), DOMAINS)
def test_digests_are_those_of_eth_account(struct, domain):
    digest, signable = digest_by_eth_account(struct, domain)
    assert domain.separator == signable.header
    assert struct.struct_hash() == signable.body
    assert struct.digest(domain) == digest


@settings(max_examples=60)
@given(any_struct())
def test_words_come_back(struct):
    words = struct.to_words()
    assert len(words) == 32 * len(fields(struct))
    if not isinstance(struct, JobRequest):
        assert type(struct).from_words(words) == struct


@pytest.mark.parametrize("cls", STRUCTS)
def test_attributes_are_the_members_in_order(cls):
    def snake(name):
        return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)

    assert [snake(name) for _, name in solidity_members(cls)] == [field.name for field in fields(cls)]


@settings(max_examples=60)
@given(any_struct(), st.data())
def test_every_bit_of_the_words_counts_or_is_refused(struct, data):
    words = bytearray(struct.to_words())
    words[data.draw(st.integers(0, len(words) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        other = type(struct).from_words(bytes(words))
    except InvalidRequest:
        return
    assert other != struct
    assert other.to_words() == bytes(words)


@pytest.mark.parametrize("cls", STRUCTS)
@pytest.mark.parametrize("change", [-32, -1, 1, 32])
def test_other_lengths_are_refused(cls, change):
    with pytest.raises(InvalidRequest):
        cls.from_words(bytes(32 * len(cls.KINDS) + change))


OWNER = Address("0x" + "12" * 20)
REQUEST = JobRequest(b"j" * 32, b"m" * 32, b"p" * 32, b"i" * 32, OWNER, Delivery.CLIENT, b"k" * 32, 1, b"n" * 32, 9)


@pytest.mark.parametrize(
    "changes",
    [
        {"delivery": 0},
        {"delivery": 3},
        {"rows": 0},
        {"result_key": bytes(32)},
        {"delivery": Delivery.COORDINATOR},
    ],
)
def test_requests_that_make_no_sense_are_refused(changes):
    with pytest.raises(InvalidRequest):
        JobRequest.from_words(replace(REQUEST, **changes).to_words())


def test_requests_that_make_sense_come_back():
    other = replace(REQUEST, delivery=Delivery.COORDINATOR, result_key=bytes(32))
    assert JobRequest.from_words(REQUEST.to_words()) == REQUEST
    assert JobRequest.from_words(other.to_words()) == other


@pytest.mark.parametrize(("word", "position"), [(4, 0), (4, 11), (5, 30), (7, 23), (9, 0)])
def test_padding_must_be_zero(word, position):
    words = bytearray(REQUEST.to_words())
    words[32 * word + position] = 1
    with pytest.raises(InvalidRequest):
        JobRequest.from_words(bytes(words))


@pytest.mark.parametrize(
    "changes",
    [
        {"job_id": b"short"},
        {"job_id": "j" * 32},
        {"owner": b"o" * 20},
        {"delivery": 256},
        {"rows": -1},
        {"deadline": 2**64},
        {"rows": 1.0},
    ],
)
def test_values_that_do_not_fit_are_refused(changes):
    with pytest.raises(InvalidInput):
        replace(REQUEST, **changes).to_words()


def test_signatures_hold_for_one_struct_in_one_domain():
    signer, domain = Signer.generate(), Domain(1, OWNER)
    signature = sign(REQUEST, domain, signer)
    check_signer(REQUEST.digest(domain), signature, signer.address)
    check_signer(REQUEST.digest(domain), signature, Address(signer.address.lower()))
    for digest in (
        replace(REQUEST, rows=2).digest(domain),
        REQUEST.digest(Domain(2, OWNER)),
        REQUEST.digest(Domain(1, Address("0x" + "13" * 20))),
        REQUEST.struct_hash(),
    ):
        with pytest.raises(BadSignature):
            check_signer(digest, signature, signer.address)


def test_two_spellings_of_an_address_are_one_domain():
    lower, mixed = (Domain(1, Address(text)) for text in ("0x" + "ab" * 20, to_address(b"\xab" * 20)))
    assert lower == mixed
    assert lower.separator == mixed.separator


def test_engines_have_names():
    assert engine_name(engine_word("crypten")) == "crypten"
    assert engine_word("crypten") == b"crypten".ljust(32, b"\0")
    for name in ("", "x" * 33, "caf\u00e9", "a\n", "a\0b"):
        with pytest.raises(InvalidInput):
            engine_word(name)
    for word in (bytes(32), b"a\0b".ljust(32, b"\0"), b"\xff" * 32):
        with pytest.raises(InvalidRequest):
            engine_name(word)


def test_keccak_is_the_one_of_the_evm():
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
