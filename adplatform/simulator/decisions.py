"""What is true of decisions: click probabilities with fatigue as it was, and the value of any policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from adplatform.contracts.errors import InputError
from adplatform.simulator.arrow import codes_of, ids, microseconds, numbers_of, words
from adplatform.simulator.config import GROUPS, LOGGING_POLICY, PLACEMENTS, Faults
from adplatform.simulator.history import ExposureHistory, History, context_table, impression_ids, impression_numbers
from adplatform.simulator.market import Market
from adplatform.simulator.population import DAY_US, midnight_us
from adplatform.simulator.replay import Pool, replay
from adplatform.simulator.response import context_effect
from adplatform.simulator.streams import Array, stream
from adplatform.simulator.world import drift_effect, utility

Policy = Callable[[pa.Table, list[str]], Array]
"""(contexts of n rows, k creative ids) -> (n, k) probabilities; rows add up to 1."""


class Decisions:
    """Truth about the decisions of one market. Fatigue and history are replayed once, when first needed (a second at tiny scale)."""

    def __init__(self, market: Market, faults: Faults) -> None:
        self._market, self._faults = market, faults
        self._config, self._world, self._population = market.config, market.world, market.population
        self._drift = drift_effect(self._world, self._population)

    @cached_property
    def _replayed(self) -> tuple[Pool, ExposureHistory, History]:
        return replay(self._market, self._faults)

    def click_probability(self, rows: pa.Table) -> Array:
        """(n,) true p(click) of logged impressions, fatigue as it was.

        Needs ``impression_id``, or ``user_id`` (no nulls), ``creative_id``, ``occurred_at``, ``placement``, ``position``.
        """
        columns = self._columns(rows)
        return self._probability(columns, columns["creative"])

    def click_probabilities(self, rows: pa.Table, creative_ids: Sequence[str]) -> Array:
        """(n, k) true p(click) had each of the creatives been shown instead; same columns as ``click_probability``."""
        creative = self._creatives(creative_ids)
        columns = {name: values[:, None] for name, values in self._columns(rows).items()}
        return self._probability(columns, creative[None, :])

    def action_probabilities(self, rows: pa.Table, creative_ids: Sequence[str]) -> Array:
        """(n, k) probabilities of the logging policy, outside experiments; the creatives of one campaign, all of them."""
        creative = self._creatives(creative_ids)
        campaign = self._one_campaign(creative)
        user = self._columns(rows)["user"]
        row = np.where(self._population.consent[user], self._population.group[user], GROUPS)
        slot = [int(np.flatnonzero(self._world.slots[campaign] == j)[0]) for j in creative]
        return np.asarray(self._world.policy[campaign, row][:, slot])

    def creative_ids(self, campaign_id: str) -> list[str]:
        """Ids of the campaign's creatives, in order."""
        own = self._world.slots[self._campaign(campaign_id)]
        return [f"cr{j + 1:03d}" for j in own[own >= 0]]

    def contexts(self, campaign_id: str, n: int | None = None, seed: int = 0) -> pa.Table:
        """Decision contexts of the campaign outside experiments, as a policy sees them (features as of time).

        ``n`` draws with replacement from those of the log, or all of them in order. ``impression_id`` comes along.
        """
        return self._contexts(self._decisions(campaign_id, n, seed))

    def exposures(self, contexts: pa.Table, creative_ids: Sequence[str]) -> pa.Table:
        """Exposures of consenting users in the layout of ``user_creative_exposures``: rows above 0 only."""
        known = contexts.filter(pc.is_valid(contexts["user_id"]))
        columns, creative = self._columns(known), self._creatives(creative_ids)
        _, exposures, _ = self._replayed
        pairs = np.unique(np.stack([columns["user"].astype(np.int64), columns["day"]], axis=1), axis=0)
        seen = exposures.of(pairs[:, :1], creative[None, :], pairs[:, 1:])
        row, column = np.nonzero(seen)
        first = midnight_us(self._config) // DAY_US
        return pa.table(
            {
                "user_id": ids("u", pairs[row, 0], 6),
                "creative_id": ids("cr", creative[column] + 1, 3),
                "feature_day": pa.array((first + pairs[row, 1]).astype(np.int32)).cast(pa.date32()),
                "creative_exposures_7d": pa.array(seen[row, column]),
            }
        )

    def policy_value(self, policy: Policy, campaign_id: str, n: int | None = None, seed: int = 0) -> float:
        """True expected clicks per decision of a policy, over the contexts of ``contexts(campaign_id, n, seed)``.

        Raises InputError if the policy's answer is not (n, k) probabilities.
        """
        index = self._decisions(campaign_id, n, seed)
        names = self.creative_ids(campaign_id)
        chance = np.asarray(policy(self._contexts(index), names), dtype=float)
        if chance.shape != (len(index), len(names)) or not np.isfinite(chance).all():
            raise InputError(
                "policy", f"answered shape {chance.shape}", f"answer finite probabilities ({len(index)}, {len(names)})"
            )
        if (chance < -1e-12).any() or np.abs(chance.sum(axis=1) - 1).max() > 1e-6:
            raise InputError("policy", "its probabilities do not add up to 1", "normalise each row")
        return float((chance * self._true_rates(index, names)).sum(axis=1).mean())

    def draw_log(self, campaign_id: str, n: int, seed: int) -> pa.Table:
        """A fresh log of the logging policy: ``contexts`` with creative, propensity and click drawn anew.

        The value it estimates is ``policy_value(policy, campaign_id)`` over all contexts.
        """
        index = self._decisions(campaign_id, n, seed)
        names = self.creative_ids(campaign_id)
        generator = stream(self._config.seed, "fresh log", seed)
        pool, _, _ = self._replayed
        user = pool.user[index]
        row = np.where(self._population.consent[user], self._population.group[user], GROUPS)
        chance = self._world.policy[self._campaign(campaign_id), row][:, : len(names)]
        slot = (generator.random(n)[:, None] > chance.cumsum(axis=1)).sum(axis=1).clip(max=len(names) - 1)
        creative = self._creatives(names)[slot]
        clicked = generator.random(n) < self._true_rates(index, names)[np.arange(n), slot]
        table = self._contexts(index, creative)
        extra = {
            "policy_version": words([LOGGING_POLICY], np.zeros(n, dtype=int)),
            "propensity": pa.array(chance[np.arange(n), slot]),
            "clicked": pa.array(clicked.astype(np.int64)),
        }
        for name, column in extra.items():
            table = table.append_column(name, column)
        return table

    def _decisions(self, campaign_id: str, n: int | None, seed: int) -> Array:
        pool, _, _ = self._replayed
        own = np.flatnonzero((pool.campaign == self._campaign(campaign_id)) & (pool.test == 0))
        if len(own) == 0:
            raise InputError("campaign_id", f"{campaign_id} has no decision", "take a campaign that was on air")
        return own if n is None else own[stream(self._config.seed, "contexts", seed).integers(0, len(own), n)]

    def _true_rates(self, index: Array, creative_ids: Sequence[str]) -> Array:
        columns = {name: values[:, None] for name, values in self._replayed[0].rows(index).items()}
        return self._probability(columns, self._creatives(creative_ids)[None, :])

    def _contexts(self, index: Array, creative: Array | None = None) -> pa.Table:
        pool, exposures, history = self._replayed
        columns = pool.rows(index)
        if creative is not None:
            columns["creative"] = creative
        columns["exposures"] = exposures.of(columns["user"], columns["creative"], columns["day"])
        table = context_table(self._config, self._population, self._world, history, columns)
        return table.add_column(
            0, "impression_id", impression_ids(self._config, columns["day"], index - pool.first[columns["day"]])
        )

    def _probability(self, columns: dict[str, Array], creative: Array) -> Array:
        user, day = columns["user"], columns["day"]
        world = self._world
        creative = creative.astype(np.int64)
        category = world.category[world.campaign[creative]]
        odds = utility(
            world,
            self._population,
            user,
            world.tone[creative],
            world.appeal[creative],
            world.quality[creative],
            category,
        )
        if self._faults.taste_drift_from is not None:
            drifted = day >= (self._faults.taste_drift_from - self._config.first_day).days
            odds = odds + np.where(drifted, self._drift[self._population.group[user], creative], 0.0)
        hour = columns["at_us"] // (DAY_US // 24) % 24
        weekday = (self._config.first_day.weekday() + day) % 7
        device = self._population.device[user]
        odds = odds + context_effect(world, device, hour, weekday, columns["placement"], columns["position"])
        _, exposures, _ = self._replayed
        return np.asarray(expit(odds) * (1.0 + exposures.of(user, creative, day)) ** -self._config.fatigue)

    def _columns(self, rows: pa.Table) -> dict[str, Array]:
        """Codes of impressions: from the replay by their id where they have one, so that rows without consent can be asked."""
        if "impression_id" in rows.column_names:
            pool, _, _ = self._replayed
            day, number = impression_numbers(self._config, rows["impression_id"])
            inside = (day >= 0) & (day < self._config.days)
            index = np.where(inside, pool.first[day.clip(0, self._config.days - 1)] + number, -1)
            if not inside.all() or (index >= pool.first[day + 1]).any():
                raise InputError(
                    "impression_id",
                    "not an impression of this market",
                    "ask the oracle of the market that made the rows",
                )
            columns = pool.rows(index)
            if "creative_id" in rows.column_names:
                columns["creative"] = self._creatives(rows["creative_id"])
            return columns
        at_us = microseconds(rows["occurred_at"])
        return {
            "user": numbers_of(rows["user_id"], 1),
            "creative": self._creatives(rows["creative_id"]),
            "at_us": at_us,
            "day": (at_us - midnight_us(self._config)) // DAY_US,
            "placement": codes_of(rows["placement"], PLACEMENTS),
            "position": np.asarray(rows["position"].to_numpy()) - 1,
        }

    def _creatives(self, creative_ids: Sequence[str] | pa.ChunkedArray) -> Array:
        known = [f"cr{j + 1:03d}" for j in range(len(self._world.tone))]
        column = (
            creative_ids if isinstance(creative_ids, pa.ChunkedArray) else pa.array(list(creative_ids), pa.string())
        )
        found = codes_of(column, known)
        if (found < 0).any():
            raise InputError(
                "creative_id",
                f"{column[int(found.argmin())]} is not a creative of this market",
                f"take {known[0]} to {known[-1]}",
            )
        return found

    def _campaign(self, campaign_id: str) -> int:
        known = [f"c{c + 1:02d}" for c in range(len(self._world.category))]
        if campaign_id not in known:
            raise InputError("campaign_id", f"unknown campaign {campaign_id!r}", f"take {known[0]} to {known[-1]}")
        return known.index(campaign_id)

    def _one_campaign(self, creative: Array) -> int:
        campaigns = np.unique(self._world.campaign[creative])
        if len(campaigns) != 1:
            raise InputError("creative_ids", "they belong to several campaigns", "take those of one campaign")
        return int(campaigns[0])
