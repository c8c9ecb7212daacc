"""Claim ``coverage``: the lift interval of the model that decides holds the truth.

The planted world, of another family than the model. Two choices were made after trial runs on other seeds: effects of the
model are Student's t and not normal, and experiments are sized by the product's own design at 90 % power (sized for a
single look, pooling drew the largest third of effects to 92.7 %):

- experiments come in batches of one advertiser each; an advertiser's mean log rate ratio is Normal(0, 0.05) and its
  effects are Laplace around it with a scale drawn uniformly from 0.1 to 0.3 (standard deviation 0.14 to 0.42; between
  arms of 1,898 headline experiments of the Upworthy archive it is 0.27). The model has Student's t on log odds ratios
  and one half-normal scale;
- the control rate is log-normal, median 2 %, log standard deviation 0.6 (the same archive: 1.6 % and 0.57), kept
  between 0.3 % and 20 %;
- a quarter of the experiments send 30 % of users to treatment, the others half; an experiment ends within 20 % of the
  size that the product's own design asks for (decisions.planned_users).

Effect size is the absolute log rate ratio. An interval that pools must hold a little more often than 95 % for small
effects and a little less for large ones; how far is what the thirds show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adplatform.contracts.claims import Claim
from adplatform.contracts.errors import AgentError
from adplatform.contracts.measurement import ArmCounts, ExperimentCounts, LiftEstimate
from adplatform.measurement.decisions import planned_users
from adplatform.measurement.hierarchical import HierarchicalLift
from adplatform.stats.claims import monte_carlo_band
from adplatform.stats.intervals import newcombe

Floats = NDArray[np.float64]
BAND: Final = (0.935, 0.965)
WIDEST: Final = 1.1
BATCH: Final = 50
LARGEST_REFUSED_SHARE: Final = 0.05


class Judged(NamedTuple):
    """One experiment's interval against its truth."""

    effect: float
    holds: bool
    relative_holds: bool
    width: float
    plain_holds: bool
    plain_width: float


class Planted(NamedTuple):
    """Experiments with their true log rate ratio, control and treatment rates, each (experiments,)."""

    counts: list[ExperimentCounts]
    effect: Floats
    control: Floats
    treatment: Floats


def plant(rng: np.random.Generator, size: int) -> Planted:
    """One advertiser's ``size`` experiments; see the module for the distributions."""
    control = np.exp(rng.normal(np.log(0.02), 0.6, size)).clip(0.003, 0.2)
    effect = rng.normal(0, 0.05) + rng.laplace(0, rng.uniform(0.1, 0.3), size)
    effect = effect.clip(-np.log(4), np.log(4))
    treatment = control * np.exp(effect)
    share = rng.choice([0.5, 0.5, 0.5, 0.3], size)
    counts = []
    for i in range(size):
        users = int(planned_users(float(control[i]), float(share[i])) * rng.uniform(0.8, 1.2))
        treated = int(rng.binomial(users, share[i]))
        counts.append(
            ExperimentCounts(
                experiment_id=f"e{i}",
                control=_arm("control", users - treated, float(control[i]), rng),
                treatment=_arm("treatment", treated, float(treatment[i]), rng),
                treatment_share=float(share[i]),
                designed_users=users,
            )
        )
    return Planted(counts, effect, control, treatment)


def judge(planted: Planted, lifts: list[LiftEstimate]) -> list[Judged]:
    """Each interval against the truth, beside Newcombe's two-proportion interval of the same counts."""
    found = []
    for i, (counts, lift) in enumerate(zip(planted.counts, lifts, strict=True)):
        truth = float(planted.treatment[i] - planted.control[i])
        ratio = float(planted.treatment[i] / planted.control[i] - 1)
        c, t, own, relative = counts.control, counts.treatment, lift.absolute_interval, lift.relative_interval
        plain = newcombe(c.successes, c.users, t.successes, t.users)
        found.append(
            Judged(
                effect=abs(float(planted.effect[i])),
                holds=own.low <= truth <= own.high,
                relative_holds=relative is not None and relative.low <= ratio <= relative.high,
                width=own.high - own.low,
                plain_holds=plain.low <= truth <= plain.high,
                plain_width=plain.high - plain.low,
            )
        )
    return found


def run(n: int = 2000, seed: int = 101, progress: Callable[[float], None] | None = None) -> Claim:
    """``n`` experiments through ``HierarchicalLift``, batch by batch, each batch with its own seed.

    A batch whose chains fail the diagnostics gets no figure in the product either: it is counted as refused and
    another takes its place.
    """
    model, batch = HierarchicalLift(), 0
    judged: list[Judged] = []
    refused: list[str] = []
    while len(judged) < n:
        size = min(BATCH, n - len(judged))
        planted = plant(np.random.default_rng(np.random.SeedSequence([seed, batch])), size)
        try:
            judged += judge(planted, model.fit(planted.counts, seed=seed * 10_000 + batch))
        except AgentError as error:
            refused.append(str(error))
            if len(refused) > max(3, LARGEST_REFUSED_SHARE * (batch + 1)):
                raise
        batch += 1
        if progress:
            progress(len(judged) / n)
    return conclude(judged, {"seed": seed, "batches": batch, "refused_batches": refused})


def conclude(judged: list[Judged], detail: dict[str, Any]) -> Claim:
    """The claim from its experiments.

    Holds when the coverage is in 93.5 to 96.5 %, that of each third of effect size too, and the mean width is at most
    1.1 times Newcombe's. Where n is too small for that band, it is the wider 99 % band of an exact 95 % interval.
    """
    n = len(judged)
    coverage = float(np.mean([j.holds for j in judged]))
    band, third_band = _band(n, 1), _band(n // 3, 3)
    order = np.argsort([j.effect for j in judged], kind="stable")
    thirds = [_third([judged[i] for i in part]) for part in np.array_split(order, 3)]
    ratio = float(sum(j.width for j in judged) / sum(j.plain_width for j in judged))
    inside = all(third_band[0] <= t["coverage"] <= third_band[1] for t in thirds)
    return Claim(
        name="coverage",
        claim="the 95 % lift interval of the hierarchical model holds the truth in 93.5 to 96.5 %",
        figure=coverage,
        holds=band[0] <= coverage <= band[1] and inside and ratio <= WIDEST,
        n=n,
        detail={
            **detail,
            "band": band,
            "band_of_thirds": third_band,
            "thirds_of_effect_size": thirds,
            "thirds_all_in_93.5_to_96.5": all(BAND[0] <= t["coverage"] <= BAND[1] for t in thirds),
            "relative_lift_coverage": float(np.mean([j.relative_holds for j in judged])),
            "mean_width": float(np.mean([j.width for j in judged])),
            "width_over_newcombe": ratio,
            "newcombe_coverage": float(np.mean([j.plain_holds for j in judged])),
        },
    )


def _third(part: list[Judged]) -> dict[str, Any]:
    return {
        "effect_from": min(j.effect for j in part),
        "effect_to": max(j.effect for j in part),
        "n": len(part),
        "coverage": float(np.mean([j.holds for j in part])),
        "mean_width": float(np.mean([j.width for j in part])),
        "width_over_newcombe": float(sum(j.width for j in part) / sum(j.plain_width for j in part)),
        "newcombe_coverage": float(np.mean([j.plain_holds for j in part])),
    }


def _band(n: int, cells: int) -> tuple[float, float]:
    exact = monte_carlo_band(0.95, max(n, 1), cells)
    return min(BAND[0], exact.low), max(BAND[1], exact.high)


def _arm(name: str, users: int, rate: float, rng: np.random.Generator) -> ArmCounts:
    return ArmCounts(arm=name, users=users, successes=int(rng.binomial(users, rate)))
