"""Policies that choose a creative for a context, each with its exact probabilities."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from datetime import date
from itertools import accumulate
from pathlib import Path
from typing import Final, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adplatform.contracts.errors import InputError
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.targeting.calibration import logit
from adplatform.targeting.features import RequestFeatures, check_columns, last_day, numbers, with_candidates
from adplatform.targeting.response import Response, load_response

TEMPERATURE: Final = 0.1
EXPLORATION: Final = 0.1
CHUNK_ROWS: Final = 400_000


class Policy(Protocol):
    """A rule that gives each candidate its probability of being shown."""

    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def trained_through(self) -> date | None: ...  # noqa: D102
    def probabilities(  # noqa: D102
        self, contexts: pa.Table, creatives: Sequence[CreativeAttributes], exposures: pa.Table | None = None
    ) -> np.ndarray: ...
    def of_requests(self, requests: Sequence[RequestFeatures]) -> list[np.ndarray]: ...  # noqa: D102
    def save(self, directory: Path) -> None: ...  # noqa: D102


class UniformPolicy:
    """Every candidate with the same probability."""

    version = "uniform"
    trained_through: date | None = None

    def probabilities(
        self, contexts: pa.Table, creatives: Sequence[CreativeAttributes], exposures: pa.Table | None = None
    ) -> np.ndarray:
        """Shape (contexts, creatives); rows sum to 1."""
        _check_candidates(creatives)
        return np.full((contexts.num_rows, len(creatives)), 1.0 / len(creatives))

    def of_requests(self, requests: Sequence[RequestFeatures]) -> list[np.ndarray]:
        """``probabilities`` of each request's candidates, shape (candidates,)."""
        return [np.full(len(request.creatives), 1.0 / len(request.creatives)) for request in requests]

    def save(self, directory: Path) -> None:
        """Write policy.json."""
        _write(directory, {"kind": "uniform"})


class LoggingPolicy:
    """Whatever policy wrote the log: the first champion.

    On a logged row it gives the logged creative its logged propensity, so that every importance weight is exactly 1.
    What the log does not tell, the other candidates' probabilities, is split by their share of the campaign's log
    (one impression added to each), as is a context that no log row stands behind.
    """

    def __init__(self, counts: dict[str, int], trained_through: date | None = None) -> None:
        self.counts = counts
        self._through = trained_through
        self._version = "logging-" + _digest({"counts": counts})

    @classmethod
    def fit(cls, log: pa.Table) -> Self:
        """Count impressions by creative in ``log`` (training_examples)."""
        check_columns(log, ("creative_id", "event_day"))
        shown = log["creative_id"].value_counts()
        counts = {str(v["values"]): int(v["counts"]) for v in shown.to_pylist() if v["values"] is not None}
        return cls(dict(sorted(counts.items())), last_day(log) if log.num_rows else None)

    @property
    def version(self) -> str:
        """Hash of the counts."""
        return self._version

    @property
    def trained_through(self) -> date | None:
        """Last day counted."""
        return self._through

    def probabilities(
        self, contexts: pa.Table, creatives: Sequence[CreativeAttributes], exposures: pa.Table | None = None
    ) -> np.ndarray:
        """Shape (contexts, creatives); rows sum to 1. Reads ``creative_id`` and ``propensity`` where contexts have them."""
        _check_candidates(creatives)
        out = np.tile(self._shares(creatives), (contexts.num_rows, 1))
        if {"creative_id", "propensity"} <= set(contexts.column_names) and len(creatives) > 1:
            at, propensity = logged_index(contexts, creatives), numbers(contexts["propensity"])
            rows = np.flatnonzero(at >= 0)
            logged, p = at[rows], propensity[rows]
            rest = out[rows]
            rest[np.arange(len(rows)), logged] = 0.0
            rest *= ((1.0 - p) / rest.sum(axis=1))[:, None]
            rest[np.arange(len(rows)), logged] = p
            out[rows] = rest
        return out

    def of_requests(self, requests: Sequence[RequestFeatures]) -> list[np.ndarray]:
        """``probabilities`` of each request's candidates, which no log row stands behind; shape (candidates,)."""
        return [self._shares(request.creatives) for request in requests]

    def _shares(self, creatives: Sequence[CreativeAttributes]) -> np.ndarray:
        share = np.array([self.counts.get(c.creative_id, 0) + 1.0 for c in creatives])
        return np.asarray(share / share.sum())

    def save(self, directory: Path) -> None:
        """Write policy.json."""
        through = None if self._through is None else self._through.isoformat()
        _write(directory, {"kind": "logging", "counts": self.counts, "trained_through": through})


class SoftmaxPolicy:
    """Softmax over the response model's logits, with a floor under every candidate.

    ``p = (1 - exploration) * softmax(logit(q) / temperature) + exploration / k``: no candidate falls below
    ``exploration / k``, so that the log it writes can value any later policy.
    """

    def __init__(self, model: Response, temperature: float = TEMPERATURE, exploration: float = EXPLORATION) -> None:
        if not (temperature > 0 and 0 < exploration <= 1):
            raise InputError(
                "policy",
                f"temperature {temperature}, exploration {exploration}",
                "give a temperature above 0 and an exploration above 0 and at most 1",
            )
        self.model, self.temperature, self.exploration = model, temperature, exploration
        self._version = "softmax-" + _digest({"model": model.version, "t": temperature, "e": exploration})

    @property
    def version(self) -> str:
        """Hash of the model's version, temperature and exploration."""
        return self._version

    @property
    def trained_through(self) -> date | None:
        """Last day the response model saw."""
        return self.model.trained_through

    def probabilities(
        self, contexts: pa.Table, creatives: Sequence[CreativeAttributes], exposures: pa.Table | None = None
    ) -> np.ndarray:
        """Shape (contexts, creatives); rows sum to 1, each entry at least ``exploration / k``."""
        return self.of_rewards(expected_rewards(self.model, contexts, creatives, exposures))

    def of_requests(self, requests: Sequence[RequestFeatures]) -> list[np.ndarray]:
        """``probabilities`` of each request's candidates, shape (candidates,); bit for bit those of the request alone.

        The model is asked once for all: a matrix of a few rows costs what a call costs.
        """
        rewards = self.model.predict_matrix(np.concatenate([self.model.encode(request) for request in requests]))
        counts = [len(request.creatives) for request in requests]
        if len(set(counts)) == 1:
            return list(self.of_rewards(rewards.reshape(len(counts), -1)))
        return [self.of_rewards(own[None])[0] for own in np.split(rewards, np.cumsum(counts)[:-1])]

    def of_rewards(self, rewards: np.ndarray) -> np.ndarray:
        """Probabilities for known expected rewards, both of shape (contexts, creatives)."""
        scores = logit(rewards) / self.temperature
        scores -= np.maximum.reduce(scores, axis=1, keepdims=True)
        share = np.exp(scores, out=scores)
        share /= np.add.reduce(share, axis=1, keepdims=True)
        share *= 1 - self.exploration
        share += self.exploration / rewards.shape[1]
        return np.asarray(share)

    def save(self, directory: Path) -> None:
        """Write policy.json, and the response model under ``model/``."""
        _write(directory, {"kind": "softmax", "temperature": self.temperature, "exploration": self.exploration})
        self.model.save(directory / "model")


def load_policy(directory: Path) -> Policy:
    """The policy that ``save`` wrote, of whichever kind."""
    p = json.loads((directory / "policy.json").read_text())
    if p["kind"] == "uniform":
        return UniformPolicy()
    if p["kind"] == "logging":
        through = p["trained_through"]
        return LoggingPolicy(p["counts"], None if through is None else date.fromisoformat(through))
    return SoftmaxPolicy(load_response(directory / "model"), p["temperature"], p["exploration"])


def choose(probabilities: Sequence[float], rng: np.random.Generator) -> int:
    """Draw one candidate: its index, whose probability is the propensity to log. Lists, for arrays cost more."""
    edges = list(accumulate(probabilities))
    return min(bisect_right(edges, rng.random() * edges[-1]), len(edges) - 1)


def expected_rewards(
    model: Response, contexts: pa.Table, creatives: Sequence[CreativeAttributes], exposures: pa.Table | None = None
) -> np.ndarray:
    """The model's click probability of each creative in each context, shape (contexts, creatives), in chunks of rows."""
    _check_candidates(creatives)
    step = max(1, CHUNK_ROWS // len(creatives))
    parts = [
        model.predict(with_candidates(contexts.slice(i, step), creatives, exposures)).reshape(-1, len(creatives))
        for i in range(0, contexts.num_rows, step)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(creatives)))


def logged_index(contexts: pa.Table, creatives: Sequence[CreativeAttributes]) -> np.ndarray:
    """Which candidate each row's logged creative is, shape (rows,); -1 where it is none of them."""
    ids = pa.array([c.creative_id for c in creatives], pa.string())
    at = pc.fill_null(pc.index_in(contexts["creative_id"], value_set=ids), -1)
    return np.asarray(at.to_numpy()).astype(int)


def _check_candidates(creatives: Sequence[CreativeAttributes]) -> None:
    if not creatives:
        raise InputError("creatives", "there is no candidate", "give at least one creative")


def _digest(payload: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:16]


def _write(directory: Path, payload: dict[str, object]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "policy.json").write_text(json.dumps(payload, indent=1, sort_keys=True))
