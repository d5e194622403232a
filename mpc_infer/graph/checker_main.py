"""The process that runs ONNX's checker. It imports nothing of this package: it is started as a script.

Standard input: 8 bytes of length, a file, and again. Standard output: 4 bytes of length, and what is wrong with the
file; nothing where it is sound. It ends when its input does.
"""

import resource
import struct
import sys
from typing import Any, BinaryIO

ROOM_BYTES = 3 * 2**30
COPIES = 8
"""Address space: so much, and so many copies of the file."""
MAX_TEXT = 300


def main() -> None:
    """Check files until there are no more."""
    import onnx

    given, answers = sys.stdin.buffer, sys.stdout.buffer
    # What ONNX's own code prints must not come between the answers.
    sys.stdout = sys.stderr
    while len(head := given.read(8)) == 8:
        (size,) = struct.unpack(">Q", head)
        _limit_memory(size)
        _answer(answers, _judge(onnx, given.read(size)))


def _judge(onnx: Any, data: bytes) -> str:
    try:
        onnx.checker.check_model(data, full_check=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, the file is refused
        return str(error).strip().partition("\n")[0][:MAX_TEXT] or type(error).__name__
    return ""


def _limit_memory(size: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = ROOM_BYTES + COPIES * size
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _answer(answers: BinaryIO, text: str) -> None:
    data = text.encode("utf-8", "replace")
    answers.write(struct.pack(">I", len(data)) + data)
    answers.flush()


if __name__ == "__main__":
    main()
