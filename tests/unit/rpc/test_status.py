"""Errors on the wire keep their code, party, remedy and whether they may be retried."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from mpc_infer import errors
from mpc_infer.rpc import status


class Failed(grpc.RpcError):
    """A failed call as gRPC hands it over."""

    def __init__(self, code, details="", metadata=()):
        super().__init__()
        self._parts = (code, details, metadata)

    def code(self):
        return self._parts[0]

    def details(self):
        return self._parts[1]

    def trailing_metadata(self):
        return self._parts[2]


@pytest.mark.parametrize("kind", list(errors.all_errors()), ids=lambda kind: kind.__name__)
def test_every_error_makes_the_round_trip(kind):
    error = kind("what happened", remedy="what to do", party=3)
    failed = Failed(status.status_code(error), error.message, status.trailing_metadata(error))
    back = status.error_from_rpc(failed)
    assert back.code == kind.code
    assert (back.message, back.remedy, back.party) == ("what happened", "what to do", 3)
    assert back.retryable == kind.retryable
    assert status.error_of(status.problem_of(error)).code == kind.code


@pytest.mark.parametrize("kind", list(errors.all_errors()), ids=lambda kind: kind.__name__)
def test_the_error_info_is_as_documented(kind):
    ((_, data),) = status.trailing_metadata(kind("x", remedy="y", party=1))
    wire = status_pb2.Status.FromString(data)
    info = error_details_pb2.ErrorInfo()
    assert wire.details[0].Unpack(info)
    assert (info.reason, info.domain) == (kind.code, "mpc-infer")
    assert dict(info.metadata) == {"remedy": "y", "party": "1", "retryable": "true" if kind.retryable else "false"}
    assert wire.code == status.status_code(kind("x")).value[0]
    assert wire.code != grpc.StatusCode.OK.value[0]


def test_codes_are_unique_so_that_they_can_be_read_back():
    kinds = [kind for kind in errors.all_errors() if kind is not errors.MpcInferError]
    assert len({kind.code for kind in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect", errors.Unavailable),
        (grpc.StatusCode.UNAVAILABLE, "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", errors.NotAuthenticated),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max", errors.MessageTooLarge),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!", errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", errors.DeadlineExpired),
        (grpc.StatusCode.UNKNOWN, "odd", errors.InternalError),
    ],
)
def test_statuses_that_grpc_makes_itself(code, details, kind):
    assert type(status.error_from_rpc(Failed(code, details), "party 1")) is kind


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b""])
def test_malformed_details_fall_back_to_the_code(data):
    failed = Failed(grpc.StatusCode.UNAVAILABLE, "gone", ((status.DETAILS_KEY, data),))
    assert type(status.error_from_rpc(failed)) is errors.Unavailable


@pytest.mark.parametrize("party", ["x", "-1", "99999", ""])
def test_a_party_that_is_no_index_is_dropped(party):
    problem = status.problem_of(errors.PeerFailed("gone"))
    problem.party = party
    assert status.error_of(problem).party is None


def test_long_messages_are_cut_so_that_the_status_fits_its_header():
    ((_, data),) = status.trailing_metadata(errors.InternalError("x" * 100_000, remedy="y" * 100_000))
    assert len(data) < 4096


def test_a_code_from_the_future_is_an_error_of_ours():
    problem = status.problem_of(errors.PeerFailed("gone"))
    problem.code = "NOT_INVENTED_YET"
    assert type(status.error_of(problem)) is errors.MpcInferError
