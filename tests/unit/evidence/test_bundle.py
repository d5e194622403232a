import json
import stat
from dataclasses import replace

import pytest

from mpc_infer.errors import InvalidRequest, StoreError
from mpc_infer.evidence import Bundle


@pytest.fixture
def document(case):
    return json.loads(case.bundle.to_json())


def test_a_bundle_survives_its_file(case, tmp_path):
    (tmp_path / "receipt.json").write_text("something older, longer and open to all" * 1000)
    (tmp_path / "receipt.json").chmod(0o644)
    case.bundle.save(tmp_path / "receipt.json")
    assert Bundle.load(tmp_path / "receipt.json") == case.bundle
    assert stat.S_IMODE((tmp_path / "receipt.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("part", ["request", "input_openings", "output_openings", "inclusion"])
def test_what_is_optional_may_be_absent(case, part):
    smaller = replace(case.bundle, **{part: None})
    assert part not in json.loads(smaller.to_json())
    assert Bundle.from_json(smaller.to_json()) == smaller


def test_a_batch_may_not_be_mined_yet(case):
    waiting = replace(case.bundle, inclusion=replace(case.bundle.inclusion, transaction=b"", block=0, gas_used=0))
    assert Bundle.from_json(waiting.to_json()) == waiting


def test_addresses_are_checksummed_on_reading(case, document):
    document["members"] = [member.lower() for member in document["members"]]
    assert Bundle.from_json(json.dumps(document).encode()) == case.bundle


def paths(value, prefix=()):
    """The way to every leaf, every list and every object in the document."""
    if prefix:
        yield prefix
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*prefix, key))
    if isinstance(value, list) and value:
        yield from paths(value[0], (*prefix, 0))


def at(document, path):
    for step in path[:-1]:
        document = document[step]
    return document, path[-1]


@pytest.mark.parametrize("junk", [None, True, -1, 1.5, "junk", "0x1", "0xAB", 2**53, [1], {"a": 1}], ids=repr)
def test_no_field_may_have_another_form(document, junk):
    for path in paths(document):
        changed = json.loads(json.dumps(document))
        holder, key = at(changed, path)
        if isinstance(holder[key], str) and not holder[key].startswith("0x") and junk == "junk":
            junk_here = "another schema"
        else:
            junk_here = junk
        holder[key] = junk_here
        with pytest.raises(InvalidRequest):
            Bundle.from_json(json.dumps(changed).encode())


def test_no_field_may_be_missing_or_added(case, document):
    optional = {("request",), ("input_openings",), ("output_openings",), ("inclusion",)}
    for path in paths(document):
        changed = json.loads(json.dumps(document))
        holder, key = at(changed, path)
        if isinstance(holder, dict):
            holder["surprise"] = 1
            with pytest.raises(InvalidRequest):
                Bundle.from_json(json.dumps(changed).encode())
            del holder["surprise"]
        if isinstance(holder, dict) and path not in optional:
            del holder[key]
            with pytest.raises(InvalidRequest):
                Bundle.from_json(json.dumps(changed).encode())


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"schema": 1, "schema": 1}', b'{"schema": NaN}']
)
def test_other_files_are_refused(data):
    with pytest.raises(InvalidRequest):
        Bundle.from_json(data)


def test_lists_have_limits(document):
    document["members"] *= 30
    with pytest.raises(InvalidRequest):
        Bundle.from_json(json.dumps(document).encode())


def test_a_place_that_cannot_be_written_is_named(case, tmp_path):
    with pytest.raises(StoreError, match="nowhere"):
        case.bundle.save(tmp_path / "nowhere" / "receipt.json")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidRequest, match=r"missing\.json"):
        Bundle.load(tmp_path / "missing.json")


def test_shares_are_not_shown(case):
    assert "output share" not in repr(case.bundle)
