"""``python -m mpc_infer.engine.masked.warm``: compile everything now, so that no role does when it starts.

For images and for networks on one machine. Kernels are kept where `preprocessing.compiled` says, for processors of this
machine's kind: elsewhere they are compiled anew.
"""

import sys
import time

import mpc_infer.engine.masked  # noqa: F401 - importing it compiles the parties' kernels and the dealer's


def main() -> int:
    """Command line."""
    print(f"the masked engine's kernels are compiled ({time.process_time():.1f} s of one core)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
