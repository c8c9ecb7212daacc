"""Train a challenger, judge it, and promote it or keep the champion: once, for Dagster, the CLI and the sensors.

The last days of data are held out from every challenger; its verdict is computed on them. Marts are read under the
warehouse's lock and copied out, so no connection stays open while a model trains.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from adplatform.contracts.errors import InputError
from adplatform.contracts.promotion import ModelVersion, Promotion, Verdict
from adplatform.contracts.targeting import CreativeAttributes, PolicyEvaluation
from adplatform.promotion import promote
from adplatform.state import State
from adplatform.stats.calibration import Reliability, reliability
from adplatform.targeting.bandit import LoggingPolicy, Policy, SoftmaxPolicy, load_policy
from adplatform.targeting.baseline import BaseRateModel
from adplatform.targeting.collaborative import InteractionFactors, RankingScore, ranking_score
from adplatform.targeting.evaluation import evaluate
from adplatform.targeting.features import days_of
from adplatform.targeting.labels import challenge, challenge_policy
from adplatform.targeting.response import Response, ResponseModel, load_response

HELD_OUT_DAYS: Final = 3
"""Days that no challenger trains on; at the demo's size 30,000 impressions and about 900 clicks."""
VERDICTS: Final = "verdicts"
Days = tuple[date, ...]
First = tuple[Callable[[Path], object], dict[str, Any], Days]
"""How a first champion is saved, its metrics, and the days that it was trained on."""


def examples(state: State, where: str = "true", parameters: Sequence[Any] = ()) -> pa.Table:
    """Rows of the training_examples mart, in a fixed order."""
    query = f"select * from training_examples where {where} order by event_day, impression_id"
    return state.warehouse.read(query, list(parameters))


def distinct_days(table: pa.Table) -> Days:
    """Days of examples, in order."""
    return tuple(np.unique(days_of(table)).tolist())


def first_held_out(state: State) -> date:
    """First day of the held-out days. Raises InputError when there are too few days."""
    days = state.warehouse.read("select distinct event_day from training_examples order by 1")["event_day"].to_pylist()
    if len(days) < HELD_OUT_DAYS + 2:
        raise InputError(
            "training_examples", f"{len(days)} days of data", f"land at least {HELD_OUT_DAYS + 2} days before training"
        )
    first: date = days[-HELD_OUT_DAYS]
    return first


def creatives(state: State) -> list[CreativeAttributes]:
    """Every creative of the library with what the models know of it."""
    rows = state.warehouse.read(
        "select creative_id, campaign_id, product_category, tone, appeal from dim_creatives order by creative_id"
    )
    return [CreativeAttributes(**row) for row in rows.to_pylist()]


def publish(
    state: State, agent: str, save: Callable[[Path], object], seed: int, metrics: dict[str, Any],
    trained_on: Days | None = (), judged_on: Days | None = (),
) -> ModelVersion:  # fmt: skip
    """Save a model into the registry under its content hash, with the days that it was trained and judged on."""
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        return state.registry.publish(
            agent,
            Path(folder),
            data_version=state.warehouse.data_version(),
            data_through=state.data_through,
            seed=seed,
            metrics=metrics,
            trained_on=trained_on,
            judged_on=judged_on,
        )


def champion_of(state: State, agent: str, first: Callable[[], First]) -> ModelVersion:
    """The champion; where there is none yet, ``first`` makes one, and the history says that it is the first."""
    held = state.registry.champion(agent)
    if held is not None:
        return held
    save, metrics, days = first()
    version = publish(state, agent, save, 0, metrics, days)
    state.registry.promote(agent, version.version, "first champion: " + str(metrics["kind"]))
    return version


def judged(state: State, verdict: Verdict, challenger: ModelVersion, champion: ModelVersion) -> Verdict:
    """The verdict in registry versions, kept for the checks and for the champion asset."""
    named = verdict.model_copy(update={"challenger": challenger.version, "champion": champion.version})
    state.documents.put(VERDICTS, verdict.agent, named)
    return named


def train_factors(state: State) -> tuple[ModelVersion, RankingScore | None]:
    """Collaborative filtering on the clicks of all days; scored on held-out days by a fit on the days before them.

    No score where the log does not know a user twice.
    """
    cut, seed = first_held_out(state), state.settings.seed
    before, after = examples(state, "event_day < ?", [cut]), examples(state, "event_day >= ?", [cut])
    score = ranking_score(InteractionFactors.from_examples(before, seed=seed), before, after)
    known = examples(state)
    factors = InteractionFactors.from_examples(known, seed=seed)
    metrics = score._asdict() if score else {}
    version = publish(state, "interaction_factors", factors.save, seed, metrics, distinct_days(known))
    state.registry.promote("interaction_factors", version.version, "rebuilt from all days; nothing decides on it")
    return version, score


def challenge_response(state: State, threads: int = 2) -> Verdict:
    """Train a response model on the days before the held-out ones and judge it against the champion on those."""
    cut = first_held_out(state)
    train, held_out = examples(state, "event_day < ?", [cut]), examples(state, "event_day >= ?", [cut])

    def first() -> First:
        return BaseRateModel.fit(train).save, {"kind": "base rate by placement and creative"}, distinct_days(train)

    champion = champion_of(state, "response_model", first)
    model = ResponseModel.fit(train, seed=state.settings.seed, threads=threads)
    incumbent = load_response(state.registry.path("response_model", champion.version))
    verdict = challenge(train, held_out, model, incumbent)
    metrics = {"trained_through": model.trained_through.isoformat(), **{c.rule: c.figure for c in verdict.checks}}
    days = distinct_days(train), distinct_days(held_out)
    challenger = publish(state, "response_model", model.save, state.settings.seed, metrics, *days)
    return judged(state, verdict, challenger, champion)


def serving_response(state: State) -> Response:
    """The response model that serves. Raises InputError before the first training."""
    return _serving(state)[0]


def _serving(state: State) -> tuple[Response, ModelVersion]:
    champion = state.registry.champion("response_model")
    if champion is None:
        raise InputError("response_model", "has no champion", "materialize response_model_champion first")
    return load_response(state.registry.path("response_model", champion.version)), champion


def challenge_bandit(state: State) -> tuple[Verdict, PolicyEvaluation]:
    """Softmax over the response champion, valued on the held-out log against the champion policy."""
    cut = first_held_out(state)
    log = examples(state, "event_day >= ? and experiment_id is null", [cut])
    exposures = state.warehouse.read("select * from user_creative_exposures where feature_day >= ?", [cut])
    model, days = _reward_model(state, cut)

    def first() -> First:
        before = examples(state, "event_day < ?", [cut])
        return LoggingPolicy.fit(before).save, {"kind": "the policy that wrote the log"}, distinct_days(before)

    champion = champion_of(state, "bandit_policy", first)
    incumbent: Policy = load_policy(state.registry.path("bandit_policy", champion.version))
    policy = SoftmaxPolicy(model)
    evaluation = evaluate(log, policy, incumbent, model, creatives(state), exposures)
    metrics = {"value": evaluation.values[-1].value, "gain": evaluation.difference.value}
    challenger = publish(state, "bandit_policy", policy.save, state.settings.seed, metrics, days, distinct_days(log))
    state.documents.put("policy_evaluation", "bandit_policy", evaluation)
    verdict = challenge_policy(evaluation, examples(state), model)
    return judged(state, verdict, challenger, champion), evaluation


def _reward_model(state: State, cut: date) -> tuple[Response, Days | None]:
    """The serving model if it has not seen the held-out days, else one trained on the days before them; and its days."""
    serving, record = _serving(state)
    if serving.trained_through < cut:
        return serving, record.trained_on
    before = examples(state, "event_day < ?", [cut])
    return ResponseModel.fit(before, seed=state.settings.seed), distinct_days(before)


def crown(state: State, agent: str) -> Promotion:
    """Read the kept verdict and promote or keep. Raises InputError when no challenger was judged."""
    return promote(state.registry, state.documents.get(VERDICTS, agent, Verdict))


def reliability_on_held_out(state: State, version: str, bins: int = 10) -> Reliability:
    """Predicted against observed click rate of a response model on the held-out days, in equal-mass bins."""
    held_out = examples(state, "event_day >= ?", [first_held_out(state)])
    model = load_response(state.registry.path("response_model", version))
    return reliability(model.predict(held_out), held_out["clicked"].to_numpy(), bins)
