"""Claim ``fuzz``: schemathesis finds nothing on the served OpenAPI.

Left out, with the reason: ``/v1/creatives`` and ``/v1/plan`` wait for a language model, 20 s an example. Not asked of
``/v1/lift`` and ``/v1/segments/rank``: that whatever fits the schema is accepted; rules over two fields (no more successes
than users) and names that the data must know are in no schema.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from adplatform.contracts.claims import Claim
from benchmarks.served import all_served, scratch

SPECIFICATION: Final = "/openapi.json"
EVERY_CHECK: Final = ("^/v1/(decide|events|experiments)", ())
WITHOUT_ACCEPTANCE: Final = ("^/v1/(lift|segments)", ("--exclude-checks", "positive_data_acceptance"))
OPERATIONS: Final = 5
START_SECONDS: Final = 60.0


def run(
    examples: int = 500, seed: int = 107, progress: Callable[[float], None] | None = None, source: Path | None = None
) -> Claim:
    """``examples`` of each operation. ``figure``: findings; ``n``: examples an operation.

    The twin asks for a body field that no answer has: schemathesis must find that.
    """
    with scratch(source) as (home, key), all_served(home, key) as (_, clients):
        client = clients["gateway"]
        page = client.get(SPECIFICATION)
        specification = home / "openapi.json"
        specification.write_bytes(page.content)
        found = []
        for number, (paths, more) in enumerate((EVERY_CHECK, WITHOUT_ACCEPTANCE)):
            found.append(schemathesis(client, key, specification, paths, examples, seed, more))
            if progress:
                progress((number + 1) / 3)
        twin = home / "twin.json"
        twin.write_text(page.text.replace('"propensity"', '"another"'))
        planted = schemathesis(client, key, twin, "^/v1/(lift|experiments)", 5, seed, ())
    findings = sum(f.findings for f in found)
    tested = sum(f.tested for f in found)
    return Claim(
        name="fuzz",
        claim="schemathesis, every check, finds nothing on the served OpenAPI (exclusions: benchmarks/fuzz_claim.py)",
        figure=float(findings),
        holds=findings == 0 and tested == OPERATIONS and planted.findings > 0,
        n=examples,
        detail={
            "operations": tested, "cases": sum(f.cases for f in found), "twin_findings": planted.findings,
            "output": [f.output[-2000:] for f in found if f.findings],
        },
    )  # fmt: skip


class Fuzzed:
    """What one run of schemathesis printed, read."""

    def __init__(self, output: str, code: int) -> None:
        self.output = output
        self.tested = _number(r"Tested: (\d+)", output)
        self.cases = _number(r"(\d+) generated", output)
        failures = _number(r"found (\d+) unique failures", output) + _number(r"(\d+) error", output)
        self.findings = failures if failures or code == 0 else 1


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found.group(1)) if found else 0


def schemathesis(
    client: httpx.Client, key: str, specification: Path, paths: str, examples: int, seed: int, more: tuple[str, ...]
) -> Fuzzed:
    """Run it on the operations that ``paths`` matches."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", str(specification), "--url", str(client.base_url).rstrip("/"),
        "-H", f"Authorization: Bearer {key}", "--max-examples", str(examples), "--seed", str(seed), "--checks", "all",
        "--no-color", "--include-path-regex", paths, *more,
    ]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=specification.parent)
    return Fuzzed(ran.stdout + ran.stderr, ran.returncode)
