"""The jobs of a session: which of them run, what they give to the evaluation, and what each of them gets of it."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from mpc_infer.encoding import DIGEST_BYTES, same_digest
from mpc_infer.engine.api import Shares
from mpc_infer.errors import MpcInferError, PlanMismatch, Refused, WrongShape
from mpc_infer.graph import Graph
from mpc_infer.ids import Address, JobId, SessionId
from mpc_infer.sharing import encode_tensors, fresh_salt, output_context, share_commitment

Tensors = dict[str, NDArray[np.uint64]]
_VERDICT = struct.Struct(f"<B{DIGEST_BYTES}s")
_NO_COMMITMENT = bytes(DIGEST_BYTES)


@dataclass(frozen=True)
class SessionJob:
    """One job of a session, as one party sees it.

    Attributes:
        job_id: 32 bytes.
        rows: how many, one behind the other in the order of the jobs.
        terms: digest of whatever else this party was told of the job and has judged: the owner's request, and at which
            block. Whoever calls the parties could tell them different things: a job id alone does not say whose job
            it is, and two owners' shares must never meet in one job.
        inputs: this party's shares, by the graph's names; None: this party has refused the job.
    """

    job_id: JobId
    rows: int
    terms: bytes
    inputs: Shares | None = field(repr=False)


@dataclass(frozen=True, repr=False)
class JobResult:
    """What a job that ran gives one party.

    Attributes:
        share: this party's re-randomised share of every output, the job's rows only.
        salt: opens this party's commitment to it.
        commitments: all parties' commitments, by index.
    """

    share: Tensors
    salt: bytes
    commitments: tuple[bytes, ...]


def pack_verdicts(jobs: Sequence[SessionJob]) -> bytes:
    """What this party says of every job: one byte, 1 for accepted, and the terms. 33 bytes each."""
    return b"".join(_VERDICT.pack(job.inputs is not None, job.terms) for job in jobs)


def reasons_against(jobs: Sequence[SessionJob], packed: Sequence[bytes], rank: int) -> tuple[MpcInferError | None, ...]:
    """Why each job does not run; None: it does, for all parties have accepted it on the same terms.

    Args:
        jobs: this party's.
        packed: `pack_verdicts` of all parties, by index: of the same length. The same everywhere, and so is the set of
            jobs that run.
        rank: this party's index.
    """
    verdicts = [list(_VERDICT.iter_unpack(one)) for one in packed]
    return tuple(_reason([one[index] for one in verdicts], rank) for index in range(len(jobs)))


def _reason(verdicts: Sequence[tuple[int, bytes]], rank: int) -> MpcInferError | None:
    for party, (accepted, _) in enumerate(verdicts):
        if accepted != 1:
            return Refused(f"party {party} refused this job", party=party, remedy="see what that party says")
    for party, (_, terms) in enumerate(verdicts):
        if not same_digest(terms, verdicts[rank][1]):
            return PlanMismatch(f"party {party} was told something else of this job than this one", party=party)
    return None


def joined_inputs(
    graph: Graph, rows: int, jobs: Sequence[SessionJob], reasons: Sequence[MpcInferError | None]
) -> Tensors:
    """This party's shares of all jobs that run, each in its own rows; zeros in all other rows.

    Raises:
        WrongShape: a job's shares are not those of the graph's inputs for its rows, or there are too few rows.
    """
    joined = {spec.name: np.zeros(spec.with_batch(rows), np.uint64) for spec in graph.inputs}
    for job, reason, place in zip(jobs, reasons, places(jobs), strict=True):
        if place.stop > rows:
            raise WrongShape(f"the jobs have {place.stop} rows or more together, the session {rows}")
        if reason is None and job.inputs is not None:
            _put(joined, job.inputs, place)
    return joined


def _put(joined: Tensors, inputs: Shares, place: slice) -> None:
    if inputs.keys() != joined.keys():
        raise WrongShape(f"the inputs are {sorted(inputs)}, not {sorted(joined)}")
    for name, share in inputs.items():
        if share.shape != joined[name][place].shape:
            raise WrongShape(f"input {name!r} of a job has shape {share.shape}, not {joined[name][place].shape}")
        joined[name][place] = share


def places(jobs: Sequence[SessionJob]) -> list[slice]:
    """Where every job's rows are."""
    ends = accumulate(job.rows for job in jobs)
    return [slice(end - job.rows, end) for job, end in zip(jobs, ends, strict=True)]


def commit_jobs(
    outputs: Tensors,
    jobs: Sequence[SessionJob],
    reasons: Sequence[MpcInferError | None],
    session_id: SessionId,
    address: Address,
) -> tuple[list[JobResult | MpcInferError], bytes]:
    """Commit to the share of every job's rows by themselves, each under a fresh salt.

    Returns:
        For every job its share and salt, or the reason against it; and the commitments, 32 bytes each, zeros for jobs
        that did not run.
    """
    results: list[JobResult | MpcInferError] = []
    commitments = []
    for job, reason, place in zip(jobs, reasons, places(jobs), strict=True):
        share, salt = {name: output[place] for name, output in outputs.items()}, fresh_salt()
        context = output_context(session_id, job.job_id, address)
        results.append(reason or JobResult(share, salt, ()))
        commitments.append(_NO_COMMITMENT if reason else share_commitment(salt, context, encode_tensors(share)))
    return results, b"".join(commitments)


def with_commitments(
    results: Sequence[JobResult | MpcInferError], joined: Sequence[bytes]
) -> tuple[JobResult | MpcInferError, ...]:
    """The results with the commitments of all parties.

    Args:
        results: of all jobs.
        joined: of every party, what `commit_jobs` returned.
    """
    return tuple(
        replace(result, commitments=tuple(one[start : start + DIGEST_BYTES] for one in joined))
        if isinstance(result, JobResult)
        else result
        for start, result in zip(range(0, len(results) * DIGEST_BYTES, DIGEST_BYTES), results, strict=True)
    )
