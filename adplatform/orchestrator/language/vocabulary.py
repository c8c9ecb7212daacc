"""The words that the data knows, and the nearest of them to a word that it doesn't."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from adplatform.contracts.targeting import Segment

Embed = Callable[[list[str]], npt.NDArray[np.float32]]
"""Texts -> unit vectors, shape ``(n, d)``."""

# Cosines of MiniLM on words of neither test nor simulator: 'marathon fans' to runners .66, 'home chefs' to cooks .68, but
# 'cyclists' to runners .47, 'pet owners' to parents .43; 'the coast' to north .53; 'shampoo' to diy .33 and to family .32.
AUDIENCE, AUDIENCE_MARGIN = 0.55, 0.12
REGION, REGION_MARGIN = 0.65, 0.15
CATEGORY, CATEGORY_MARGIN = 0.33, 0.10
PRODUCT, PRODUCT_MARGIN = 0.55, 0.10


@dataclass(frozen=True)
class Vocabulary:
    """Labels of the data. ``products``: name -> category of products known from earlier campaigns."""

    categories: Sequence[str] = ()
    audiences: Sequence[str] = ()
    age_bands: Sequence[str] = ()
    regions: Sequence[str] = ()
    segments: Sequence[Segment] = ()
    products: Mapping[str, str] = field(default_factory=dict)


def forms(label: str) -> str:
    """Pattern of a label as it may stand in a sentence: any case, singular or plural."""
    stem = re.escape(label[:-1] if label.lower().endswith("s") and len(label) > 3 else label)
    return rf"\b{stem}s?\b"


def literal(text: str, labels: Sequence[str]) -> list[str]:
    """Labels that stand in the text, in the order of ``labels``."""
    return [label for label in labels if re.search(forms(label), text, re.I)]


def nearest(
    text: str, labels: Sequence[str], embed: Embed | None, threshold: float, margin: float, pattern: str = "{}"
) -> str | None:
    """The label nearest in meaning, None where none is near enough or two are about as near."""
    if embed is None or not labels or not text.strip():
        return None
    vectors = np.asarray(embed([text, *(pattern.format(label) for label in labels)]), dtype=np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosine = vectors[1:] @ vectors[0]
    order = np.argsort(-cosine, kind="stable")
    second = cosine[order[1]] if len(order) > 1 else -1.0
    best = order[0]
    return labels[best] if cosine[best] >= threshold and cosine[best] - second >= margin else None


def category_of(product: str, known: Vocabulary, embed: Embed | None) -> str | None:
    """A product's category: by name, by a word of it, by the nearest known product, by the nearest category."""
    for name, category in known.products.items():
        if name.casefold() == product.casefold():
            return category
    named = literal(product, known.categories)
    if len(named) == 1:
        return named[0]
    if embed is not None and known.products:
        names = list(known.products)
        vectors = np.asarray(embed([product, *names]), dtype=np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        best: dict[str, float] = {}
        for name, cosine in zip(names, vectors[1:] @ vectors[0], strict=True):
            best[known.products[name]] = max(best.get(known.products[name], -1.0), float(cosine))
        ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
        if ranked[0][1] >= PRODUCT and (len(ranked) == 1 or ranked[0][1] - ranked[1][1] >= PRODUCT_MARGIN):
            return ranked[0][0]
    return nearest(product, known.categories, embed, CATEGORY, CATEGORY_MARGIN, "{} products")
