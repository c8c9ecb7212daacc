from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adplatform.contracts.errors import InputError
from adplatform.contracts.features import FEATURES
from adplatform.targeting.features import FeatureEncoder, chronological_split, days_of, with_candidates
from tests.targeting.world import FIRST, World, creatives, examples

ADS = creatives()
TABLE, _ = examples(World.make(1), ADS, seed=2, rows=600, consent=0.7)


def test_columns_are_in_the_contracts_order_whatever_order_the_table_has() -> None:
    encoder = FeatureEncoder.fit(TABLE)
    turned = TABLE.select(sorted(TABLE.column_names))
    assert np.array_equal(encoder.transform(TABLE), encoder.transform(turned), equal_nan=True)
    assert encoder.transform(TABLE)[:, FEATURES.index("position")].tolist() == TABLE["position"].to_pylist()


def test_what_was_never_seen_and_what_is_missing_are_unknown_not_zero() -> None:
    encoder = FeatureEncoder.fit(TABLE.slice(0, 300))
    row = TABLE.slice(0, 1).set_column(TABLE.column_names.index("tone"), "tone", pa.array(["sarcastic"]))
    row = row.set_column(row.column_names.index("tenure_days"), "tenure_days", pa.array([None], pa.int64()))
    matrix = encoder.transform(row)[0]
    assert np.isnan(matrix[FEATURES.index("tone")])
    assert np.isnan(matrix[FEATURES.index("tenure_days")])


def test_an_encoder_read_back_encodes_alike(tmp_path: Path) -> None:
    encoder = FeatureEncoder.fit(TABLE)
    encoder.save(tmp_path / "categories.json")
    again = FeatureEncoder.load(tmp_path / "categories.json")
    assert np.array_equal(encoder.transform(TABLE), again.transform(TABLE), equal_nan=True)


def test_a_missing_feature_column_is_named() -> None:
    with pytest.raises(InputError, match="region"):
        FeatureEncoder.fit(TABLE.drop_columns(["region"]))


@given(days=st.integers(1, 7))
def test_no_held_out_day_is_before_a_training_day(days: int) -> None:
    earlier, later = chronological_split(TABLE, days)
    assert days_of(earlier).max() < days_of(later).min()
    assert earlier.num_rows + later.num_rows == TABLE.num_rows
    assert len(np.unique(days_of(later))) == days


def test_holding_out_every_day_is_refused() -> None:
    with pytest.raises(InputError, match="at least 9 days"):
        chronological_split(TABLE, 8)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 30), k=st.integers(1, 12))
def test_every_context_meets_every_candidate_once_and_keeps_its_own_columns(n: int, k: int) -> None:
    rows = with_candidates(TABLE.slice(0, n), ADS[:k])
    assert rows["creative_id"].to_pylist() == [a.creative_id for a in ADS[:k]] * n
    assert rows["impression_id"].to_pylist() == [i for i in TABLE["impression_id"].to_pylist()[:n] for _ in range(k)]
    assert rows["tone"].to_pylist() == [str(a.tone) for a in ADS[:k]] * n


def test_exposures_come_from_the_same_user_creative_and_day_alone() -> None:
    contexts = TABLE.filter(pa.compute.is_valid(TABLE["user_id"])).slice(0, 40)
    user, day = contexts["user_id"][7].as_py(), contexts["event_day"][7].as_py()
    exposures = pa.table(
        {
            "user_id": [user, user, "someone else"],
            "creative_id": [ADS[2].creative_id, ADS[3].creative_id, ADS[2].creative_id],
            "feature_day": pa.array([day, day + timedelta(days=40), day], pa.date32()),
            "creative_exposures_7d": [5, 6, 7],
        }
    )
    rows = with_candidates(contexts, ADS, exposures)
    seen = [
        (u, c, d, e)
        for u, c, d, e in zip(
            *(rows[n].to_pylist() for n in ("user_id", "creative_id", "event_day", "creative_exposures_7d")),
            strict=True,
        )
        if e
    ]
    assert set(seen) == {(user, ADS[2].creative_id, day, 5.0)}


def test_without_consent_exposure_is_unknown() -> None:
    contexts = TABLE.filter(pa.compute.is_null(TABLE["user_id"])).slice(0, 5)
    assert with_candidates(contexts, ADS)["creative_exposures_7d"].null_count == 5 * len(ADS)
    assert days_of(contexts).min() >= np.datetime64(FIRST)
