from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from adplatform.contracts.targeting import CreativeAttributes
from adplatform.targeting.features import chronological_split
from adplatform.targeting.response import ResponseModel
from tests.targeting.world import World, creatives, examples


class Fitted(NamedTuple):
    world: World
    ads: list[CreativeAttributes]
    train: pa.Table
    held_out: pa.Table
    truth: np.ndarray
    model: ResponseModel


@pytest.fixture(scope="session")
def fitted() -> Fitted:
    """One world, its log, and a model trained on all days but the last two. Everyone consents."""
    world, ads = World.make(11), creatives()
    table, p = examples(world, ads, seed=12, rows=30_000, consent=1.0)
    train, held_out = chronological_split(table, 2)
    model = ResponseModel.fit(train, seed=1, threads=1)
    return Fitted(world, ads, train, held_out, p[-held_out.num_rows :], model)
