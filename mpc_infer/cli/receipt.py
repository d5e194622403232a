"""`mpc-infer receipt`: what anyone can do with a receipt, without being a party, a client or a member of anything."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpc_infer.cli.options import ExistingFile, json_option
from mpc_infer.cli.output import print_json

if TYPE_CHECKING:
    from mpc_infer.chain import Registry
    from mpc_infer.evidence.bundle import Bundle
    from mpc_infer.evidence.facts import RegistryFacts

CLAIM = "A signature says what a party claims it ran; nothing proves that it did not deviate (docs/security_model.md)."


@click.group()
def receipt() -> None:
    """Show and verify receipts (bundle files)."""


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def describe(bundle: "Bundle") -> dict[str, Any]:
    """A bundle's public contents, unverified; nothing of its openings but whether they are there."""
    from mpc_infer.evidence.eip712 import engine_name

    said, inclusion = bundle.signed.receipt, bundle.inclusion
    return {
        "job_id": said.job_id.hex(),
        "model_hash": said.model_hash.hex(),
        "party_set": said.party_set.hex(),
        "engine": engine_name(said.engine),
        "plan_digest": said.plan_digest.hex(),
        "input_root": said.input_root.hex(),
        "output_commitment": said.output_commitment.hex(),
        "transcript": said.transcript.hex(),
        "started": _time(said.started),
        "finished": _time(said.finished),
        "registry_block": said.registry_block,
        "chain_id": bundle.chain_id,
        "receipt_anchor": bundle.contracts.receipt_anchor,
        "signers": [signer for signer, _ in bundle.signed.signatures],
        "opens_input": bundle.input_openings is not None,
        "opens_output": bundle.output_openings is not None,
        "root": None if inclusion is None else inclusion.root.hex(),
        "transaction": None if inclusion is None else "0x" + inclusion.transaction.hex(),
    }


@receipt.command()
@click.argument("file", type=ExistingFile)
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show what FILE says. Nothing is verified."""
    from mpc_infer.evidence.bundle import Bundle

    shown = describe(Bundle.load(file))
    if as_json:
        print_json(shown)
        return
    for name, value in shown.items():
        click.echo(f"{name.replace('_', ' '):<18} {', '.join(value) if isinstance(value, list) else value}")
    click.echo("not verified: `mpc-infer receipt verify` does that")


def _registry(
    rpc_url: str | None, config_file: Path | None, contracts: tuple[str, str, str] | None
) -> "Registry | None":
    """The chain and the contracts that the verifier trusts; never those that a bundle names. None: not given."""
    from mpc_infer.chain import ContractAddresses, Registry
    from mpc_infer.client.config import ClientConfig
    from mpc_infer.encoding import address_bytes, to_address
    from mpc_infer.ids import Address

    config = None if config_file is None else ClientConfig.load(config_file).chain
    url = rpc_url or (config.rpc_url if config else None)
    if config is not None and contracts is None:
        contracts = (config.party_registry, config.model_registry, config.receipt_anchor)
    if url is None or contracts is None:
        return None
    return Registry(url, ContractAddresses(*(to_address(address_bytes(Address(text))) for text in contracts)))


def _facts(registry: "Registry | None", facts_file: Path | None) -> "RegistryFacts":
    from mpc_infer.chain.facts import ChainFacts
    from mpc_infer.evidence.facts_file import load_facts

    if facts_file is not None and registry is None:
        return load_facts(facts_file)
    if registry is not None and facts_file is None:
        return ChainFacts(registry)
    raise click.UsageError("say whom to believe: --config FILE, or --rpc URL and --contracts, or --offline FACTS")


@receipt.command()
@click.argument("file", type=ExistingFile)
@click.option("--config", "config_file", type=ExistingFile, help="A client's TOML file: a chain and its contracts.")
@click.option("--rpc", "rpc_url", help="JSON-RPC endpoint of the chain, if not the configuration's.")
@click.option(
    "--contracts", nargs=3, metavar="PARTY_REGISTRY MODEL_REGISTRY RECEIPT_ANCHOR", help="Contracts that you trust."
)
@click.option(
    "--offline", "facts_file", metavar="FACTS", type=ExistingFile, help="Ask no chain: believe what this file recorded."
)
@json_option
def verify(
    file: Path,
    config_file: Path | None,
    rpc_url: str | None,
    contracts: tuple[str, str, str] | None,
    facts_file: Path | None,
    as_json: bool,
) -> None:
    """Verify FILE in seven steps, against a chain or against recorded facts. Needs no key and no membership.

    Whom to believe is said by --config, by --rpc and --contracts, or by --offline; a bundle cannot vouch for itself.
    """
    from mpc_infer.evidence.bundle import Bundle
    from mpc_infer.evidence.verify import verify_receipt

    bundle = Bundle.load(file)
    verified = verify_receipt(bundle, _facts(_registry(rpc_url, config_file, contracts), facts_file))
    against = "chain" if facts_file is None else "recorded facts"
    if as_json:
        print_json({"verified": True, "against": against, "steps": list(verified.steps), **describe(bundle)})
        return
    for number, step in enumerate(verified.steps, 1):
        click.echo(f"{number}. ok: {step}")
    click.echo(f"verified: job {verified.receipt.job_id.hex()[:16]}, {len(verified.members)} parties")
    if facts_file is not None:
        click.echo(f"no chain was asked: this is as good as whoever wrote {facts_file}")
    click.echo(CLAIM)
