"""Claim ``swap``: a promoted policy reaches every worker under load, with no failed and no mixed answer."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np

from adplatform.contracts.claims import Claim
from adplatform.contracts.errors import AdPlatformError, SetupError
from adplatform.contracts.serving import Decision, LoggedDecision
from adplatform.store.decision_file import reading
from adplatform.store.library import Library
from adplatform.store.registry import Registry
from adplatform.targeting.bandit import SoftmaxPolicy, load_policy
from adplatform.targeting.features import RequestFeatures
from adplatform.targeting.response import load_response
from benchmarks.served import Gateway, scratch, served

AGENT: Final = "bandit_policy"
TEMPERATURES: Final = (0.05, 0.2, 1.0)
WITHIN_SECONDS: Final = 5.0
IN_A_ROW: Final = 10
CLIENTS: Final = 2


def run(swaps: int = 200, progress: Callable[[float], None] | None = None, source: Path | None = None) -> Claim:
    """Promote one of three policies ``swaps`` times while clients ask two workers. ``figure``: failed or mixed answers."""
    with scratch(source) as (home, key), served(home, key, ADPLATFORM_WORKERS="2") as gateway:
        versions = policies(home)
        seconds: list[float | None] = []
        registry = Registry(home / "models")
        with asking(gateway) as (answers, failures):
            for number in range(swaps):
                wanted = versions[number % len(versions)]
                registry.promote(AGENT, wanted, f"swap {number}")
                seconds.append(taken_after(gateway, wanted))
                if progress:
                    progress((number + 1) / swaps)
        mixed, twin = mixed_answers(home, answers)
    late = sum(s is None for s in seconds)
    slowest = max((s for s in seconds if s is not None), default=float("nan"))
    return Claim(
        name="swap",
        claim="under load no answer fails, every one recomputes exactly from its policy version, and each swap is there within 5 s",
        figure=float(len(failures) + mixed + late),
        holds=not failures and mixed == 0 and late == 0 and twin > 0 and len(answers) >= swaps,
        n=swaps,
        detail={
            "answers": len(answers), "failed": failures[:5], "mixed": mixed, "later_than_5_s": late,
            "slowest_seconds": round(slowest, 2), "twin_mixed_with_another_version": twin,
        },
    )  # fmt: skip


def policies(home: Path) -> list[str]:
    """Three policies that give the same creative other probabilities, published. Raises SetupError without a model."""
    registry = Registry(home / "models")
    champion = registry.champion("response_model")
    if champion is None:
        raise SetupError(f"{home} has no response model", "run adplatform demo first")
    model, found = load_response(registry.path("response_model", champion.version)), []
    for temperature in TEMPERATURES:
        with tempfile.TemporaryDirectory() as name:
            SoftmaxPolicy(model, temperature).save(Path(name))
            found.append(registry.publish(AGENT, Path(name), data_version="claim").version)
    return found


def ask(gateway: Gateway, client: httpx.Client, candidates: int = 4) -> Decision:
    """One decision. Raises AdPlatformError where it is refused."""
    answer = client.post("/v1/decide", json={"candidates": gateway.creatives[:candidates]})
    if answer.status_code != 200:
        raise AdPlatformError(f"{answer.status_code}: {answer.text[:200]}")
    return Decision.model_validate_json(answer.content)


@contextmanager
def asking(gateway: Gateway) -> Iterator[tuple[list[Decision], list[str]]]:
    """Clients that ask without pause; their answers and failures fill the lists meanwhile."""
    answers: list[Decision] = []
    failures: list[str] = []
    stop = threading.Event()

    def load() -> None:
        with httpx.Client(base_url=gateway.client.base_url, headers=gateway.client.headers, timeout=10) as client:
            while not stop.is_set():
                try:
                    answers.append(ask(gateway, client))
                except (AdPlatformError, httpx.HTTPError) as error:
                    failures.append(repr(error))

    threads = [threading.Thread(target=load) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answers, failures
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def taken_after(gateway: Gateway, version: str, seconds: float = WITHIN_SECONDS) -> float | None:
    """Seconds until answers over fresh connections, to whichever worker, come from ``version`` ten times in a row."""
    began, row, first = time.monotonic(), 0, 0.0
    while time.monotonic() < began + seconds and row < IN_A_ROW:
        with httpx.Client(base_url=gateway.client.base_url, headers=gateway.client.headers, timeout=10) as client:
            row = row + 1 if ask(gateway, client).policy_version == version else 0
        first = time.monotonic() - began if row == 1 else first
    return first if row == IN_A_ROW else None


def mixed_answers(home: Path, answers: Sequence[Decision]) -> tuple[int, int]:
    """Answers that their version does not give again, and (the twin) how many another version would not give."""
    registry, library = Registry(home / "models"), Library(home / "landing").creatives
    known = {v: load_policy(registry.path(AGENT, v)) for v in {a.policy_version for a in answers}}
    mixed = twin = 0
    with reading(home / "online" / "decisions.sqlite") as log:
        for made in answers:
            row = log.execute("select payload from decisions where decision_id = ?", (made.decision_id,)).fetchone()
            kept = LoggedDecision.model_validate_json(row[0])
            request = RequestFeatures(kept.context, [library[c] for c in kept.request.candidates], kept.exposures)
            at = kept.request.candidates.index(made.creative_id)
            again = {v: p.of_requests([request])[0] for v, p in known.items()}
            own = again[made.policy_version]
            mixed += not (np.array_equal(own, kept.probabilities) and own[at] == made.propensity)
            twin += any(not np.array_equal(p, kept.probabilities) for v, p in again.items() if v != made.policy_version)
    return mixed, twin
