"""training_examples straight from a simulated market, without landing zone and dbt, so that a claim can run 20 of them.

The columns and their meaning are those of the mart: features as of the beginning of the impression's day, nulls
without consent, conversions attributed to the last click.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.targeting import CreativeAttributes, Segment
from adplatform.simulator.market import Market

ATTRIBUTION_DAYS: Final = 3
DAY: Final = np.timedelta64(1, "D")


def impressions(market: Market) -> tuple[pa.Table, pa.Table, pa.Table]:
    """All impressions, clicks and conversions of the market, in the landing schema."""
    days = list(market.days())
    return (
        pa.concat_tables([d.impressions for d in days]),
        pa.concat_tables([d.clicks for d in days]),
        pa.concat_tables([d.conversions for d in days]),
    )


def training_examples(market: Market, events: tuple[pa.Table, pa.Table, pa.Table] | None = None) -> pa.Table:
    """The mart training_examples of all the market's days, in the order of its impressions."""
    shown, clicks, conversions = events or impressions(market)
    users, campaigns, ads = market.users(), market.campaigns(), market.creatives_library()
    user = _codes(shown["user_id"], users["user_id"])
    consent = pc.fill_null(users["consent"], False).to_numpy()[user]
    ad, campaign = (
        _codes(shown["creative_id"], ads["creative_id"]),
        _codes(shown["campaign_id"], campaigns["campaign_id"]),
    )
    day = shown["occurred_at"].to_numpy().astype("datetime64[D]")
    at = _codes(clicks["impression_id"], shown["impression_id"])
    clicked = np.zeros(shown.num_rows, np.int64)
    clicked[at] = 1
    first = day.min()
    index = ((day - first) / DAY).astype(np.int64)
    click_day = ((clicks["occurred_at"].to_numpy().astype("datetime64[D]") - first) / DAY).astype(np.int64)
    buyer = _codes(conversions["user_id"], users["user_id"])
    buy_day = ((conversions["occurred_at"].to_numpy().astype("datetime64[D]") - first) / DAY).astype(np.int64)
    known = user_features(
        users, (user, index), (user[at], click_day), (buyer, buy_day), np.datetime64(first), int(index.max()) + 1
    )
    exposures = _exposures(user, ad, index, len(ads))
    matured = day <= day.max() - ATTRIBUTION_DAYS * DAY
    converted, value = _attributed(shown, clicks, conversions, at, campaigns, campaign)
    hidden = ~consent
    labelled = matured & consent
    segment = pc.binary_join_element_wise(users["audience"], users["age_band"], "|")

    def of_user(column: pa.ChunkedArray) -> pa.Array:
        return _flat(column).take(pa.array(user, mask=hidden))

    columns = {
        "impression_id": shown["impression_id"],
        "event_day": pa.array(day.astype("datetime64[D]"), pa.date32()),
        "campaign_id": shown["campaign_id"],
        "user_id": of_user(users["user_id"]),
        "segment_id": of_user(segment),
        "policy_version": shown["policy_version"],
        "propensity": shown["propensity"],
        "experiment_id": shown["experiment_id"],
        "arm": shown["arm"],
        "is_matured": pa.array(matured),
        **{name: of_user(users[name]) for name in ("audience", "age_band", "region", "device")},
        "placement": shown["placement"],
        "product_category": _flat(campaigns["product_category"]).take(pa.array(campaign)),
        "tone": _flat(ads["tone"]).take(pa.array(ad)),
        "appeal": _flat(ads["appeal"]).take(pa.array(ad)),
        "creative_id": shown["creative_id"],
        "hour": pc.cast(pc.hour(shown["occurred_at"]), pa.int32()),
        "weekday": pc.cast(pc.day_of_week(shown["occurred_at"]), pa.int32()),
        "position": shown["position"],
        **{name: _masked(values[user, index], hidden | (values[user, index] < 0)) for name, values in known.items()},
        "creative_exposures_7d": _masked(exposures, hidden),
        "clicked": pa.array(clicked),
        "converted": pa.array(converted, mask=~labelled),
        "conversion_value": pa.array(value, mask=~labelled),
        "price": shown["price"],
    }
    return pa.table(columns)


def user_features(
    users: pa.Table,
    shown: tuple[np.ndarray, np.ndarray],
    clicks: tuple[np.ndarray, np.ndarray],
    conversions: tuple[np.ndarray, np.ndarray],
    first: np.datetime64,
    days: int,
) -> dict[str, np.ndarray]:
    """The mart's user features as matrices (users, days), -1 for null; each event is a (user, day) pair."""
    count = users.num_rows
    registered = users["registered_at"].to_numpy().astype("datetime64[D]")
    tenure = ((first - registered) / DAY).astype(np.int64)[:, None] + np.arange(days)
    last, clicked = np.full((count, days), -1), _daily(clicks, count, days)
    for d in range(1, days):
        last[:, d] = np.where(clicked[:, d - 1] > 0, d - 1, last[:, d - 1])
    bought = _daily(conversions, count, days)
    known = np.concatenate([[False], np.cumsum(bought.sum(axis=0))[:-1] > 0])
    return {
        "tenure_days": tenure,
        "user_impressions_7d": _before(_daily(shown, count, days), 7),
        "user_clicks_7d": _before(clicked, 7),
        "user_clicks_28d": _before(clicked, 28),
        "user_conversions_28d": np.where(known, _before(bought, 28), -1),
        "user_days_since_click": np.where(last < 0, -1, np.arange(days) - last),
    }


def creative_attributes(market: Market) -> list[CreativeAttributes]:
    """Every creative of the library as the models know it."""
    category = dict(zip(*(market.campaigns()[c].to_pylist() for c in ("campaign_id", "product_category")), strict=True))
    return [
        CreativeAttributes(
            creative_id=r["creative_id"], campaign_id=r["campaign_id"], tone=r["tone"], appeal=r["appeal"],
            product_category=category[r["campaign_id"]],
        )
        for r in market.creatives_library().to_pylist()
    ]  # fmt: skip


def segments(market: Market) -> list[Segment]:
    """The mart dim_segments."""
    users = market.users().to_pandas()
    counts = users[users["consent"]].groupby(["audience", "age_band"]).size()
    return [Segment(segment_id=f"{a}|{b}", users=int(n), audience=a, age_band=b) for (a, b), n in counts.items()]


def segment_performance(examples: pa.Table) -> pa.Table:
    """The mart segment_performance, less its money: matured impressions and clicks by segment and creative."""
    known = examples.filter(pc.and_(examples["is_matured"], pc.is_valid(examples["segment_id"])))
    keys = ["segment_id", "creative_id", "campaign_id"]
    out = known.group_by(keys).aggregate([("clicked", "count"), ("clicked", "sum"), ("user_id", "count_distinct")])
    return out.rename_columns([*keys, "impressions", "clicks", "users"])


def user_creative_exposures(examples: pa.Table) -> pa.Table:
    """The mart user_creative_exposures for every (user, creative) pair and day of ``examples``, rows above 0 alone."""
    known = examples.filter(pc.is_valid(examples["user_id"]))
    user, users = pd.factorize(known["user_id"].to_pandas())
    ad, ads = pd.factorize(known["creative_id"].to_pandas())
    day = known["event_day"].to_numpy().astype("datetime64[D]")
    index = ((day - day.min()) / DAY).astype(np.int64)
    days = int(index.max()) + 1
    pairs, pair = np.unique(user * len(ads) + ad, return_inverse=True)
    seen = _before(_daily((pair, index), len(pairs), days), 7)
    at, on = np.nonzero(seen)
    return pa.table({
        "user_id": pa.array(np.asarray(users)[pairs[at] // len(ads)].astype(str), pa.string()),
        "creative_id": pa.array(np.asarray(ads)[pairs[at] % len(ads)].astype(str), pa.string()),
        "feature_day": pa.array(day.min() + on * DAY, pa.date32()),
        "creative_exposures_7d": seen[at, on],
    })  # fmt: skip


def _exposures(user: np.ndarray, ad: np.ndarray, index: np.ndarray, ads: int) -> np.ndarray:
    pairs, pair = np.unique(user.astype(np.int64) * ads + ad, return_inverse=True)
    return np.asarray(_before(_daily((pair, index), len(pairs), int(index.max()) + 1), 7)[pair, index])


def _attributed(
    shown: pa.Table, clicks: pa.Table, conversions: pa.Table, at: np.ndarray, campaigns: pa.Table, campaign: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each impression has a conversion, and their value: last click of user and product, within the window."""
    product = campaigns["product_id"].to_pandas().to_numpy()
    left = pd.DataFrame(
        {
            "bought": conversions["occurred_at"].to_numpy(),
            "user": conversions["user_id"].to_pandas(),
            "product": conversions["product_id"].to_pandas(),
            "value": conversions["value"].to_numpy(),
        }
    ).sort_values("bought")
    right = pd.DataFrame(
        {
            "clicked": clicks["occurred_at"].to_numpy(),
            "user": shown["user_id"].take(pa.array(at)).to_pandas(),
            "product": product[campaign[at]],
            "row": at,
            "shown": shown["occurred_at"].take(pa.array(at)).to_numpy(),
        }
    ).sort_values("clicked")
    joined = pd.merge_asof(left, right, left_on="bought", right_on="clicked", by=["user", "product"]).dropna(
        subset=["row"]
    )
    joined = joined[joined["bought"] <= joined["shown"] + pd.Timedelta(days=ATTRIBUTION_DAYS)]
    row = joined["row"].to_numpy().astype(np.int64)
    value = np.bincount(row, weights=joined["value"], minlength=shown.num_rows)
    return (np.bincount(row, minlength=shown.num_rows) > 0).astype(np.int64), value


def _daily(events: tuple[np.ndarray, np.ndarray], count: int, days: int) -> np.ndarray:
    inside = (events[1] >= 0) & (events[1] < days)
    flat = np.bincount(events[0][inside] * days + events[1][inside], minlength=count * days)
    return flat.reshape(count, days).astype(np.int32)


def _before(daily: np.ndarray, window: int) -> np.ndarray:
    """Sum over the ``window`` days before each day, the day itself not counted; shape as ``daily``."""
    total = np.concatenate([np.zeros((len(daily), 1), np.int32), np.cumsum(daily, axis=1)], axis=1)
    days = daily.shape[1]
    return np.asarray(total[:, :days] - total[:, np.maximum(np.arange(days) - window, 0)])


def _masked(values: np.ndarray, hidden: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.int32), mask=hidden)


def _codes(ids: pa.ChunkedArray, among: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.index_in(ids, value_set=_flat(among)).to_numpy()).astype(np.int64)


def _flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
