"""Whose fault it was that a session failed."""

from collections import Counter
from collections.abc import Mapping, Set

from mpc_infer.errors import (
    DeadlineExpired,
    MaterialUnusable,
    MpcInferError,
    PeerFailed,
    PeerTimeout,
    SessionAborted,
    Unavailable,
)


def fault(errors: Mapping[int, MpcInferError], silent: Set[int]) -> MpcInferError:
    """The one error of a failed session, with the party at fault where one is known.

    1. a party that refuses the job says why itself: its refusal is the reason, the others only noticed its absence;
    2. else a party that cannot be reached, or no longer answers the coordinator;
    3. else the party that most others name, by the error with which they name it;
    4. else whatever was said first.

    Args:
        errors: what the parties answered, by the index of who answered.
        silent: indices of parties that answered nothing, not even the order to stop.
    """
    refusals = {index: error for index, error in errors.items() if not _is_symptom(error)}
    if refusals:
        return _refusal(refusals, len(errors))
    unreachable = sorted(index for index, error in errors.items() if isinstance(error, Unavailable))
    if unreachable:
        return PeerFailed(errors[unreachable[0]].message, party=unreachable[0])
    if silent:
        return PeerTimeout(f"party {min(silent)} does not answer", party=min(silent))
    return _named(errors)


def _is_symptom(error: MpcInferError) -> bool:
    # A party that cannot use its material says so itself, before anything is spent: it is asked again without.
    symptoms = SessionAborted | Unavailable | DeadlineExpired
    return isinstance(error, symptoms) and not isinstance(error, MaterialUnusable)


def _refusal(refusals: Mapping[int, MpcInferError], answers: int) -> MpcInferError:
    index = min(refusals)
    error = refusals[index]
    same = all(type(each) is type(error) for each in refusals.values())
    if error.party is None and not (same and len(refusals) == answers > 1):
        error.party = index
    return error


def _named(errors: Mapping[int, MpcInferError]) -> MpcInferError:
    aborted = {index: error for index, error in errors.items() if isinstance(error, SessionAborted)}
    votes = Counter(error.party for index, error in aborted.items() if error.party is not None and error.party != index)
    if votes:
        accused = votes.most_common(1)[0][0]
        return next(error for index, error in aborted.items() if error.party == accused and index != accused)
    first = min(aborted or errors, default=None)
    return errors[first] if first is not None else DeadlineExpired("the deadline passed while the parties computed")
