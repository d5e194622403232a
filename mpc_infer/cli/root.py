"""The command `mpc-infer`."""

import os
import sys

import click

from mpc_infer import __version__
from mpc_infer.cli.lazy import Entry, LazyGroup
from mpc_infer.cli.output import EXIT_INTERRUPTED, exit_status, print_defect, print_error, print_trace
from mpc_infer.errors import MpcInferError

_COMMANDS = {
    "demo": Entry("mpc_infer.cli.demo:demo", "A whole network on this machine: train, publish, infer, verify."),
    "devnet": Entry("mpc_infer.cli.devnet:devnet", "A network to play with: keys, configuration, processes."),
    "model": Entry("mpc_infer.cli.model:model", "Check, publish, list, show and verify models; say what they cost."),
    "infer": Entry("mpc_infer.cli.infer:infer", "Send rows of a .npy or .csv file to a model."),
    "receipt": Entry("mpc_infer.cli.receipt:receipt", "Show and verify receipts."),
    "client": Entry("mpc_infer.cli.client:client", "Make the keys and the configuration of a client."),
    "party": Entry("mpc_infer.cli.serve:party", "Run a computing party."),
    "dealer": Entry("mpc_infer.cli.serve:dealer", "Run the dealer of correlated randomness."),
    "coordinator": Entry("mpc_infer.cli.serve:coordinator", "Run the coordinator."),
    "chain": Entry("mpc_infer.cli.chain:chain", "Run a development chain."),
}


@click.command(
    cls=LazyGroup,
    entries=_COMMANDS,
    epilog="Exit status: 0 done · 2 usage · 3 input, model or configuration refused · 4 not found · 5 request refused"
    " · 6 session aborted · 7 receipt invalid · 8 a service or the chain unavailable · 1 a defect.",
)
@click.version_option(__version__, package_name="mpc-infer")
@click.option("--debug", is_flag=True, help="Print tracebacks.")
def cli(debug: bool) -> None:
    """Private inference among several parties, with signed and anchored receipts."""


def _run(arguments: list[str]) -> int:
    """Run one command and turn whatever it raises into a message and an exit status."""
    # What serves writes to a log, where the traceback of a defect belongs; but no value that it may quote.
    debug = "--debug" in arguments
    traced = debug or "serve" in arguments
    try:
        result = cli.main(arguments, prog_name="mpc-infer", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except MpcInferError as error:
        if traced:
            print_trace(error, texts=debug)
        print_error(error, as_json="--json" in arguments)
        return exit_status(error)
    except BrokenPipeError:
        # The reader of our output went away; leave nothing for the interpreter to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last net of the process
        if traced:
            print_trace(error, texts=debug)
        print_defect(error, traced=traced)
        return 1


def main() -> None:
    """Entry point."""
    sys.exit(_run(sys.argv[1:]))
