"""No secret shows in a repr, and so in no log line, no traceback with values and no failed test's output.

The rule is kept by type and name. Arrays are always hidden: they are shares, weights, inputs, outputs. Bytes are hidden
unless their field's name is known to mean something public; whoever adds a field with a new name decides here.
"""

import dataclasses
import functools
import importlib
import pkgutil
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mpc_infer
from mpc_infer.evidence import OutputOpenings, ShareOpening
from mpc_infer.identity import CertificateAuthority, Keystore, Signer, TlsCredentials
from mpc_infer.ids import SessionId
from mpc_infer.sharing import SealingKey, SealingKeys, Suite
from mpc_infer.sharing.stream import Stream

MARK = "5ec2e7"
SECRET_WORDS = frozenset({"share", "shares", "salt", "salts", "seed", "seeds", "private", "secret", "password", "pem"})
"""Words of a name that make a text suspicious too."""

_PUBLIC = """
    root batch_root digest digests graph_digest public_digest plan_digest opening_digest request_digest
    receipt_digest model_hash tls_key_hash hash
    key_id sealing_key_ids dealer_key_id material_id session_id terms
    commitments input_commitments share_commitments seed_commitments input_root output_commitment
    transcript signature signatures holdings nonce path result_key engine
    transaction parent bytecode selector errors sender to data contract anchors
    manifest graph plan signed
    ciphertext request submission
    ca_pem cert_pem problem
"""
PUBLIC_BYTES = frozenset(_PUBLIC.split())
"""By line: digests; ids; commitments; what a receipt says; what the chain sees; what every party may read; what is
sealed, of no use to whoever sees it; certificates, and why a job failed."""
PUBLIC_FIELDS = frozenset(
    # scikit-learn's data, and the demo's models of them
    {"TrainedModel.onnx", "TrainedModel.rows", "TrainedModel.labels", "TrainedModel.layers", "_Asked.batches"}
)


@functools.cache
def types() -> tuple[type, ...]:
    """Every dataclass of the package but generated messages."""
    names = [found.name for found in pkgutil.walk_packages(mpc_infer.__path__, "mpc_infer.")]
    modules = [
        importlib.import_module(name)
        for name in names
        if not name.startswith("mpc_infer.v1.") and not name.endswith("__main__")
    ]
    found = {item for module in modules for item in vars(module).values() if _is_ours(item)}
    return tuple(sorted(found, key=lambda item: f"{item.__module__}.{item.__qualname__}"))


def _is_ours(item: Any) -> bool:
    return isinstance(item, type) and dataclasses.is_dataclass(item) and item.__module__.startswith("mpc_infer.")


def leaves(hint: Any) -> set[Any]:
    """The types that a type is made of. Those of `mpc_infer.ids` stay what they are: public."""
    if isinstance(hint, list):  # the arguments of a Callable
        return set().union(*map(leaves, hint))
    origin = typing.get_origin(hint)
    return {hint} if origin is None else {origin}.union(*map(leaves, typing.get_args(hint)))


def is_secret(item: type, field: dataclasses.Field[Any], hint: Any) -> bool:
    """Whether a field can hold what nobody may see."""
    if f"{item.__name__}.{field.name}" in PUBLIC_FIELDS:
        return False
    found = leaves(hint)
    if any(isinstance(leaf, type) and (issubclass(leaf, np.ndarray) or leaf.__name__ == "Tensor") for leaf in found):
        return True
    if found & {bytes, bytearray, memoryview}:
        return field.name.lstrip("_") not in PUBLIC_BYTES
    return str in found and bool(SECRET_WORDS & set(field.name.split("_")))


def secrets_of(item: type) -> list[str]:
    hints = typing.get_type_hints(item)
    return [field.name for field in dataclasses.fields(item) if is_secret(item, field, hints[field.name])]


def marked(item: type, names: list[str]) -> Any:
    """An instance with a mark in each of its secrets, past any check of its constructor."""
    instance = object.__new__(item)
    for field in dataclasses.fields(item):
        object.__setattr__(instance, field.name, MARK if field.name in names else None)
    return instance


@pytest.mark.parametrize("item", types(), ids=lambda item: f"{item.__module__}.{item.__qualname__}")
def test_a_dataclass_shows_no_secret(item: type) -> None:
    names = secrets_of(item)
    shown = [name for name in names if MARK in repr(marked(item, [name]))]
    assert shown == [], (
        f"{item.__qualname__} shows {shown}: hide them with field(repr=False), or say why they are public"
    )


def test_the_rule_finds_what_it_should() -> None:
    """The test above would pass if nothing were found to be secret."""
    found = {f"{item.__name__}.{name}" for item in types() for name in secrets_of(item)}
    expected = {
        "Outcome.outputs",
        "JobResult.share",
        "JobResult.salt",
        "PairSeeds.seeds",
        "ImportedModel.weights",
        "RawModel.constants",
        "LoadedModel.weights",
        "ShareOpening.salt",
        "ShareOpening.share",
        "JobReport.share",
        "JobReport.salt",
        "Order.inputs",
        "Answer.outputs",
        "StoredModel.share",
        "JobRecord.result",
        "TlsCredentials.key_pem",
        "Message.blobs",
    }
    assert expected <= found, expected - found


def hidden(thing: object, *secrets: bytes) -> bool:
    text = f"{thing!r} {thing}"
    return not any(part in text for secret in secrets for part in (secret.hex(), repr(secret)[2:-1]))


def test_keys_show_nothing(tmp_path: Path) -> None:
    signer, authority = Signer.generate(), CertificateAuthority.create("reprs")
    credentials = TlsCredentials(authority.certificate_pem, *authority.issue(signer.address, "party", []))
    keystore = Keystore.create(tmp_path / "keys", signer=signer, tls=credentials)
    assert hidden(signer, signer.key_bytes())
    assert hidden(authority, authority.private_pem())
    assert hidden(credentials, credentials.key_pem)
    assert hidden(keystore, signer.key_bytes(), keystore.storage_key, credentials.key_pem)


@pytest.mark.parametrize("suite", list(Suite))
def test_sealing_keys_show_nothing(suite: Suite) -> None:
    key = SealingKey.generate(suite)
    assert hidden(key, key.private_bytes())
    assert hidden(SealingKeys([key]), key.private_bytes())


def test_a_stream_and_an_opening_show_nothing() -> None:
    seed, salt, share = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
    assert hidden(Stream(seed, "label"), seed)
    assert hidden(OutputOpenings(SessionId(bytes(16)), (ShareOpening(salt, share),)), salt, share)
