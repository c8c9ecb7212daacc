"""The Creative agent: over-generates copy with a language model, removes what breaks a rule, keeps the best that differ.

What the model leaves open is worded by templates from the brief's own statements; if the model fails, all of it is.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adplatform.contracts.brief import Appeal, Brief, Tone
from adplatform.contracts.creative import CopySource, CopyVariant, CreativeRequest, CreativeScores, CreativeSet
from adplatform.contracts.errors import AgentUnavailable
from adplatform.contracts.targeting import CreativeAttributes
from adplatform.creative import templates
from adplatform.creative.copy_model import CopyModel
from adplatform.creative.facts import names_money
from adplatform.creative.guidelines import Rulebook
from adplatform.creative.prompts import VERSION
from adplatform.creative.score import Embedder, ad_text, brand, brief_text, tone_share
from adplatform.creative.selection import Candidate, Selection, Slot, slots
from adplatform.creative.text import resource
from adplatform.creative.weights import PACKAGED
from adplatform.creative.writer import Writer

_LOG = logging.getLogger(__name__)
_TEMPLATES_TRIED = 20
"""Template texts scored for one tone and appeal."""
_APPEAL_TEXT = {
    Appeal.PRICE: "price, cost, fee, saving money, discount",
    Appeal.QUALITY: "quality, material, craft, how it is made, ingredients",
    Appeal.CONVENIENCE: "convenient, easy, saves time, delivered, quick to use",
    Appeal.NOVELTY: "new, unusual, different, surprising idea",
}


class Creative:
    """Implements ``contracts.agents.CreativeAgent``.

    ``model``: a loaded CopyModel or a function that loads one; None words by templates alone.
    ``texts_each``: headlines and bodies written for each variant that is wanted.
    """

    def __init__(
        self,
        model: CopyModel | Callable[[], CopyModel] | None,
        embedder: Embedder,
        *,
        texts_each: tuple[int, int] = (10, 6),
    ) -> None:
        self._given, self._loaded = model, model if isinstance(model, CopyModel) else None
        self.embedder, self.texts_each = embedder, texts_each

    @classmethod
    def load(cls, language_model: str = PACKAGED, embedding_model: str = PACKAGED, *, converted: Path) -> Creative:
        """Build from 'packaged', paths or hub names; ``converted`` is where the packaged model is (or will be) kept.

        The language model is loaded at the first request. Raises SetupError when the embedder is missing.
        """
        return cls(lambda: CopyModel.load(language_model, packaged=converted), Embedder.load(embedding_model))

    @property
    def version(self) -> str:
        """Content hash of both models, prompts, word lists and templates."""
        model = self._model()
        digest = hashlib.sha256(
            f"{VERSION} {self.texts_each} {self.embedder.version} {model and model.version}".encode()
        )
        for name in ("words.yaml", "exemplars.yaml", "templates.yaml"):
            digest.update(repr(resource(name)).encode())
        return f"copy-{digest.hexdigest()[:12]}" if model else f"copy-templates-{digest.hexdigest()[:12]}"

    def creatives(self, request: CreativeRequest) -> CreativeSet:
        """Variants best first. Raises InputError for guidelines that leave no room, AgentUnavailable if nothing survives."""
        brief, rejected = request.brief, Counter[str]()
        book = Rulebook(brief)
        wanted = self._slots(book, request.seed)
        facts = self._facts(brief, wanted)
        drafts, generated = self._write(book, wanted, facts, request.seed, rejected)
        chosen = Selection()
        for slot, texts in zip(wanted, drafts, strict=True):
            self._take(chosen, book, slot, texts, CopySource.LANGUAGE_MODEL)
        rejected["near_duplicate"] += chosen.turned_away
        self._fill(chosen, book, wanted, facts, request.seed)
        if not chosen.kept:
            raise AgentUnavailable("creative", "no text keeps the guidelines of this brief")
        return CreativeSet(
            variants=self._variants(chosen), generated=generated,
            rejected={k: v for k, v in sorted(rejected.items()) if v}, model_version=self.version,
        )  # fmt: skip

    def _model(self) -> CopyModel | None:
        if self._loaded is None and self._given is not None and not isinstance(self._given, CopyModel):
            try:
                self._loaded = self._given()
            except Exception:  # noqa: BLE001 - whatever a model raises, templates answer
                _LOG.warning("the language model could not be loaded; templates word the copy", exc_info=True)
                self._given = None
        return self._loaded

    def _slots(self, book: Rulebook, seed: int) -> list[Slot]:
        """Tone and appeal of each variant; the price is argued with only where the brief states one."""
        brief = book.brief
        appeals = [a for a in Appeal if a is not Appeal.PRICE or book.statements.states_price]
        tones = list(dict.fromkeys(brief.guidelines.tones)) or list(Tone)
        order = random.Random(f"{seed}|{brief.campaign_id}")
        order.shuffle(tones)
        order.shuffle(appeals)
        return slots(tones, appeals, brief.variants)

    def _facts(self, brief: Brief, wanted: Sequence[Slot]) -> list[list[str]]:
        """For each slot the brief's statements, those nearest its appeal and least used so far first."""
        stated = templates.statements(brief)
        vectors, used, found = self.embedder.embed(stated), Counter[str](), []
        for slot in wanted:
            nearness = vectors @ self.embedder.embed([_APPEAL_TEXT[slot.appeal]])[0]
            money = slot.appeal is Appeal.PRICE
            worth = [
                float(nearness[n])
                - (0.0 if money else 0.25 * used[text])
                + (2.0 if money and names_money(text) else 0.0)
                for n, text in enumerate(stated)
            ]
            order = sorted(range(len(stated)), key=lambda n: (-worth[n], n))
            used[stated[order[0]]] += 1
            kept = [n for n in order if not money or names_money(stated[n])] or order
            found.append([stated[n] for n in kept[:3]])
        return found

    def _write(
        self, book: Rulebook, wanted: Sequence[Slot], facts: Sequence[Sequence[str]], seed: int, rejected: Counter[str]
    ) -> tuple[list[list[tuple[str, str, float]]], int]:
        """The model's texts that keep the rules, for each slot, and how many it wrote."""
        model = self._model()
        empty: list[list[tuple[str, str, float]]] = [[] for _ in wanted]
        if model is None:
            return empty, 0
        try:
            return Writer(model, *self.texts_each).write(book, wanted, facts, seed, rejected)
        except Exception:  # noqa: BLE001 - whatever a model raises, templates answer
            _LOG.warning("the language model failed; templates word the copy", exc_info=True)
            return empty, 0

    def _fill(
        self, chosen: Selection, book: Rulebook, wanted: Sequence[Slot], facts: Sequence[Sequence[str]], seed: int
    ) -> None:
        """Templates for the slots that are still open, then for any slot until the number is reached."""
        open_slots = Counter(wanted)
        open_slots.subtract(Counter(k.slot for k in chosen.kept))
        ordered = [n for n, slot in enumerate(wanted) if open_slots[slot] > 0]
        for last_resort, n in (*((False, n) for n in (*ordered, *range(len(wanted)))), *((True, n) for n in ordered)):
            if len(chosen.kept) >= book.brief.variants:
                return
            slot, preferred = wanted[n], facts[n]
            if last_resort:
                texts = templates.bare(book.brief, book.copy_limit)
            else:
                texts = list(templates.candidates(book.brief, slot.tone, slot.appeal, preferred, book.copy_limit))
            random.Random(f"{seed}|{slot.tone}|{slot.appeal}").shuffle(texts)
            passing = ((h, b, 0.0) for h, b in texts if not book.check(h, book.with_disclaimer(b)))
            self._take(chosen, book, slot, list(itertools.islice(passing, _TEMPLATES_TRIED)), CopySource.TEMPLATE)

    def _take(
        self, chosen: Selection, book: Rulebook, slot: Slot, texts: Sequence[tuple[str, str, float]], source: CopySource
    ) -> None:
        if not texts:
            return
        brief = book.brief
        copies = [ad_text(h, b) for h, b, _ in texts]
        vectors = self.embedder.embed(copies)
        relevance = np.clip(vectors @ self.embedder.embed([brief_text(brief)])[0], 0.0, 1.0)
        fit = tone_share(self.embedder, copies, [slot.tone] * len(copies))
        found = [
            Candidate(
                h, book.with_disclaimer(b), slot, source, float(relevance[n]) + 0.5 * fluency + 0.5 * score,
                float(relevance[n]), score,
            )
            for n, (h, b, fluency) in enumerate(texts)
            for score in (brand(h, b, brief, float(fit[n])),)
        ]  # fmt: skip
        chosen.take(found, vectors, lambda some: self._readings([found[n] for n in some], vectors[some]))

    def _readings(self, found: Sequence[Candidate], copies: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Vectors of each ad's readings: as ``copies``, with its disclaimer, and its parts joined by a blank."""
        whole = self.embedder.embed([ad_text(c.headline, c.body) for c in found])
        plain = self.embedder.embed([f"{c.headline} {c.body}" for c in found])
        return [np.stack(readings) for readings in zip(copies, whole, plain, strict=True)]

    def _variants(self, chosen: Selection) -> tuple[CopyVariant, ...]:
        found = [
            (
                c.quality,
                CopyVariant(
                    creative_id=creative_id(c.headline, c.body), headline=c.headline, body=c.body, tone=c.slot.tone,
                    appeal=c.slot.appeal, source=c.source,
                    scores=CreativeScores(relevance=c.relevance, diversity=diversity, brand=c.brand),
                ),
            )
            for c, diversity in zip(chosen.kept, chosen.diversity(), strict=True)
        ]  # fmt: skip
        return tuple(
            v for _, v in sorted(found, key=lambda pair: -(pair[1].scores.relevance + 0.5 * pair[1].scores.brand))
        )


def creative_id(headline: str, body: str) -> str:
    """Identifier of a text: the same text has the same id."""
    return "copy-" + hashlib.sha256(f"{headline}\n{body}".encode()).hexdigest()[:16]


def attributes(variant: CopyVariant, brief: Brief) -> CreativeAttributes:
    """What the targeting models may know of a variant."""
    return CreativeAttributes(
        creative_id=variant.creative_id, campaign_id=brief.campaign_id, product_category=brief.product.category,
        tone=variant.tone, appeal=variant.appeal,
    )  # fmt: skip
