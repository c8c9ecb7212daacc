"""LightGBM through its C interface: for few rows ``Booster.predict`` takes most of its time before it walks a tree."""

from __future__ import annotations

import ctypes
import weakref
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

_FLOAT32: Final = 0
_RAW_SCORE: Final = 1


class Trees:
    """A trained model, from LightGBM's text. May be asked from several threads, and pickled."""

    def __init__(self, text: str) -> None:
        self.text, self._library = text, _library()
        self._handle = ctypes.c_void_p()
        found = self._library.LGBM_BoosterLoadModelFromString(
            text.encode(), ctypes.byref(ctypes.c_int()), ctypes.byref(self._handle)
        )
        self._check(found)
        weakref.finalize(self, self._library.LGBM_BoosterFree, self._handle)

    def __reduce__(self) -> tuple[type[Trees], tuple[str]]:
        return Trees, (self.text,)

    def raw(self, matrix: np.ndarray, threads: int) -> np.ndarray:
        """Raw score of each row of a float32 matrix, shape (rows,)."""
        rows, columns = matrix.shape
        data, out = np.ascontiguousarray(matrix, np.float32), np.empty(rows)
        found = self._library.LGBM_BoosterPredictForMat(
            self._handle, ctypes.c_void_p(data.ctypes.data), _FLOAT32, rows, columns, 1, _RAW_SCORE, 0, -1,
            b"num_threads=%d" % threads, ctypes.byref(ctypes.c_int64()), ctypes.c_void_p(out.ctypes.data),
        )  # fmt: skip
        self._check(found)
        return out

    def _check(self, found: int) -> None:
        if found:
            self._library.LGBM_GetLastError.restype = ctypes.c_char_p
            raise ValueError(f"LightGBM: {self._library.LGBM_GetLastError().decode()}")


def _library() -> Any:
    """Without importing the package, which takes a second and a half of whoever only predicts."""
    package = find_spec("lightgbm")
    assert package is not None
    assert package.origin is not None
    return ctypes.CDLL(str(next((Path(package.origin).parent / "lib").glob("lib_lightgbm.*"))))
