"""What the Creative agent is asked and answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from adplatform.contracts.base import Identifier, Message, Probability
from adplatform.contracts.brief import Appeal, Brief, Tone


class CopySource(StrEnum):
    """Who worded a variant."""

    LANGUAGE_MODEL = "language_model"
    TEMPLATE = "template"


class CreativeScores(Message):
    """Scores of one variant, each in [0, 1], higher is better.

    ``relevance``: cosine to the brief; ``diversity``: 1 - largest cosine to another kept variant;
    ``brand``: share of soft guideline checks kept (hard ones remove the variant).
    """

    relevance: Probability
    diversity: Probability
    brand: Probability


class CopyVariant(Message):
    """One ad text. ``creative_id`` is derived from the text, so that the same text has the same id."""

    creative_id: Identifier
    headline: Annotated[str, Field(min_length=1, max_length=200)]
    body: Annotated[str, Field(min_length=1, max_length=640)]
    tone: Tone
    appeal: Appeal
    source: CopySource
    scores: CreativeScores


class CreativeRequest(Message):
    """Word 5 to 10 variants for this brief. The same seed gives the same variants."""

    brief: Brief
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


class CreativeSet(Message):
    """The variants that survived, best first, and how they came about."""

    variants: Annotated[tuple[CopyVariant, ...], Field(min_length=1, max_length=10)]
    generated: Annotated[int, Field(ge=0)]
    """Texts the language model wrote before selection."""
    rejected: dict[str, int] = {}
    """Rule -> number of texts it removed."""
    model_version: str

    @property
    def template_share(self) -> float:
        """Share of variants that came from the template fallback."""
        return sum(v.source is CopySource.TEMPLATE for v in self.variants) / len(self.variants)
