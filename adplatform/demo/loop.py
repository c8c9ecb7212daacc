"""The stages of the demo, timed, each a Dagster run that the UI shows afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from adplatform import asset_keys
from adplatform.contracts.claims import Claim
from adplatform.demo import claims as demo_claims
from adplatform.demo import data
from adplatform.demo.pool import pool
from adplatform.report.summary import write_report
from adplatform.settings import Settings, settings


class DemoRequest(NamedTuple):
    """What to load and how much of it to run."""

    dataset: str
    scale: str
    seed: int
    last_day: date | None
    campaigns: int | None
    claims: bool


@dataclass(frozen=True)
class DemoResult:
    """Where the report is, and whether every stage, check and claim went well."""

    report: Path
    summary: dict[str, Any]
    ok: bool


@dataclass
class Stages:
    """Seconds by stage, and what failed."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, steps: int | None = None) -> Iterator[Callable[[float], None]]:
        """Time a stage and show it; yields a function that moves its bar (share done)."""
        task = self.progress.add_task(name, total=1.0 if steps else None)
        started = time.perf_counter()
        try:
            yield lambda share: self.progress.update(task, completed=share)
        finally:
            self.seconds[name] = round(time.perf_counter() - started, 2)
            self.progress.update(task, total=1.0, completed=1.0)


def run_demo(wanted: DemoRequest, console: Console) -> DemoResult:
    """Run every stage. Raises InputError when the home holds another data set."""
    from adplatform.defs.runs import instance

    config = settings()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        stages = Stages(progress)
        with stages.stage("data"):
            if wanted.dataset == "open-bandit":
                loaded = data.open_bandit(config)
            else:
                loaded = data.simulated(config, wanted.scale, wanted.seed, wanted.last_day)
        config = settings()  # dataset.json is there now
        with instance(config) as found:
            _materialize_all(stages, found, loaded, config, wanted.campaigns)
            online = None
            if not stages.failures and _reaches_today(loaded):
                online = _online(stages, found, loaded, config)
            elif not stages.failures:
                _drift(stages, found)
        claims = _claims(stages, config, loaded) if wanted.claims and not stages.failures else []
        with stages.stage("report"):
            path, summary = write_report(
                config, loaded, stages.seconds, claims, stages.failures, datetime.now(UTC), online
            )
    for failure in stages.failures:
        console.print(f"failed: {failure}", markup=False, soft_wrap=True)
    for claim in claims:
        state = {True: "holds", False: "DOES NOT HOLD", None: "cannot tell"}[claim.holds]
        console.print(f"claim {claim.name}: {state} (figure {claim.figure}, n {claim.n})", markup=False)
    return DemoResult(path, summary, not stages.failures and all(c.holds is not False for c in claims))


def _materialized(
    found: dg.DagsterInstance, name: str, selection: str, partition: str | None = None
) -> tuple[bool, list[str]]:
    """Materialize: whether every step went well, and what failed, checks too."""
    from adplatform.definitions import defs
    from adplatform.launch import failed_checks, materialize, root_cause

    result = materialize(defs, found, selection, partition)
    failed = [f"{name}: {e.step_key}: {root_cause(e)}" for e in result.all_events if e.is_step_failure]
    failed += [f"{name}: {check}" for check in failed_checks(result) if "_challenger" not in check]
    return result.success, failed


def _run(stages: Stages, found: dg.DagsterInstance, name: str, selection: str, partition: str | None = None) -> bool:
    """Materialize; what failed is kept in ``stages``. Whether all went well."""
    ok, failed = _materialized(found, name, selection, partition)
    stages.failures += failed
    return ok


def _apart(name: str, selection: str, partition: str | None = None) -> list[str]:
    """Materialize in a process of the pool; what failed."""
    from adplatform.defs.runs import instance

    with instance() as found:
        return _materialized(found, name, selection, partition)[1]


def _materialize_all(
    stages: Stages, found: dg.DagsterInstance, loaded: dict[str, Any], config: Settings, limit: int | None
) -> None:
    """What waits for no other is done beside in processes of a pool: the language model's conversion while data is landed
    and built, and copy, which needs that model and a brief alone, while the agents are trained.
    """

    def run(name: str, selection: str, partition: str | None = None) -> bool:
        return _run(stages, found, name, selection, partition)

    published = " or ".join(f"key:{k}" for k in asset_keys.PUBLISHED)
    agents = f"(group:targeting or group:measurement or group:delivery or {published})"
    worded = f"key:{asset_keys.CAMPAIGN_CREATIVES}"
    planned = " or ".join(f"key:{k}" for k in asset_keys.PER_CAMPAIGN if k != asset_keys.CAMPAIGN_CREATIVES)
    campaigns = sorted(p.stem for p in (config.home / "briefs").glob("*.yaml"))[:limit]
    with pool(niceness=10) as processes:
        converted = processes.submit(_apart, "language model", f"key:{asset_keys.COPY_MODEL}")
        if not _land_and_build(stages, loaded, run):
            return
        with stages.stage("language model"):
            failed = converted.result()
        stages.failures += failed
        if failed:
            return
        creatives = {processes.submit(_apart, f"campaign {c}", worded, c): c for c in campaigns}
        with stages.stage("agents"):
            ok = run("agents", f"{agents} and not ({worded} or {planned})")
        if not ok:
            return
        with stages.stage("campaigns", len(campaigns)) as advance:
            for number, done in enumerate(as_completed(creatives), start=1):
                failed = done.result()
                stages.failures += failed
                if not failed:
                    run(f"campaign {creatives[done]}", planned, creatives[done])
                advance(number / len(campaigns))


def _land_and_build(stages: Stages, loaded: dict[str, Any], run: Callable[..., bool]) -> bool:
    present = set(loaded["tables"])
    snapshots = " or ".join(f"key:{t}" for t in asset_keys.LANDING_SNAPSHOTS if t in present)
    daily = " or ".join(f"key:{t}" for t in asset_keys.LANDING_DAILY if t in present)
    with stages.stage("landing"):
        if not (run("landing", snapshots) and run("landing", daily, f"{loaded['first_day']}...{loaded['last_day']}")):
            return False
    with stages.stage("behaviour"):
        return run("behaviour", "group:behaviour")


def _reaches_today(loaded: dict[str, Any]) -> bool:
    """Whether the market's data ends yesterday, so that what is decided today follows it without a gap."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    return bool(loaded["name"] == "simulated" and loaded["last_day"] == yesterday.isoformat())


def _online(
    stages: Stages, found: dg.DagsterInstance, loaded: dict[str, Any], config: Settings
) -> dict[str, Any] | None:
    """Serve, decide, land what came of it, look for drift, train again, and see the gateway take what was promoted."""
    from adplatform.demo import online
    from adplatform.store.registry import Registry

    market = online.market_of(loaded)
    with ExitStack() as running:
        with stages.stage("serve and decide", 1) as advance:
            client = running.enter_context(online.gateway(config))
            played = online.play(client, market, config.seed, advance)
        today = datetime.now(UTC).date().isoformat()
        with stages.stage("land decisions"):
            _run(stages, found, "decision log", f"key:{asset_keys.DECISION_LOG}", today)
            _run(stages, found, "behaviour", "group:behaviour")
        _drift(stages, found)
        with stages.stage("train again"):
            _run(stages, found, "agents", f"({_trained()}) or key:{' or key:'.join(asset_keys.PUBLISHED)}")
        candidates = market.oracle().creative_ids(market.campaigns()["campaign_id"][0].as_py())
        with stages.stage("swap"):
            swapped = online.swap(client, Registry(config.models), candidates, played.policy_version)
        if swapped.swap_seconds is None and swapped.swap:
            stages.failures.append(f"online: the gateway did not take a policy within {online.SWAP_SECONDS:g} s")
    return {**played._asdict(), **swapped._asdict()}


def _drift(stages: Stages, found: dg.DagsterInstance) -> None:
    """Judge the last whole day against those before it; an alarm is an answer, not a failure."""
    with stages.stage("drift report"):
        _run(stages, found, "drift report", f"key:{asset_keys.DRIFT_REPORT}")


def _trained() -> str:
    parts = [
        f"key:{agent}_{role}" for agent in ("response_model", "bandit_policy") for role in ("challenger", "champion")
    ]
    return " or ".join([*parts, f"key:{asset_keys.POLICY_EVALUATION}"])


def _claims(stages: Stages, config: Settings, loaded: dict[str, Any]) -> list[Claim]:
    found: list[Claim] = []
    for name, check in demo_claims.for_dataset(loaded["name"]).items():
        with stages.stage(f"claim {name}", 1) as advance:
            found += check(config, advance)
    return found
