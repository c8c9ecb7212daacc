"""Creative assets: the converted language model, and the worded variants of each campaign."""

import tempfile
from pathlib import Path
from shutil import copytree
from typing import Any

import dagster as dg

from adplatform import assembly, training
from adplatform import asset_keys as keys
from adplatform.contracts.creative import CreativeRequest
from adplatform.defs.resources import OWNERS, Platform
from adplatform.partitions import CAMPAIGNS

COMMON: dict[str, Any] = {"group_name": "creative", "owners": OWNERS}


@dg.asset(**COMMON, kinds={"huggingface", "pytorch"}, name=keys.COPY_MODEL)
def copy_model(platform: Platform) -> dg.MaterializeResult:
    """The packaged SmolLM2 converted once to safetensors (a GGUF takes 20 s to load, the converted file about one)."""
    from adplatform.creative.weights import convert_packaged

    state = platform.state
    held = state.registry.champion(keys.COPY_MODEL)
    if held is None:
        with tempfile.TemporaryDirectory() as folder:
            convert_packaged(Path(folder) / "model")
            held = training.publish(
                state, keys.COPY_MODEL, lambda to: copytree(Path(folder) / "model", to, dirs_exist_ok=True), 0, {}
            )
        state.registry.promote(keys.COPY_MODEL, held.version, "converted from the package")
    return dg.MaterializeResult(
        metadata={"version": held.version, "source": state.settings.language_model},
        data_version=dg.DataVersion(held.version),
    )


@dg.asset(
    **COMMON, deps=[keys.COPY_MODEL, "campaigns"], partitions_def=CAMPAIGNS, kinds={"huggingface", "python"},
    name=keys.CAMPAIGN_CREATIVES, automation_condition=dg.AutomationCondition.on_missing(),
)  # fmt: skip
def campaign_creatives(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """5 to 10 ad texts for the campaign's brief, scored for relevance, diversity and brand."""
    state, campaign = platform.state, context.partition_key
    brief = assembly.brief_of(state.settings, campaign)
    found = assembly.creative_agent(state.settings, state.registry, state.documents).creatives(
        CreativeRequest(brief=brief, seed=state.settings.seed)
    )
    state.documents.put(keys.CAMPAIGN_CREATIVES, campaign, found)
    rows = [
        dg.TableRecord(
            {"headline": v.headline, "body": v.body, "tone": v.tone.value, "appeal": v.appeal.value, "by": v.source.value,
             "relevance": round(v.scores.relevance, 3), "diversity": round(v.scores.diversity, 3),
             "brand": round(v.scores.brand, 3)}
        )
        for v in found.variants
    ]  # fmt: skip
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "variants": dg.MetadataValue.table(rows),
            "generated": found.generated,
            "template_share": found.template_share,
            "rejected": dg.MetadataValue.json(dict(found.rejected)),
            "model": found.model_version,
        }
    )


def assets(present: frozenset[str]) -> list[dg.AssetsDefinition]:
    """The creative assets; they need campaigns alone."""
    return [copy_model, campaign_creatives]
