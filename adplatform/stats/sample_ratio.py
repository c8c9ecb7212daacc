"""Whether an experiment's arms have the sizes that its design asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from adplatform.contracts.errors import InputError


def p_value(counts: Sequence[int], shares: Sequence[float] | None = None) -> float:
    """Chi-square p of the arm sizes ``counts`` against the designed ``shares`` (equal when None).

    Under 0.001 is a sample ratio mismatch: do not read the experiment (Fabijan et al. 2019). 1.0 when no user has
    been assigned yet. Raises InputError on fewer than two arms, a negative count, or shares that are not positive.
    """
    observed = np.asarray(counts, dtype=np.float64)
    expected = np.full(observed.size, 1.0) if shares is None else np.asarray(shares, dtype=np.float64)
    if observed.ndim != 1 or observed.size < 2 or (observed < 0).any():
        raise InputError("counts", f"are {list(counts)}", "give the users of at least two arms, none negative")
    if expected.shape != observed.shape or not (expected > 0).all():
        raise InputError("shares", f"are {shares}", "give one positive share for each arm")
    if observed.sum() == 0:
        return 1.0
    expected = expected / expected.sum() * observed.sum()
    statistic = float(((observed - expected) ** 2 / expected).sum())
    return float(special.chdtrc(observed.size - 1, statistic))
