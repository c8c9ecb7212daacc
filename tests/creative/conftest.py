from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from adplatform.contracts.brief import Audience, BrandGuidelines, Brief, Flight, Product
from adplatform.creative.score import Embedder


def make_brief(row: dict[str, Any]) -> Brief:
    product = Product(
        name=row["name"], category=row["category"], description=row["description"], facts=tuple(row.get("facts", ()))
    )
    kept = {k: row[k] for k in BrandGuidelines.model_fields if k in row}
    return Brief(
        campaign_id="test", product=product, objective="clicks", budget="1000", variants=row.get("variants", 6),
        flight=Flight(starts_on=date(2026, 5, 1), ends_on=date(2026, 5, 14)),
        audience=Audience(audiences=tuple(row.get("audiences", ()))), guidelines=BrandGuidelines(**kept),
    )  # fmt: skip


def development_briefs() -> list[Brief]:
    return [make_brief(row) for row in yaml.safe_load((Path(__file__).parent / "briefs.yaml").read_text())]


@pytest.fixture(scope="session")
def briefs() -> list[Brief]:
    return development_briefs()


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return Embedder.load()


@pytest.fixture(scope="session")
def smollm(demo_home):
    """The packaged model, as the demo converted it."""
    from adplatform.asset_keys import COPY_MODEL
    from adplatform.creative.copy_model import CopyModel
    from adplatform.settings import Settings
    from adplatform.store.registry import Registry

    registry = Registry(Settings(home=demo_home).models)
    return CopyModel.load(str(registry.path(COPY_MODEL, registry.champion(COPY_MODEL).version)))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A random two-layer model with a byte tokenizer at a local path: what a user's own model looks like."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: n for n, c in enumerate([*alphabet, "<eos>"])}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>").save_pretrained(path)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        eos_token_id=256,
        # Wide weights: at the default 0.02 the best two tokens lie within rounding of each other.
        initializer_range=1.0,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(path)
    return path
