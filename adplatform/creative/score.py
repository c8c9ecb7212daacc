"""Scores of copy from sentence embeddings: relevance, diversity and brand fit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adplatform.contracts.brief import Brief, Tone
from adplatform.creative.device import device
from adplatform.creative.text import examples, words
from adplatform.creative.weights import PACKAGED, content_hash, packaged_embedder, resolve

_CACHED = 20_000
Vectors = NDArray[np.float32]


@dataclass
class Embedder:
    """all-MiniLM-L6-v2 through transformers: mean of the token vectors, then unit length (Reimers & Gurevych 2019)."""

    model: Any
    tokenizer: Any
    version: str
    _cache: OrderedDict[str, Vectors] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def load(cls, source: str = PACKAGED) -> Embedder:
        """Load 'packaged', a model directory or a hub name. Raises SetupError when it does not exist."""
        from transformers import AutoModel, AutoTokenizer

        place, local = (str(packaged_embedder()), True) if source == PACKAGED else resolve(source, packaged_embedder())
        model = AutoModel.from_pretrained(place, local_files_only=local)
        tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=local)
        return cls(model.eval().to(device()), tokenizer, content_hash(place))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (len(texts), dimension); the dot product of two is their cosine."""
        with self._lock:
            missing = [t for t in dict.fromkeys(texts) if t not in self._cache]
            for start in range(0, len(missing), 64):
                batch = missing[start : start + 64]
                self._cache.update(zip(batch, self._encode(batch), strict=True))
            found = np.stack([self._cache[t] for t in texts]) if texts else np.zeros((0, 1), np.float32)
            while len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return found

    def _encode(self, texts: list[str]) -> Vectors:
        import torch

        with torch.inference_mode():
            batch = self.tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
            batch = batch.to(self.model.device)
            hidden = self.model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None].to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            return np.asarray(torch.nn.functional.normalize(mean, dim=1).cpu().numpy(), dtype=np.float32)


def brief_text(brief: Brief) -> str:
    """What relevance is measured against."""
    product = brief.product
    return " ".join((f"{product.name}.", product.description, *product.facts))


def ad_text(headline: str, body: str) -> str:
    """What diversity is measured on: the ad as it reads."""
    return f"{headline}. {body}" if headline[-1:] not in ".!?" else f"{headline} {body}"


def tone_share(embedder: Embedder, texts: Sequence[str], tones: Sequence[Tone]) -> NDArray[np.float64]:
    """Share of the four tones whose examples are no nearer to a text than those of its own tone, shape (n,)."""
    centres = np.stack(
        [embedder.embed([ad_text(e.headline, e.body) for e in examples() if e.tone is t]).mean(0) for t in Tone]
    )
    similarity = embedder.embed(texts) @ centres.T
    own = np.array([list(Tone).index(t) for t in tones])
    return np.asarray((similarity <= similarity[np.arange(len(own)), own][:, None]).mean(1), dtype=np.float64)


def brand(headline: str, body: str, brief: Brief, tone_fit: float) -> float:
    """Share of six soft checks kept; the tone check counts by ``tone_fit`` in [0, 1].

    The others: the product is named; the headline uses at most 90 % of its slot; no more than one exclamation mark;
    sentences of at most 18 words; the headline has at most 8 words.
    """
    text = f"{headline} {body}"
    checks = (
        brief.product.name.casefold() in text.casefold(),
        len(headline) <= 0.9 * brief.guidelines.headline_max,
        text.count("!") <= 1,
        all(len(words(s)) <= 18 for s in body.replace("!", ".").replace("?", ".").split(".")),
        len(words(headline)) <= 8,
    )
    return (sum(checks) + tone_fit) / (len(checks) + 1)
