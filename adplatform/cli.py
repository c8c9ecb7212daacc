"""``adplatform``: thin commands over assembly, store and Dagster.

Exit codes: 0 done, 1 a check or a run failed, 2 the input is wrong, 3 the environment is wrong.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from adplatform.alerts.commands import alerts
from adplatform.contracts.errors import AdPlatformError, InputError
from adplatform.contracts.tables import TABLES
from adplatform.report import commands as reporting
from adplatform.settings import REPOSITORY, settings
from adplatform.terminal import JsonFlag, console, emit, out
from adplatform.upkeep import commands as upkeep

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich", help=__doc__)
experiment = typer.Typer(no_args_is_help=True, help="Look at randomized experiments and decide on them.")
app.add_typer(experiment, name="experiment")
keys = typer.Typer(no_args_is_help=True, help="Keys of those who call the endpoints.")
app.add_typer(keys, name="keys")
app.add_typer(upkeep.log, name="log")
app.add_typer(alerts, name="alerts")
app.command()(reporting.status)
app.command()(reporting.report)
app.command()(upkeep.explain)
app.command("delete-user")(upkeep.delete_user)


class Dataset(StrEnum):
    """Data sets that ``demo`` can load."""

    SIMULATED = "simulated"
    OPEN_BANDIT = "open-bandit"


class Scale(StrEnum):
    """Sizes of the simulated market."""

    TINY = "tiny"
    SMALL = "small"
    MEDIUM = "medium"


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(option, f"{text!r} is not a day", "write it as 2026-11-25") from None


@app.command()
def demo(
    dataset: Annotated[
        Dataset, typer.Option(help="Simulated market, or real logs of a fashion shop.")
    ] = Dataset.SIMULATED,
    scale: Annotated[Scale, typer.Option(help="Size of the simulated market.")] = Scale.TINY,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated market.")] = 1,
    last_day: Annotated[str | None, typer.Option(help="Last day of data; yesterday (UTC) if not given.")] = None,
    campaigns: Annotated[int | None, typer.Option(help="Plan only the first so many campaigns.", min=1)] = None,
    claims: Annotated[bool, typer.Option(help="Check the reduced claims against known truth as well.")] = True,
) -> None:
    """Run the whole loop once: behaviour data, models, plan, report.

    State goes to ADPLATFORM_HOME (default .adplatform/ beside the checkout). A home that holds another data set is
    refused, never overwritten.
    """
    from adplatform.demo import DemoRequest, run_demo

    wanted = DemoRequest(dataset.value, scale.value, seed, _day(last_day, "--last-day"), campaigns, claims)
    result = run_demo(wanted, console)
    out.print(f"report: {result.report}", soft_wrap=True)
    if not result.ok:
        raise typer.Exit(1)


@app.command()
def ingest(
    table: Annotated[str, typer.Argument(help=f"One of: {', '.join(TABLES)}.")],
    path: Annotated[Path, typer.Argument(help="A CSV (with header, UTF-8) or Parquet file.")],
    replace: Annotated[
        str | None, typer.Option(help="Replace this day's rows (a restated day), as 2026-11-25.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Land a file: validated, atomic, and safe to repeat.

    The same event again is dropped and counted; a known id with other content is refused; a bad file lands nothing and
    the error names file, row, column, value and the mend.
    """
    from adplatform.store.landing import Landing

    day = _day(replace, "--replace")
    with console.status(f"landing {path.name}"):
        report = Landing(settings()).ingest(table, path, replace=day)
    counts = {k: getattr(report, k) for k in ("accepted", "duplicates", "late", "replaced")}
    if json_:
        emit({"table": table, **counts, "days": [str(d) for d in report.days]})
        return
    out.print(f"{table}: " + ", ".join(f"{v} {k}" for k, v in counts.items()))


@app.command()
def plan(
    request: Annotated[str, typer.Argument(help="A sentence in quotes, or the path of a brief (.yaml).")],
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Seed of the draws; the same request and seed give the same plan.")
    ] = 0,
    json_: JsonFlag = False,
) -> None:
    """Turn a campaign request into a plan: creatives, segments, budgets, and who said what.

    [bold]adplatform plan "Sell our trail running shoes to runners aged 18 to 29 for €5,000 from 1 to 14 December"[/bold]
    """
    from adplatform import commands

    with console.status("planning"):
        answer = commands.plan_request(settings(), request, seed=seed, today=datetime.now(UTC).date())
    if json_:
        sys.stdout.write(answer.model_dump_json(indent=2) + "\n")
        return
    from adplatform.report.text import print_plan

    print_plan(out, answer)


@app.command()
def materialize(
    selection: Annotated[
        str, typer.Argument(help="Dagster asset selection, e.g. 'key:campaign_plans' or '+segment_rankings'.")
    ],
    partition: Annotated[str | None, typer.Option(help="Partition key: a day, a campaign, or day...day.")] = None,
) -> None:
    """Materialize assets in this process; the run shows in the UI like any other."""
    from adplatform.launch import materialize_selection

    ok = materialize_selection(settings(), selection, partition, console)
    if not ok:
        raise typer.Exit(1)


@app.command()
def dev(port: Annotated[int, typer.Option(help="Port on the loopback.")] = 3000) -> None:
    """Dagster's UI and daemon on the loopback. Ctrl-C ends both."""
    from adplatform.defs.runs import instance

    with instance() as found:
        console.print(f"state in {settings().home}; {len(found.get_dynamic_partitions('campaigns'))} campaigns")
    command = [str(Path(sys.executable).with_name("dagster")), "dev", "-w", str(REPOSITORY / "workspace.yaml")]
    os.chdir(settings().home)  # in a folder with a dagster.yaml of its own, dagster warns that it does not read it
    # dagster dev is on the loopback by its default; said here so that it stays there.
    os.execv(command[0], [*command, "-h", "127.0.0.1", "-p", str(port)])


@app.command()
def serve(port: Annotated[int, typer.Option(help="Port of the gateway on the loopback.")] = 3100) -> None:
    """The endpoints on the loopback. Ctrl-C drains and ends them.

    Make a key first: [bold]adplatform keys add shop --scope decide --scope ingest[/bold]
    """
    from adplatform.serve import Services

    with Services(settings(), port) as services:
        console.print(f"gateway on http://127.0.0.1:{port}; state in {settings().home}", soft_wrap=True)
        services.wait()


@app.command()
def rollback(agent: Annotated[str, typer.Argument(help="response_model, bandit_policy or budget_policy.")]) -> None:
    """Give an agent back its previous champion; the pointer moves atomically."""
    from adplatform import commands

    moved = commands.rollback(settings(), agent)
    out.print(f"{moved.agent}: {moved.champion} serves again (was {moved.previous})")


@app.command()
def shadow(
    agent: Annotated[str, typer.Argument(help="bandit_policy.")],
    version: Annotated[str | None, typer.Argument(help="A version of it, or off; without, say what runs.")] = None,
) -> None:
    """Run a challenger on live requests. What it says is logged (see explain), never answered."""
    from adplatform import commands

    out.print(commands.shadow(settings(), agent, version))


@app.command()
def doctor(json_: JsonFlag = False) -> None:
    """What is installed, which weights, which device, what would fail. Exit code 3 if something would."""
    from adplatform.doctor import examine

    found = examine(settings())
    if json_:
        emit([row._asdict() for row in found])
    else:
        table = Table("what", "found", "mend")
        for row in found:
            table.add_row(row.what, f"[green]{row.found}[/green]" if row.ok else f"[red]{row.found}[/red]", row.mend)
        out.print(table)
    if not all(row.ok for row in found):
        raise typer.Exit(3)


@experiment.command("status")
def experiment_status(
    name: Annotated[str | None, typer.Argument(help="Experiment id; all if not given.")] = None, json_: JsonFlag = False
) -> None:
    """Lift, interval, power and the proposed action of an experiment, from its counts now."""
    from adplatform import commands

    found = commands.experiment_status(settings(), name)
    if json_:
        emit([json.loads(d.model_dump_json()) for d in found])
        return
    table = Table("experiment", "action", "lift", "95 % interval", "reason")
    for row in found:
        low, high = row.lift.absolute_interval.low, row.lift.absolute_interval.high
        table.add_row(
            row.experiment_id, row.action.value, f"{row.lift.absolute:+.4f}", f"{low:+.4f} to {high:+.4f}", row.reason
        )
    out.print(table)


@keys.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[list[str], typer.Option(help="read, decide, ingest, or admin for everything; repeat for more.")],
    days: Annotated[float | None, typer.Option(help="Days until it expires; never if not given.", min=0)] = None,
) -> None:
    """Make a key. Its secret is printed this once; only its hash is kept. Running servers take it within a second."""
    from adplatform.store.keys import Keys

    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    record, secret = Keys(settings().keys).add(name, scope, expires)
    console.print(f"key {record.key_id} for {name}: keep it, it is not shown again", soft_wrap=True)
    sys.stdout.write(secret + "\n")


@keys.command("list")
def keys_list(json_: JsonFlag = False) -> None:
    """Every key without its secret: scopes, when it ends, whether it was revoked."""
    from adplatform.store.keys import Keys

    found = Keys(settings().keys).records()
    if json_:
        emit([r.model_dump(mode="json", exclude={"sha256"}) for r in found])
        return
    table = Table("key", "name", "scopes", "expires", "revoked")
    for r in found:
        ends, revoked = (f"{at:%Y-%m-%d %H:%M}" if at else "" for at in (r.expires_at, r.revoked_at))
        table.add_row(r.key_id, r.name, " ".join(r.scopes), ends, revoked)
    out.print(table)


@keys.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="Id of the key, as keys list shows it.")]) -> None:
    """End a key. Running servers refuse it within a second."""
    from adplatform.store.keys import Keys

    record = Keys(settings().keys).revoke(key_id)
    out.print(f"key {record.key_id} for {record.name} is revoked")


def main() -> None:
    """Entry point: every error that we raise on purpose is one line and its exit code."""
    try:
        app()
    except AdPlatformError as error:
        console.print("error:", " ".join(str(error).split()), soft_wrap=True, highlight=False, markup=False)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
