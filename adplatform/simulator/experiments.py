"""Randomized experiments: for each campaign one no-ad holdout and two creative tests, users as units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from adplatform.simulator.arrow import build, ids, words
from adplatform.simulator.config import MarketConfig
from adplatform.simulator.population import midnight_us
from adplatform.simulator.streams import Array, stream
from adplatform.simulator.world import World, flight

HOLDOUT_TREATED = 0.8
_DAY_SECONDS = 86_400
NEVER = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Experiment:
    """One design. ``users`` are enrolled at ``assigned`` (seconds since the market's start), ``treated`` says the arm."""

    number: int
    campaign: int
    holdout: bool
    metric: str
    control: int
    treatment: int
    """Creatives of the arms; -1 in a holdout, where treatment sees ads and control sees none."""
    treatment_share: float
    first: int
    last: int
    """First and last day, counted from the market's first day."""
    users: Array
    treated: Array
    assigned: Array

    @property
    def experiment_id(self) -> str:
        """Its id, e.g. e05."""
        return f"e{self.number:02d}"


@dataclass(frozen=True)
class Arms:
    """For each (campaign, user): when the user stops seeing ads, and which test fixes the creative from when to when.

    ``test`` is the experiment's number (0: none), ``arm`` 1 for treatment; seconds since the market's start.
    """

    dark_from: Array
    dark_until: Array
    test: Array
    arm: Array
    test_from: Array


def draw_experiments(config: MarketConfig, world: World) -> list[Experiment]:
    """The experiments of this seed; a market under four days has none. Tests enrol users who are not held out."""
    if config.days < 4:
        return []
    found: list[Experiment] = []
    for campaign in range(len(world.category)):
        generator = stream(config.seed, "experiments", campaign)
        starts, ends = flight(config, campaign)
        first = max(0, (starts - config.first_day).days + 1) if starts > config.first_day else 0
        last = min(config.days - 1, (ends - config.first_day).days - 1)
        shuffled = generator.permutation(config.users)
        enrolled = np.sort(shuffled[: max(2, int(config.holdout_enrolled * config.users))])
        holdout = _design(generator, len(found) + 1, campaign, enrolled, HOLDOUT_TREATED, (first, last))
        found.append(holdout)
        held = np.zeros(config.users, dtype=bool)
        held[holdout.users[~holdout.treated]] = True
        free = generator.permutation(np.flatnonzero(~held))
        size = max(2, int(config.ab_enrolled * config.users))
        members = np.flatnonzero(world.campaign == campaign)
        for test in range(2):
            users = np.sort(free[test * size : (test + 1) * size])
            arms = generator.choice(members, 2, replace=False)
            days = (min(first + 1 + test, last), last)
            metric = "conversion" if test == 1 and not world.clicks_objective[campaign] else "click"
            found.append(_design(generator, len(found) + 1, campaign, users, (0.5, 0.4)[test], days, metric, arms))
    return found


def _design(
    generator: np.random.Generator,
    number: int,
    campaign: int,
    users: Array,
    share: float,
    days: tuple[int, int],
    metric: str = "conversion",
    arms: Array | None = None,
) -> Experiment:
    """Assign users to arms by independent coins, three quarters on the first day and the rest on the next two."""
    late = generator.choice(3, len(users), p=[0.75, 0.15, 0.10])
    day = np.minimum(days[0] + late, days[1])
    moment = np.where(
        late == 0, generator.integers(0, 3600, len(users)), generator.integers(0, _DAY_SECONDS, len(users))
    )
    return Experiment(
        number=number,
        campaign=campaign,
        holdout=arms is None,
        metric=metric,
        control=-1 if arms is None else int(arms[0]),
        treatment=-1 if arms is None else int(arms[1]),
        treatment_share=share,
        first=days[0],
        last=days[1],
        users=users,
        treated=generator.random(len(users)) < share,
        assigned=(day * _DAY_SECONDS + moment).astype(np.int32),
    )


def arms_of(config: MarketConfig, campaigns: int, experiments: list[Experiment]) -> Arms:
    """The experiments laid out by (campaign, user)."""
    shape = (campaigns, config.users)
    arms = Arms(
        dark_from=np.full(shape, NEVER, dtype=np.int32),
        dark_until=np.zeros(campaigns, dtype=np.int64),
        test=np.zeros(shape, dtype=np.int8),
        arm=np.zeros(shape, dtype=np.int8),
        test_from=np.full(shape, NEVER, dtype=np.int32),
    )
    for e in experiments:
        if e.holdout:
            held = ~e.treated
            arms.dark_from[e.campaign, e.users[held]] = e.assigned[held]
            arms.dark_until[e.campaign] = (e.last + 1) * _DAY_SECONDS
        else:
            arms.test[e.campaign, e.users] = e.number
            arms.arm[e.campaign, e.users] = e.treated
            arms.test_from[e.campaign, e.users] = e.assigned
    return arms


def experiments_table(config: MarketConfig, experiments: list[Experiment]) -> pa.Table:
    """The landing table ``experiments``."""

    def creative(index: int) -> str | None:
        return None if index < 0 else f"cr{index + 1:03d}"

    return build(
        "experiments",
        {
            "experiment_id": pa.array([e.experiment_id for e in experiments], pa.string()),
            "campaign_id": pa.array([f"c{e.campaign + 1:02d}" for e in experiments], pa.string()),
            "kind": pa.array(["holdout" if e.holdout else "creative_ab" for e in experiments], pa.string()),
            "metric": pa.array([e.metric for e in experiments], pa.string()),
            "control_creative_id": pa.array([creative(e.control) for e in experiments], pa.string()),
            "treatment_creative_id": pa.array([creative(e.treatment) for e in experiments], pa.string()),
            "treatment_share": pa.array([e.treatment_share for e in experiments], pa.float64()),
            "designed_users": pa.array([len(e.users) for e in experiments], pa.int64()),
            "starts_on": pa.array([config.first_day + timedelta(days=e.first) for e in experiments], pa.date32()),
            "ends_on": pa.array([config.first_day + timedelta(days=e.last) for e in experiments], pa.date32()),
        },
    )


def assignments_table(config: MarketConfig, experiments: list[Experiment]) -> pa.Table:
    """The landing table ``assignments``, by experiment and user."""
    return pa.concat_tables([*_assignments(config, experiments)])


def _assignments(config: MarketConfig, experiments: list[Experiment]) -> Iterator[pa.Table]:
    start = midnight_us(config)
    yield build(
        "assignments", {name: [] for name in ("assignment_id", "experiment_id", "user_id", "arm", "assigned_at")}
    )
    for e in experiments:
        count = len(e.users)
        yield build(
            "assignments",
            {
                "assignment_id": ids(f"{e.experiment_id}-u", e.users, 6),
                "experiment_id": words([e.experiment_id], np.zeros(count, dtype=int)),
                "user_id": ids("u", e.users, 6),
                "arm": words(("control", "treatment"), e.treated.astype(int)),
                "assigned_at": start + e.assigned.astype(np.int64) * 1_000_000,
            },
        )
