"""Published copy keeps the brand's rules; the check reads the texts again, the agent's own scores are not trusted."""

import dagster as dg

from adplatform import assembly
from adplatform import asset_keys as keys
from adplatform.contracts.creative import CreativeSet
from adplatform.partitions import CAMPAIGNS
from asset_checks.platform import state

MOST_FROM_TEMPLATES = 0.5


@dg.asset_check(asset=keys.CAMPAIGN_CREATIVES, name="copy_keeps_the_rules", blocking=True, partitions_def=CAMPAIGNS)
def copy_keeps_the_rules(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """At least five variants, none of which breaks a guideline."""
    from adplatform.creative.guidelines import check

    platform = state()
    brief = assembly.brief_of(platform.settings, context.partition_key)
    found = platform.documents.get(keys.CAMPAIGN_CREATIVES, context.partition_key, CreativeSet)
    broken = {v.creative_id: rules for v in found.variants if (rules := check(v.headline, v.body, brief))}
    return dg.AssetCheckResult(
        passed=len(found.variants) >= 5 and not broken,
        metadata={"variants": len(found.variants), "broken": dg.MetadataValue.json(broken)},
        description="; ".join(f"{k}: {', '.join(r)}" for k, r in broken.items()) or None,
    )


@dg.asset_check(asset=keys.CAMPAIGN_CREATIVES, name="most_copy_is_the_models", partitions_def=CAMPAIGNS)
def most_copy_is_the_models(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """At most half of the variants came from the template fallback."""
    found = state().documents.get(keys.CAMPAIGN_CREATIVES, context.partition_key, CreativeSet)
    return dg.AssetCheckResult(
        passed=found.template_share <= MOST_FROM_TEMPLATES,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"template_share": found.template_share},
        description=f"{found.template_share:.0%} of the variants are templates",
    )


def checks(present: frozenset[str]) -> list[dg.AssetChecksDefinition]:
    """Checks of the creative assets."""
    return [copy_keeps_the_rules, most_copy_is_the_models]
