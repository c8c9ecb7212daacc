"""One place chooses the device, and everything that generation and embedding touch is on it.

torch's fake tensors on "meta" stand for a GPU: they have a device and no numbers, and what mixes devices fails as there.
The few numbers that generation reads back are made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from adplatform.creative import copy_model, score
from adplatform.creative.copy_model import CopyModel
from adplatform.creative.device import device
from adplatform.creative.score import Embedder
from adplatform.doctor import examine
from adplatform.settings import Settings

ELSEWHERE = "meta"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Another device than the CPU is chosen. Devices of the tensors and generators that are made by name."""
    found: list[str] = []
    tensor, generator = torch.tensor, torch.Generator

    def tensor_on(*values: Any, device: Any = "cpu", **options: Any) -> torch.Tensor:
        found.append(torch.device(device).type)
        return tensor(*values, **options).to(device)

    def generator_on(on: Any = "cpu") -> torch.Generator:
        found.append(torch.device(on).type)
        return generator()  # torch has none for this device

    for module in (copy_model, score):
        monkeypatch.setattr(module, "device", lambda: ELSEWHERE)
    with FakeTensorMode(allow_non_fake_inputs=True):
        monkeypatch.setattr(torch, "tensor", tensor_on)
        monkeypatch.setattr(torch, "Generator", generator_on)
        yield found


def devices(model: torch.nn.Module) -> set[str]:
    return {p.device.type for p in (*model.parameters(), *model.buffers())}


def test_the_gpu_is_chosen_where_torch_finds_one_else_the_cpu(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device() == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device() == "cpu"
    assert devices(CopyModel.load(str(tiny)).model) == {"cpu"}


def test_generation_is_on_the_device_from_the_prompt_to_the_last_token(
    tiny: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CopyModel.load(str(tiny))
    assert devices(model.model) == {ELSEWHERE}
    letter, end = (model.tokenizer.encode(c, add_special_tokens=False)[0] for c in "a\n")
    read: list[str] = []

    def tolist(tensor: torch.Tensor) -> list[Any]:
        """Of the chosen tokens: the first row ends, the others go on."""
        read.append(tensor.device.type)
        return [0.5] * len(tensor) if tensor.is_floating_point() else [end, *[letter] * (len(tensor) - 1)]

    monkeypatch.setattr(FakeTensor, "tolist", tolist)
    made.clear()
    found = model.generate(["Ad:", "Another ad:"], 2, seed=1, allowed=lambda text: [letter, end], most_tokens=9)
    assert [s.text for s in found] == ["", "a", "aa", "aaa"]
    assert set(read) == {ELSEWHERE}
    assert set(made) == {ELSEWHERE}


def test_embeddings_are_made_on_the_device_and_come_back_from_it(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = Embedder.load()
    assert devices(embedder.model) == {ELSEWHERE}
    brought: list[str] = []

    def cpu(tensor: torch.Tensor) -> Any:
        brought.append(tensor.device.type)
        return SimpleNamespace(numpy=lambda: np.ones(tensor.shape, np.float32))

    monkeypatch.setattr(FakeTensor, "cpu", cpu)
    given: list[str] = []

    def look(module: Any, args: Any, named: dict[str, torch.Tensor]) -> None:
        given.extend(tensor.device.type for tensor in named.values())

    embedder.model.register_forward_pre_hook(look, with_kwargs=True)
    assert embedder.embed(["A cabin backpack.", "A pen."]).shape == (2, 384)
    assert brought == [ELSEWHERE]
    assert set(given) == {ELSEWHERE}


def test_doctor_names_the_device_that_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for there, name in ((True, "a card"), (False, "cpu, ")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda on: {"cuda": "a card"}[on])
        found = {f.what: f.found for f in examine(Settings(home=tmp_path))}
        assert found["device"].startswith(name)
