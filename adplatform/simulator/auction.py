"""Auctions against lognormal competition with floors: who wins, at what price, and what impressions cost.

All log prices are relative to the market's base, the placement's and the hour's; a bidder scales its bid by both,
so its chance to win is the same in every placement and hour and depends on segment and bid alone. Never on the
creative: the logged propensity stays the probability of the choice given the impression.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from adplatform.simulator.streams import Array
from adplatform.simulator.world import World, first_price_mask

LOG_BASE = float(np.log(0.0042))
"""Log of the competition's median price, in currency per impression."""
SPREAD = 0.6
"""Standard deviation of the competition's log price."""
LOG_FLOOR = -0.9
BID_NOISE = 0.1
"""Standard deviation of our log bid around the campaign's bid of the day."""
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(15)


def win_probability(log_bid: Array, log_price: Array) -> Array:
    """P(bid >= competition) at a bid that is certain; a bid under the floor is raised to it."""
    return np.asarray(ndtr((np.maximum(log_bid, LOG_FLOOR) - log_price) / SPREAD))


def payment(log_bid: Array, log_price: Array, first_price: bool) -> Array:
    """E[price paid; win] in units of the base: the bid, or the best competing bid or floor in a second-price auction."""
    bid = np.maximum(log_bid, LOG_FLOOR)
    if first_price:
        return np.asarray(np.exp(bid) * ndtr((bid - log_price) / SPREAD))
    under = ndtr((LOG_FLOOR - log_price) / SPREAD)
    top = ndtr((bid - log_price - SPREAD**2) / SPREAD)
    bottom = ndtr((LOG_FLOOR - log_price - SPREAD**2) / SPREAD)
    return np.asarray(np.exp(LOG_FLOOR) * under + np.exp(log_price + SPREAD**2 / 2) * (top - bottom))


def noisy_win(log_bid: Array, log_price: Array) -> Array:
    """P(win) when the log bid carries BID_NOISE."""
    weights = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()
    return np.asarray(
        sum(w * win_probability(log_bid + BID_NOISE * x, log_price) for x, w in zip(_NODES, weights, strict=True))
    )


def noisy_payment(world: World, log_bid: Array, log_price: Array) -> Array:
    """E[price paid; win] in currency, over placements, hours and the noise of the bid."""
    weights = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()
    total = np.zeros(np.broadcast(log_bid, log_price).shape)
    for first_price in (True, False):
        share = price_level(world, first_price)
        for x, w in zip(_NODES, weights, strict=True):
            total = total + share * w * payment(log_bid + BID_NOISE * x, log_price, first_price)
    return np.asarray(total)


def price_level(world: World, first_price: bool) -> float:
    """Mean price level, in currency, of the traffic sold in that kind of auction, times its share of the traffic."""
    kind = first_price_mask() == first_price
    placement = float((world.placement_weight * np.exp(world.placement_price))[kind].sum())
    hour = float((world.hour_weight * np.exp(world.hour_price)).sum())
    return float(np.exp(LOG_BASE)) * placement * hour


class SupplyCurve:
    """What share of the requests of a segment a spend buys, at the one bid that exhausts it; concave and increasing.

    ``dcost/dshare = bid + (share of first-price traffic) * F / f`` grows with the bid as the lognormal F is log-concave.
    """

    def __init__(self, world: World, log_price: float) -> None:
        bids = np.linspace(LOG_FLOOR, log_price + 5 * SPREAD, 600)
        share = win_probability(bids, np.array(log_price))
        cost = price_level(world, True) * payment(bids, np.array(log_price), True)
        cost = cost + price_level(world, False) * payment(bids, np.array(log_price), False)
        self._share = np.concatenate([[0.0], share])
        self._cost = np.concatenate([[0.0], cost])

    def share(self, cost_per_request: Array) -> Array:
        """Share of requests won when this much is spent per request (won or not); flat once all are won."""
        return np.asarray(np.interp(cost_per_request, self._cost, self._share))

    @property
    def full_cost(self) -> float:
        """Spend per request that wins them all."""
        return float(self._cost[-1])
