"""The device that torch models run on: the one choice for all of them."""

from __future__ import annotations


def device() -> str:
    """``cuda`` where torch finds a GPU that it can use, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
