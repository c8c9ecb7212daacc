"""Publishes what the endpoints read, for an endpoint never opens the warehouse."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from adplatform.contracts.errors import InputError
from adplatform.state import State
from adplatform.store.profile_snapshot import EPOCH, ProfileManifest, write_profiles
from adplatform.store.profiles import MONTH, WEEK
from adplatform.store.snapshots import Pointed, Snapshots

EARLIER_DAYS: Final = 7
"""A snapshot tells the features of so many days before the end of its data too."""
LATE_DAYS: Final = 4
"""Outcomes this much later than the attribution window are still told from those that were landed."""
_DAY: Final = "cast({} - date '1970-01-01' as bigint)"
_USERS: Final = """
    select md5_number_lower(user_id) as key, user_id, segment_id, audience, age_band, region, device, registered_on,
        row_number() over (order by md5_number_lower(user_id), user_id) - 1 as user_row
    from dim_users"""
_CLICK_DAY: Final = (
    "cast((occurred_at + to_microseconds(cast(click_delay_seconds * 1e6 as bigint))) at time zone 'UTC' as date)"
)


def publish_profiles(state: State) -> Pointed:
    """Publish the consenting users with their daily counts as of the end of the data. Raises InputError without data."""
    with state.warehouse.lock():  # one state of the marts
        through = state.warehouse.data_through()
        if through is None:
            raise InputError("impressions", "no day is landed", "land one before user_profiles")
        window = state.warehouse.read(f"select {_DAY.format('first_conversion_day')} as day from int_data_window")
        users = state.warehouse.read("select count(*) as n from dim_users")["n"][0].as_py()
        last = through.toordinal() - EPOCH
        manifest = ProfileManifest(
            data_version=state.warehouse.data_version(), through=last, earliest=last + 1 - EARLIER_DAYS,
            settled=last - state.settings.attribution_days - LATE_DAYS,
            attribution_days=state.settings.attribution_days, first_conversion=window["day"][0].as_py(), users=int(users),
        )  # fmt: skip
        tables = _tables(state, manifest)
    snapshots = Snapshots(state.settings.profiles)
    return snapshots.publish(lambda folder: write_profiles(folder, tables, manifest), state.settings.keep_snapshots)


def _tables(state: State, manifest: ProfileManifest) -> dict[str, pa.Table]:
    read = state.warehouse.read
    from_day = {"week": manifest.earliest - WEEK, "month": manifest.earliest - MONTH, "landed": manifest.settled + 1}
    of = {name: f"date '1970-01-01' + {day}" for name, day in from_day.items()}
    return {
        "users": read(
            f"select * exclude (user_row, registered_on), {_DAY.format('registered_on')} as registered_on from ({_USERS}) "
            "order by user_row"
        ),
        "exposures": read(
            f"""select users.user_row as user, {_DAY.format("event_day")} as day, creative_id, count(*) as impressions
            from fct_impressions inner join ({_USERS}) as users using (user_id)
            where event_day >= {of["week"]} group by all order by all"""
        ),
        "outcomes": read(
            f"""with events as (
                select user_id, {_CLICK_DAY} as day, 1 as clicks, 0 as conversions
                from fct_impressions where clicked = 1
                union all
                select user_id, event_day, 0, 1 from stg_conversions
            )
            select users.user_row as user, {_DAY.format("day")} as day, cast(sum(clicks) as bigint) as clicks,
                cast(sum(conversions) as bigint) as conversions
            from events inner join ({_USERS}) as users using (user_id)
            where day >= {of["month"]} group by all order by all"""
        ),
        "landed": read(
            f"""select 'impression' as what, md5_number_lower(impression_id) as key, {_DAY.format("event_day")} as day
            from fct_impressions where user_id is not null and event_day >= {of["landed"]}
            union all
            select 'click', md5_number_lower(impression_id), {_DAY.format(_CLICK_DAY)}
            from fct_impressions where clicked = 1 and user_id is not null and event_day >= {of["landed"]}
            union all
            select 'conversion', md5_number_lower(conversion_id), {_DAY.format("event_day")}
            from stg_conversions where event_day >= {of["landed"]}
            order by all"""
        ),
    }
