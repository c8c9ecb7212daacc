"""The language model that words copy: packaged SmolLM2, a local path or a hub name, all through the same code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adplatform.creative.device import device
from adplatform.creative.vocabulary import TokenTable
from adplatform.creative.weights import PACKAGED, content_hash, convert_packaged, resolve

Allowed = Callable[[str], list[int]]
"""From a row's text so far to the ids of the tokens that may follow."""


@dataclass(frozen=True)
class Sample:
    """One generated text (without its closing newline) and the model's own mean log-probability of its tokens."""

    prompt: int
    text: str
    fluency: float
    finished: bool


@dataclass
class CopyModel:
    """A causal language model and its tokenizer, in float32, loaded once."""

    model: Any
    tokenizer: Any
    version: str
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def load(cls, source: str = PACKAGED, *, packaged: Path | None = None) -> CopyModel:
        """Load 'packaged', a model directory or a hub name (the only case that may use the network).

        ``packaged``: the converted directory of the packaged model; made there if missing (about 20 s, once).
        Raises SetupError when the source does not exist.
        """
        if source == PACKAGED:
            if packaged is None:
                raise ValueError("the packaged model needs a directory to be converted into")
            convert_packaged(packaged)
        place, local = resolve(source, packaged or Path())
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(place, local_files_only=local, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=local)
        return cls(model.eval().to(device()), tokenizer, content_hash(place))

    def __post_init__(self) -> None:
        self.table = TokenTable.of(self.tokenizer)

    def generate(
        self, prompts: Sequence[str], each: int, *, seed: int, allowed: Allowed | None = None, most_tokens: int = 48,
        temperature: float = 0.6, top_p: float = 0.9,
    ) -> list[Sample]:  # fmt: skip
        """Sample ``each`` continuations of every prompt up to a newline, in one batch.

        The prompts are read once and their cache is repeated, which saves (each - 1) / each of the prefill. The draw
        depends on ``seed`` alone (own generator), so the same seed, version, device and thread count give the same texts.
        """
        with self._lock:
            return _Sampling(self, each, seed, allowed, most_tokens, temperature, top_p).run(list(prompts))


@dataclass
class _Sampling:
    """One batch: state of all rows while it is written."""

    owner: CopyModel
    each: int
    seed: int
    allowed: Allowed | None
    most_tokens: int
    temperature: float
    top_p: float

    def run(self, prompts: list[str]) -> list[Sample]:
        import torch

        tokenizer, model = self.owner.tokenizer, self.owner.model
        on = model.device
        ids = [tokenizer(p, add_special_tokens=False)["input_ids"] for p in prompts]
        longest = max(len(row) for row in ids)
        padded = torch.tensor([[0] * (longest - len(row)) + row for row in ids], device=on)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids], device=on)
        generator = torch.Generator(on).manual_seed(self.seed)
        with torch.inference_mode():
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
            out = model(input_ids=padded, attention_mask=mask, position_ids=positions, use_cache=True)
            cache = out.past_key_values
            cache.batch_repeat_interleave(self.each)
            logits = out.logits[:, -1].repeat_interleave(self.each, 0)
            return self._decode(cache, logits, mask.repeat_interleave(self.each, 0), generator)

    def _decode(self, cache: Any, logits: Any, mask: Any, generator: Any) -> list[Sample]:
        import torch

        rows = logits.shape[0]
        texts = [""] * rows
        scores: list[list[float]] = [[] for _ in range(rows)]
        open_rows, live, finished = [True] * rows, list(range(rows)), [False] * rows
        for _ in range(self.most_tokens):
            chosen, gained = self._choose(logits, [texts[r] for r in live], generator)
            for row, token, score in zip(live, chosen, gained, strict=True):
                piece = self.owner.table.texts[token]
                scores[row].append(score)
                if token in self.owner.table.ends or "\n" in piece:
                    # An end that no allowed token led to is a text cut off in mid-phrase.
                    finished[row], open_rows[row] = "\n" in piece or self.allowed is None, False
                else:
                    texts[row] += piece
            keep = [i for i, row in enumerate(live) if open_rows[row]]
            if not keep:
                break
            if len(keep) < len(live):
                index = torch.tensor(keep, device=mask.device)
                cache.batch_select_indices(index)
                mask, chosen, live = mask[index], [chosen[i] for i in keep], [live[i] for i in keep]
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], 1)
            positions = (mask.sum(-1, keepdim=True) - 1).clamp(min=0)
            step = self.owner.model(
                input_ids=torch.tensor(chosen, device=mask.device)[:, None], attention_mask=mask, position_ids=positions,
                cache=cache, use_cache=True,
            )  # fmt: skip
            logits = step.logits[:, -1]
        return [
            Sample(r // self.each, texts[r].strip(), sum(scores[r]) / max(len(scores[r]), 1), finished[r])
            for r in range(rows)
        ]

    def _choose(self, logits: Any, texts: list[str], generator: Any) -> tuple[list[int], list[float]]:
        """Draw one token a row by nucleus sampling (Holtzman et al. 2020) among the allowed ones."""
        import torch

        logs = torch.log_softmax(logits.float(), -1)
        scaled = logits.float() / self.temperature
        if self.allowed is not None:
            blocked = torch.full_like(scaled, float("-inf"))
            for row, text in enumerate(texts):
                ids = torch.tensor(self.allowed(text) or sorted(self.owner.table.ends), device=scaled.device)
                blocked[row, ids] = scaled[row, ids]
            scaled = blocked
        values, order = torch.softmax(scaled, -1).topk(min(200, scaled.shape[-1]), -1)
        values[(values.cumsum(-1) - values) > self.top_p] = 0.0
        drawn = torch.multinomial(values.clamp(min=0.0), 1, generator=generator)
        token = order.gather(-1, drawn)
        return token[:, 0].tolist(), logs.gather(-1, token)[:, 0].tolist()
