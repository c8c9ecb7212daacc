"""Pages that are printed from code say what the code says."""

from __future__ import annotations

from adplatform.report.contracts_page import page
from tests.homes import REPOSITORY


def test_the_contracts_page_is_printed_from_the_contracts() -> None:
    assert (REPOSITORY / "docs" / "contracts.md").read_text() == page()
