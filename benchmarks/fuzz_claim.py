"""Claim ``fuzz``: schemathesis finds nothing on the served OpenAPI.

Every operation and every check but those of ``LEFT_OUT`` and ``NOT_ASKED``. So that answers are 200 and not only 404, some
ids of the served home are told beside what schemathesis makes up; an operation that never answered 200 was not examined.
"""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow.parquet as pq

from adplatform.contracts.claims import Claim
from adplatform.contracts.errors import AdPlatformError, SetupError
from adplatform.inputs import published
from adplatform.settings import Settings
from adplatform.store.library import Library
from benchmarks.served import all_served, scratch

SPECIFICATION: Final = "/openapi.json"
LEFT_OUT: Final = {
    "POST /v1/creatives": "it waits for a language model, 20 s an example",
    "POST /v1/plan": "it waits for a language model, 20 s an example",
}
"""Operations that are not asked, and why."""
NOT_ASKED: Final = {
    "POST /v1/lift": {"positive_data_acceptance": "no more successes than users: no schema has rules over two fields"},
    "POST /v1/segments/rank": {
        "positive_data_acceptance": "segments and regions must be known: the data has their names"
    },
}
"""Checks that are not made of an operation, and why."""
PLANTED: Final = "response_schema_conformance"
"""What the twin must find."""
MOST_TOLD: Final = 1000
"""Letters of a body that a finding tells."""
FEW: Final = 8
"""Ids of each kind that schemathesis is told."""


class Known(NamedTuple):
    """Ids that the served home knows."""

    creatives: list[str]
    users: list[str]
    experiments: list[str]


class Fuzzed(NamedTuple):
    """What schemathesis reported, by operation ("POST /v1/decide")."""

    sent: Counter[str]
    answered: Counter[str]
    """With 200."""
    checked: Counter[str]
    """How often each check was made."""
    findings: Counter[tuple[str, str]]
    """Requests that failed a check, by operation and check."""
    first: dict[tuple[str, str], str]
    """What the first of them sent and got."""


def run(
    examples: int = 500, seed: int = 107, progress: Callable[[float], None] | None = None, source: Path | None = None
) -> Claim:
    """``examples`` of each operation. ``figure``: checks that failed, each once an operation; ``n``: examples an operation.

    The twin is the same run, but that its page promises a field which no answer has: schemathesis must find that by
    ``PLANTED`` in every operation.
    """
    with scratch(source) as (home, key), all_served(home, key) as (_, clients):
        client = clients["gateway"]
        page = seeded(client.get(SPECIFICATION).raise_for_status().json(), known(home))
        made = []
        for number, asked in enumerate((page, planted(page))):
            made.append(schemathesis(str(client.base_url), key, asked, home / f"fuzz-{number}", examples, seed))
            if progress:
                progress((number + 1) / 2)
    return conclude(operations(page) - LEFT_OUT.keys(), made[0], made[1], examples)


def conclude(asked: set[str], found: Fuzzed, twin: Fuzzed, examples: int) -> Claim:
    """The claim: nothing found, each operation of ``asked`` examined, and the twin found in each."""
    silent = sorted(o for o in asked if not found.answered[o])
    missed = sorted(o for o in asked if not twin.findings[o, PLANTED])
    return Claim(
        name="fuzz",
        claim="schemathesis, every check, finds nothing on the served OpenAPI (exclusions: benchmarks/fuzz_claim.py)",
        figure=float(len(found.findings)),
        holds=bool(asked) and not found.findings and not silent and not missed,
        n=examples,
        detail={
            "findings": {f"{o}: {check}": n for (o, check), n in sorted(found.findings.items())},
            "first": {f"{o}: {check}": text for (o, check), text in sorted(found.first.items())},
            "sent": {o: found.sent[o] for o in sorted(asked)}, "answered_200": {o: found.answered[o] for o in sorted(asked)},
            "never_200": silent, "twin_not_found": missed, "checks": dict(sorted(found.checked.items())),
            "left_out": LEFT_OUT, "not_asked": NOT_ASKED,
        },
    )  # fmt: skip


def known(home: Path) -> Known:
    """Some ids of ``home``. Raises SetupError where it has none of a kind."""
    snapshot = published(Settings(home=home).snapshots)
    users = pq.read_table(home / "landing" / "users" / "current.parquet", columns=["user_id", "consent"])
    consenting = users.filter(users["consent"])["user_id"].to_pylist()
    experiments = [] if snapshot is None else [e.experiment_id for e in snapshot[1].market.experiments]
    found = Known(*(ids[:FEW] for ids in (sorted(Library(home / "landing").creatives), consenting, experiments)))
    if not all(found):
        raise SetupError(f"{home} lacks creatives, consenting users or experiments", "run adplatform demo first")
    return found


def operations(page: Mapping[str, Any]) -> set[str]:
    """Of an OpenAPI page."""
    return {f"{method.upper()} {path}" for path, methods in page["paths"].items() for method in methods}


def seeded(page: dict[str, Any], known: Known) -> dict[str, Any]:
    """The page with ``known`` as further choices where ids are asked for. It takes the same requests as before."""
    page = copy.deepcopy(page)
    decide = page["paths"]["/v1/decide"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    several = {"type": "array", "items": {"enum": known.creatives}, "minItems": 1, "maxItems": len(known.creatives)}
    decide["candidates"] = {"anyOf": [{**several, "uniqueItems": True}, decide["candidates"]]}
    decide["user_id"] = {"anyOf": [{"enum": known.users}, decide["user_id"]]}
    (experiment,) = page["paths"]["/v1/experiments/{experiment_id}"]["get"]["parameters"]
    experiment["schema"] = {"anyOf": [{"enum": known.experiments}, experiment["schema"]]}
    return page


def planted(page: dict[str, Any]) -> dict[str, Any]:
    """The page with a property required of every answer that none has."""
    page = copy.deepcopy(page)
    for methods in page["paths"].values():
        for operation in methods.values():
            answer = operation["responses"]["200"]["content"]["application/json"]
            answer["schema"] = {**answer["schema"], "required": ["planted"]}
    return page


def configuration() -> str:
    """The exclusions in schemathesis's own terms (TOML)."""
    lines = []
    for operation in LEFT_OUT:
        lines += ["[[operations]]", f'include-name = "{operation}"', "enabled = false"]
    for operation, checks in NOT_ASKED.items():
        lines += ["[[operations]]", f'include-name = "{operation}"', *(f"checks.{c}.enabled = false" for c in checks)]
    return "\n".join(lines)


def schemathesis(url: str, key: str, page: dict[str, Any], work: Path, examples: int, seed: int) -> Fuzzed:
    """Run it in the new directory ``work``. Raises AdPlatformError where it does not end by itself with a whole report."""
    work.mkdir()
    specification, config, report = work / "openapi.json", work / "schemathesis.toml", work / "report.ndjson"
    specification.write_text(json.dumps(page))
    config.write_text(configuration())
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run", str(specification),
        "--url", url.rstrip("/"), "-H", f"Authorization: Bearer {key}", "--max-examples", str(examples), "--seed", str(seed),
        "--no-color", "--report", "ndjson", "--report-ndjson-path", str(report),
    ]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=work)
    try:
        return read(report, ran.returncode)
    except AdPlatformError as error:
        raise AdPlatformError(f"{error}; schemathesis said: {(ran.stdout + ran.stderr)[-2000:]}") from error


def read(report: Path, code: int) -> Fuzzed:
    """The report (NDJSON, an event a line) of a run that ended with ``code``: 0, or 1 where something was found.

    Raises AdPlatformError on any other code, on errors, and on a report that does not read or has no end.
    """
    found, errors, end = Fuzzed(Counter(), Counter(), Counter(), Counter(), {}), [], "it has no end"
    try:
        with report.open() as lines:
            for line in lines:
                ((kind, event),) = json.loads(line).items()
                if kind == "ScenarioFinished":
                    _add(found, event["recorder"])
                elif kind in ("NonFatalError", "FatalError"):
                    errors.append(str(event)[:500])
                elif kind == "EngineFinished":
                    end = event["stop_reason"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AdPlatformError(f"the report of schemathesis does not read: {error!r}") from error
    if errors or end != "completed" or code not in (0, 1) or (code == 1 and not found.findings):
        raise AdPlatformError(f"schemathesis did not do its work: exit code {code}, {end}, errors {errors}")
    return found


def _add(found: Fuzzed, recorder: Mapping[str, Any]) -> None:
    """Count one scenario. What is empty is absent from the report."""
    names = {
        number: f"{case['value']['method'].upper()} {case['value']['path']}"
        for number, case in recorder.get("cases", {}).items()
    }
    for number, interaction in recorder.get("interactions", {}).items():
        found.sent[names[number]] += 1
        found.answered[names[number]] += interaction.get("response", {}).get("status_code") == 200
    for number, checks in recorder.get("checks", {}).items():
        found.checked.update(check["name"] for check in checks)
        failed = {(names[number], check["name"]) for check in checks if check["status"] == "failure"}
        found.findings.update(failed)
        for finding in failed:
            found.first.setdefault(finding, _said(recorder["interactions"][number]))


def _said(interaction: Mapping[str, Any]) -> str:
    """A request and its answer in words, bodies cut off."""

    def body(held: Mapping[str, Any] | None) -> str:
        return base64.b64decode((held or {}).get("$base64", "")).decode(errors="replace")[:MOST_TOLD]

    asked, answer = interaction["request"], interaction.get("response", {})
    told = f"{answer.get('status_code')} {body(answer.get('content'))}"
    return f"{asked['method']} {asked['uri']} {body(asked.get('body'))} -> {told}"
