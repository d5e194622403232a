"""`python -m mpc_infer.cli` is `mpc-infer`."""

from mpc_infer.cli.root import main

if __name__ == "__main__":
    main()
