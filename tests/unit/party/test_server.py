"""The party's gRPC face over real mTLS: who may call, and what malformed messages get."""

import dataclasses

import pytest

from mpc_infer import errors
from mpc_infer.encoding import address_bytes
from mpc_infer.identity.signer import Signer
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.ids import MaterialId
from mpc_infer.party.server import build
from mpc_infer.rpc.channel import open_channel
from mpc_infer.rpc.messages import sealed_to, sealing_key_from, signature_to
from mpc_infer.rpc.status import error_of, translated
from mpc_infer.store import MaterialRecord
from mpc_infer.v1 import party_pb2, party_pb2_grpc

TIMEOUT = 20


@pytest.fixture
async def server(party, world):
    built = build(world.config(0), party)
    await built.start()
    yield built
    await built.stop(0)


@pytest.fixture
async def call(server, world):
    opened = []

    async def caller(method, request, role="coordinator", address=None):
        address = address or world.coordinator.address
        issued = world.authority.issue(address, role, [], 1)
        credentials = TlsCredentials(world.authority.certificate_pem, *issued)
        channel = open_channel(f"127.0.0.1:{server.port}", credentials, peer=world.addresses[0], role="party")
        opened.append(channel)
        with translated("party 0"):
            return await getattr(party_pb2_grpc.PartyServiceStub(channel), method)(request, timeout=TIMEOUT)

    yield caller
    for channel in opened:
        await channel.close()


def run_request(world):
    one = world.job()[0]
    job = party_pb2.PartyJob(
        job_request=one.request.to_words(),
        owner_signature=signature_to(one.owner_signature.signer, one.owner_signature.signature),
        input_commitments=one.input_commitments,
        sealed_input=sealed_to(one.sealed_input),
    )
    place = {"session_id": one.session_id, "lane": 0, "registry_block": one.registry_block}
    return party_pb2.RunSessionRequest(rows=one.request.rows, jobs=[job], **place)


async def answered(call, request):
    """The answer to the only job, or its problem is raised."""
    (answer,) = (await call("RunSession", request)).answers
    if answer.WhichOneof("outcome") == "problem":
        raise error_of(answer.problem)
    return answer.done


def install_request(world, **changes):
    one = dataclasses.replace(world.install_call(0), **changes)
    return party_pb2.InstallModelRequest(
        manifest=one.manifest,
        graph=one.graph,
        sealed_share=sealed_to(one.sealed_share),
        owner_signature=signature_to(one.owner_signature.signer, one.owner_signature.signature),
    )


async def test_a_party_says_who_it_is(call, world):
    answer = await call("GetInfo", party_pb2.GetInfoRequest())
    assert answer.info.address == address_bytes(world.addresses[0])
    assert (answer.info.index, answer.lanes, list(answer.engines)) == (0, 1, ["masked"])
    assert answer.party_set == world.package.manifest.party_set_id
    keys = [sealing_key_from(key).key_id for key in answer.info.sealing_keys]
    assert keys == [key.key_id for key in world.keystores[0].sealing_keys.public_keys]


@pytest.mark.parametrize("role", ["client", "party", "dealer", "operator"])
@pytest.mark.parametrize(
    "method",
    ["RunSession", "InstallModel", "SignRoot", "PrepareMaterial", "AbortSession", "ListMaterial", "DropMaterial"],
)
async def test_only_the_coordinator_moves_a_party(call, world, role, method):
    request = getattr(party_pb2, f"{method}Request")()
    with pytest.raises(errors.NotPermitted):
        await call(method, request, role=role)


async def test_another_coordinator_is_refused(call, world):
    with pytest.raises(errors.NotPermitted):
        await call("RunSession", run_request(world), address=Signer.generate().address)


async def test_material_is_listed_and_dropped(call, party, world):
    ids = [MaterialId(bytes([number]) * 16) for number in range(3)]
    made = [MaterialRecord(each, 0, world.model_hash, b"", b"p" * 32, 4, 100 + each[0]) for each in ids]
    await party.stock.add(made)
    listed = (await call("ListMaterial", party_pb2.ListMaterialRequest())).materials
    assert [one.material_id for one in listed] == ids
    assert (listed[1].lane, listed[1].model_hash, listed[1].rows, listed[1].bytes) == (0, world.model_hash, 4, 101)
    drop = party_pb2.DropMaterialRequest(material_ids=[ids[0], ids[2], bytes(15) + b"x"])
    for _ in range(2):
        await call("DropMaterial", drop)
        listed = (await call("ListMaterial", party_pb2.ListMaterialRequest())).materials
        assert [one.material_id for one in listed] == [ids[1]]
    assert party.store.material.counts(0)[0].dropped == 2


@pytest.mark.parametrize("ids", [[b"short"], [bytes(16)] * 4097], ids=["short", "too many"])
async def test_what_is_no_list_of_material_is_refused(call, ids):
    with pytest.raises(errors.InvalidRequest):
        await call("DropMaterial", party_pb2.DropMaterialRequest(material_ids=ids))


async def test_a_model_is_installed_over_the_wire(call, world):
    answer = await call("InstallModel", install_request(world))
    assert answer.holding.signer == address_bytes(world.addresses[0])


async def test_a_job_passes_the_checks_and_stops_at_the_lane_that_does_not_run(call, world):
    with pytest.raises(errors.Unavailable, match="not running"):
        await call("RunSession", run_request(world))


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("session_id", b"short", errors.InvalidRequest),
        ("session_id", b"", errors.InvalidRequest),
        ("material_id", b"short", errors.InvalidRequest),
        ("job_request", b"", errors.InvalidRequest),
        ("job_request", bytes(319), errors.InvalidRequest),
        ("job_request", b"\xff" * 320, errors.InvalidRequest),
        ("input_commitments", [b"x"], errors.InvalidRequest),
    ],
)
async def test_malformed_fields_are_refused(call, world, field, value, error):
    request = run_request(world)
    changed = request if field.endswith("_id") else request.jobs[0]
    changed.ClearField(field)
    if isinstance(value, list):
        getattr(changed, field).extend(value)
    else:
        setattr(changed, field, value)
    with pytest.raises(error):
        await answered(call, request)


async def test_a_malformed_signature_is_refused(call, world):
    request = run_request(world)
    request.jobs[0].owner_signature.signature = b"x"
    with pytest.raises(errors.BadSignature):
        await answered(call, request)


async def test_an_unknown_suite_is_refused(call, world):
    request = run_request(world)
    request.jobs[0].sealed_input.suite = 9
    with pytest.raises(errors.InvalidRequest, match="suite 9"):
        await answered(call, request)


async def test_an_empty_request_is_refused(call):
    for method in ("RunSession", "InstallModel", "PrepareMaterial", "AbortSession", "SignRoot"):
        with pytest.raises(errors.Refused):
            await call(method, getattr(party_pb2, f"{method}Request")())


@pytest.mark.parametrize(
    "digests", [[], [b"short"], [bytes(32), bytes(32)], [i.to_bytes(32, "big") for i in range(4097)]]
)
async def test_batches_that_make_no_sense_are_refused(call, digests):
    with pytest.raises(errors.InvalidRequest):
        await call("SignRoot", party_pb2.SignRootRequest(receipt_digests=digests))


async def test_a_foreign_receipt_is_not_signed(call):
    with pytest.raises(errors.ReceiptNotFound):
        await call("SignRoot", party_pb2.SignRootRequest(receipt_digests=[bytes(32)]))


async def test_an_abort_of_an_unknown_session_is_noted(call):
    reason = "because\n" + "x" * 10_000
    request = party_pb2.AbortSessionRequest(session_id=bytes(16), reason=reason)
    assert await call("AbortSession", request) == party_pb2.AbortSessionResponse()
