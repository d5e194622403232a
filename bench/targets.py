"""What the masked engine is to reach, and what a run of the benchmark says of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.rows import Row, find

OURS = "mpc-infer/masked"
FASTER: dict[tuple[str, int], tuple[float, float | None]] = {
    ("mlp", 1): (80, 30),
    ("mlp", 64): (15, 50),
    ("lenet", 1): (40, 25),
    ("resnet20", 1): (25, 15),
    ("transformer", 1): (20, 5),
    ("relu100k", 1): (15, 15),
    ("minilm", 1): (20, None),
}
"""Times faster online with two parties than stock CrypTen, and than the fastest protocol of SPU, by model and rows;
where nothing is said of SPU nothing is wanted of bytes either."""
FEWER_BYTES = 30.0
"""Times fewer bytes than stock CrypTen."""
CPU_SHARE = 0.25
"""Of stock CrypTen's CPU seconds on LeNet, dealer and offline work included."""
THREE_PARTIES = 2.0
"""Times slower than with two."""


@dataclass(frozen=True)
class Verdict:
    """One target of one model: what is wanted and what was measured; ``at_most`` or at least."""

    model: str
    batch: int
    what: str
    wanted: float
    measured: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether the measured figure is good enough."""
        return self.measured <= self.wanted if self.at_most else self.measured >= self.wanted


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """All targets that the rows say something of."""
    return [verdict for model, batch in FASTER for verdict in _of_model(rows, model, batch)]


def _of_model(rows: Sequence[Row], model: str, batch: int) -> Iterator[Verdict]:
    mine = find(rows, model=model, batch=batch, parties=2, system=OURS)
    if mine is None:
        return
    crypten = find(rows, model=model, batch=batch, parties=2, system="crypten")
    spu = [row for row in rows if (row["model"], row["batch"]) == (model, batch) and row["system"].startswith("spu/")]
    three = find(rows, model=model, batch=batch, parties=3, system=OURS)
    online, (than_crypten, than_spu) = mine["online_ms"], FASTER[model, batch]
    if crypten:
        yield Verdict(model, batch, "faster than CrypTen", than_crypten, crypten["online_ms"] / online)
    if crypten and than_spu is not None:
        yield Verdict(model, batch, "fewer bytes than CrypTen", FEWER_BYTES, crypten["bytes"] / mine["bytes"])
    if spu and than_spu is not None:
        best = min(row["online_ms"] for row in spu)
        yield Verdict(model, batch, "faster than the best of SPU", than_spu, best / online)
    if crypten and model == "lenet":
        share = mine["cpu_s"] / crypten["cpu_s"]
        yield Verdict(model, batch, "of CrypTen's CPU seconds", CPU_SHARE, share, at_most=True)
    if three:
        slower = three["online_ms"] / online
        yield Verdict(model, batch, "slower with three parties", THREE_PARTIES, slower, at_most=True)
