"""What kind of thing a parameter is, as its layer declares it. The optimizers go by this alone."""

from __future__ import annotations

from typing import Literal

Group = Literal["matrix", "table", "head", "vector"]
"""Of a product inside a block; of embeddings; of the output head; biases and norm weights."""

DECAYED: frozenset[Group] = frozenset({"matrix", "table", "head"})
"""What weight decay shrinks. A bias or a norm's weight has one number for a whole channel: pulling
it to 0 would shift what the channel means, and it is too few numbers to overfit with."""

ORTHOGONALIZED: frozenset[Group] = frozenset({"matrix"})
"""What Muon moves. A table's rows and the head's belong to single tokens, most of which a step has
no gradient for, so there are no directions to balance (Jordan et al. 2024)."""
