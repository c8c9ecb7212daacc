"""Bernoulli Thompson sampling: how often each creative would take each position, by simulation.

Reproduces, draw for draw, ``obp.policy.BernoulliTS(is_zozotown_prior=True).compute_batch_action_dist``, the policy
that ran in the shop of the Open Bandit Dataset (Saito, Aihara, Matsutani and Narita 2021), without importing obp.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from adplatform.contracts.errors import InputError, SetupError

Floats = NDArray[np.float64]
BLOCK: Final = 4096
"""Draws at once: 4,096 x 80 items keep the working set under 8 MB."""


class BetaPrior(NamedTuple):
    """Beta parameters of each item's click rate, shape (items,)."""

    alpha: Floats
    beta: Floats


def obp_root() -> Path:
    """Directory of the installed obp package, found without importing it; SetupError when it is absent."""
    spec = find_spec("obp")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError("the Open Bandit Dataset is not installed", "run: pip install 'adplatform[open-bandit]'")
    return Path(next(iter(spec.submodule_search_locations)))


def production_prior(campaign: str, path: Path | None = None) -> BetaPrior:
    """The priors the shop's policy started from, for campaign ``all``, ``men`` or ``women``.

    ``path`` is a YAML file of ``campaign: {alpha: [...], beta: [...]}``; obp's own when None. Raises InputError for
    a campaign that the file lacks or parameters that are not positive, SetupError where obp is absent.
    """
    source = path or obp_root() / "policy" / "conf" / "prior_bts.yaml"
    content: dict[str, dict[str, Any]] = yaml.safe_load(source.read_text(encoding="utf-8"))
    if campaign not in content:
        raise InputError("campaign", f"{campaign!r} has no prior", f"give one of {', '.join(sorted(content))}")
    alpha, beta = (np.asarray(content[campaign][k], dtype=np.float64) for k in ("alpha", "beta"))
    if alpha.shape != beta.shape or alpha.ndim != 1 or not ((alpha > 0) & (beta > 0)).all():
        raise InputError(source.name, f"{campaign}: alpha and beta must be positive and paired", "mend the file")
    return BetaPrior(alpha, beta)


def action_distribution(
    alpha: ArrayLike, beta: ArrayLike, positions: int, *, simulations: int = 100_000, seed: int = 0
) -> Floats:
    """Share of simulations in which each item takes each position, shape (items, positions), columns sum to 1.

    Each simulation draws a rate for every item from Beta(alpha, beta) and gives position k to the item with the kth
    highest. The generator is numpy's MT19937, so that the shares equal obp's for the same seed. Raises InputError
    when there are fewer items than positions or no simulation is asked for.
    """
    a, b = np.asarray(alpha, dtype=np.float64), np.asarray(beta, dtype=np.float64)
    items = a.size
    if a.ndim != 1 or a.shape != b.shape or not 1 <= positions <= items or simulations < 1:
        raise InputError("positions", f"{positions} for {items} items, {simulations} simulations",
                         "give at least as many items as positions, and at least one simulation")  # fmt: skip
    generator = np.random.RandomState(seed)
    counts = np.zeros((positions, items), dtype=np.int64)
    for start in range(0, simulations, BLOCK):
        rates = generator.beta(a, b, size=(min(BLOCK, simulations - start), items))
        rows = np.arange(rates.shape[0])
        for position in range(positions):
            best = rates.argmax(axis=1)
            counts[position] += np.bincount(best, minlength=items)
            rates[rows, best] = -1.0
    return np.ascontiguousarray(counts.T / simulations)
