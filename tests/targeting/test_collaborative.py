from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from adplatform.contracts.errors import InputError
from adplatform.targeting.collaborative import InteractionFactors, ranking_score


def log(
    seed: int, taste: float, users: int = 300, rows: int = 24_000, creatives: int = 12
) -> tuple[pa.Table, pa.Table]:
    """Two kinds of users and of creatives; each kind clicks its own more often by the factor ``taste``."""
    rng = np.random.default_rng(seed)
    u, c = rng.integers(0, users, rows), rng.integers(0, creatives, rows)
    p = 0.08 * np.where(u % 2 == c % 2, taste, 1 / taste)
    table = pa.table(
        {
            "user_id": [f"u{i}" for i in u],
            "creative_id": [f"c{i}" for i in c],
            "clicked": (rng.random(rows) < p).astype(int),
        }
    )
    return table.slice(0, rows * 3 // 4), table.slice(rows * 3 // 4)


def test_users_who_click_alike_are_found_and_beat_popularity() -> None:
    train, held_out = log(1, taste=2.0)
    found = ranking_score(InteractionFactors.from_examples(train, seed=1), train, held_out)
    assert found.low > 0.05
    assert abs(found.popularity_auc - 0.5) < 0.08


def test_where_there_is_no_taste_none_is_found() -> None:
    train, held_out = log(2, taste=1.0)
    assert ranking_score(InteractionFactors.from_examples(train, seed=1), train, held_out).low <= 0


def test_a_log_that_knows_no_user_twice_cannot_tell() -> None:
    train, held_out = log(2, taste=2.0, rows=2000)
    once = held_out.set_column(0, "user_id", [[f"new{i}" for i in range(held_out.num_rows)]])
    assert ranking_score(InteractionFactors.from_examples(train, seed=1), train, once) is None


def test_similar_creatives_are_those_the_same_users_like() -> None:
    factors = InteractionFactors.from_examples(log(3, taste=2.5)[0], seed=1)
    for c in (0, 5):
        near = [int(name[1:]) for name, _ in factors.similar(f"c{c}", 5)]
        assert sum(x % 2 == c % 2 for x in near) >= 4
        assert c not in near


def test_users_ranked_for_a_creative_are_mostly_of_its_kind() -> None:
    found = InteractionFactors.from_examples(log(3, taste=2.5)[0], seed=1).rank_users("c4", 60)
    assert np.mean([int(u[1:]) % 2 == 0 for u, _ in found]) > 0.8
    assert [a for _, a in found] == sorted((a for _, a in found), reverse=True)


def test_factors_read_back_are_the_same_and_hold_no_code(tmp_path: Path) -> None:
    train, _ = log(4, taste=2.0, rows=4000)
    factors = InteractionFactors.from_examples(train, seed=9)
    factors.save(tmp_path)
    again = InteractionFactors.load(tmp_path)
    pairs = np.array(["u1", "u2", "u9"]), np.array(["c1", "c4", "c3"])
    assert np.array_equal(again.scores(*pairs), factors.scores(*pairs))
    assert {p.name for p in tmp_path.iterdir()} == {"factors.npz", "ids.json"}
    assert np.array_equal(InteractionFactors.from_examples(train, seed=9).user_factors, factors.user_factors)


def test_strangers_have_no_affinity_rather_than_a_low_one() -> None:
    factors = InteractionFactors.from_examples(log(4, taste=2.0, rows=4000)[0], seed=9)
    assert np.isnan(factors.scores(np.array(["nobody", "u1"]), np.array(["c1", "nothing"]))).all()
    for call in (factors.similar, factors.rank_users):
        with pytest.raises(InputError, match="nothing"):
            call("nothing")


def test_without_a_click_there_is_nothing_to_factor() -> None:
    with pytest.raises(InputError, match="nobody clicked"):
        InteractionFactors.fit(np.array(["a"]), np.array(["b"]), np.array([0.0]), seed=1)


def test_users_without_consent_are_not_among_the_factors() -> None:
    train, _ = log(4, taste=2.0, rows=4000)
    hidden = pa.array([None if u == "u7" else u for u in train["user_id"].to_pylist()])
    factors = InteractionFactors.from_examples(train.set_column(0, "user_id", hidden), seed=9)
    assert "u7" not in factors.users
    assert None not in factors.users
