"""What a dealer must be told. ::

    [dealer]
    listen = "127.0.0.1:7100"
    keystore = "keys/dealer"

    [limits]                                # all optional
    max_plan_bytes = 1048576
    max_correction_bytes = 4294967296
    max_work = 68719476736
    max_concurrent = 4
    max_per_caller = 2
    request_s = 120.0
    grace_s = 10.0

Relative paths are relative to the file.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from mpc_infer.rpc.settings import HostPort, Section, read_toml, settings_from


class DealerSection(Section):
    """Where it listens and where its keys are."""

    listen: HostPort
    keystore: Path


class DealerLimits(Section):
    """What one request may cost.

    Attributes:
        max_plan_bytes: largest plan accepted.
        max_correction_bytes: most bytes of corrections that one request may declare, all batches together.
        max_work: most multiplications, all batches together; 2^36 are about a minute of one core.
        max_concurrent: requests worked on at one time; others wait for their turn.
        max_per_caller: of these, requests of one caller: one that reads slowly leaves room for the others.
        request_s: longest life of one request, waiting included, whatever deadline the caller sets.
        grace_s: seconds that running requests have to finish on SIGTERM.
    """

    max_plan_bytes: Annotated[int, Field(gt=0, le=64 << 20)] = 1 << 20
    max_correction_bytes: Annotated[int, Field(gt=0)] = 4 << 30
    max_work: Annotated[int, Field(gt=0)] = 1 << 36
    max_concurrent: Annotated[int, Field(gt=0, le=64)] = 4
    max_per_caller: Annotated[int, Field(gt=0, le=64)] = 2
    request_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    grace_s: Annotated[float, Field(ge=0, le=300)] = 10.0


class DealerConfig(Section):
    """Everything a dealer needs."""

    dealer: DealerSection
    limits: DealerLimits = DealerLimits()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a TOML file; a relative keystore is relative to it.

        Raises:
            ConfigError: it cannot be read or is wrong.
        """
        config = settings_from(cls, read_toml(path), path)
        section = config.dealer.model_copy(update={"keystore": path.parent / config.dealer.keystore})
        return config.model_copy(update={"dealer": section})
