"""``python -m mpc_infer.party.lane DESCRIPTOR PARENT``: started by a party's main process, for nobody else."""

import gc
import signal
import socket
import sys

from mpc_infer import process, telemetry
from mpc_infer.errors import MpcInferError
from mpc_infer.party.frames import Message, encode, error_message, receive_frame
from mpc_infer.party.lane.inbox import Inbox
from mpc_infer.party.lane_setup import LaneSetup


def _bind_to(parent: int) -> None:
    """Die with the parent, even if it is killed; leave the end to the parent when signals reach the whole group."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    process.protect_memory()
    process.bind_to_parent(parent)


def main() -> None:
    """Read the setup, build the worker, serve until the socket closes."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    _bind_to(parent)
    sock = socket.socket(fileno=descriptor)
    try:
        setup = LaneSetup.from_message(receive_frame(sock))
    except EOFError:
        return
    telemetry.configure(level=setup.log_level, as_json=setup.log_json)
    try:
        # Imported here: torch takes seconds, and a parent that is gone by now should not wait for it.
        from mpc_infer.party.lane.worker import Worker

        inbox = Inbox(sock)
        worker = Worker(setup, inbox)
    except (MpcInferError, OSError) as error:
        failed = error if isinstance(error, MpcInferError) else MpcInferError(f"the lane cannot start: {error}")
        sock.sendall(encode(error_message(0, failed)))
        return
    gc.freeze()  # what was imported stays; the collector need not look at it during sessions
    sock.sendall(encode(Message("ready")))
    worker.serve()


if __name__ == "__main__":
    main()
