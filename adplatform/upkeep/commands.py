"""The commands ``explain``, ``delete-user`` and ``log …``; ``cli`` adds them to ``adplatform``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from adplatform.settings import settings
from adplatform.terminal import JsonFlag, bar, console, emit, out

log = typer.Typer(
    no_args_is_help=True, help="The decision log: back it up, restore, compact, replay what was rejected."
)


@log.command("backup")
def log_backup(
    path: Annotated[Path, typer.Argument(help="A file that is not there yet.")], json_: JsonFlag = False
) -> None:
    """Copy the log as it is at one moment into one file. Servers may go on writing."""
    from adplatform.store.decision_upkeep import backup

    with console.status(f"copying to {path}"):
        found = backup(settings().decisions, path)
    if json_:
        emit({"path": path, **found._asdict()})
        return
    out.print(f"{path}: {found.decisions} decisions, {found.events} events, {found.rejected} rejected", soft_wrap=True)


@log.command("restore")
def log_restore(path: Annotated[Path, typer.Argument(help="A backup.")], json_: JsonFlag = False) -> None:
    """Put a backup in the place of the log; the file before is kept beside it. End the servers first."""
    from adplatform.store.decision_upkeep import restore

    with console.status(f"restoring {path}"):
        found = restore(settings().decisions, path, datetime.now(UTC))
    if json_:
        emit({**found.contents._asdict(), "aside": found.aside})
        return
    kept = f"; the log before is kept as {found.aside}" if found.aside else ""
    out.print(f"{found.contents.decisions} decisions, {found.contents.events} events{kept}", soft_wrap=True)


@log.command("compact")
def log_compact(
    keep_days: Annotated[
        int | None, typer.Option(help="Keep so many days; ADPLATFORM_KEEP_DECISION_DAYS (30) if not given.", min=0)
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Remove what has landed and is old from the log. What has not landed stays. Servers may go on writing."""
    from adplatform.upkeep.keeping import compact_log

    with bar("compacting") as progress:
        found = compact_log(settings(), keep_days, datetime.now(UTC), progress)
    if json_:
        emit(found._asdict())
        return
    mb = [f"{size / 1e6:.1f}" for size in (found.bytes_before, found.bytes_after)]
    out.print(
        f"{found.decisions} decisions, {found.events} events and {found.answers} answers left the log; {mb[0]} to {mb[1]} MB"
    )
    if found.waiting:
        out.print(f"{found.waiting} older decisions stay: they, or what followed them, have not landed")


@log.command("replay")
def log_replay(json_: JsonFlag = False) -> None:
    """Judge rejected events again; those that are good now are accepted. Exit code 1 if any is still rejected."""
    from adplatform.contracts.errors import InputError
    from adplatform.store.decision_upkeep import replay

    config = settings()
    if not config.decisions.exists():
        raise InputError(str(config.decisions), "there is no decision log", "serve first")
    with bar("judging again") as progress:
        found = replay(config.decisions, datetime.now(UTC), progress)
    if json_:
        emit(found._asdict())
    else:
        out.print(f"{found.judged} rejected events: {found.accepted} accepted now, {found.duplicates} known already")
        for reason, n in sorted(found.reasons.items(), key=lambda item: -item[1])[:10]:
            out.print(f"{n} still rejected: {reason}", markup=False, soft_wrap=True)
    if found.reasons:
        raise typer.Exit(1)


def explain(
    decision_id: Annotated[str, typer.Argument(help="As the gateway answered it.")], json_: JsonFlag = False
) -> None:
    """Why a decision came out as it did: candidates, features, policy, what that was trained on, and what came of it.

    The probabilities are computed again from the policy version. Exit code 1 if they differ.
    """
    from adplatform.upkeep.explain import explain as explained
    from adplatform.upkeep.text import print_explanation

    with console.status("looking it up"):
        found = explained(settings(), decision_id)
    if json_:
        emit(found)
    else:
        print_explanation(out, found)
    if found["recomputed"]["equal"] is False:
        raise typer.Exit(1)


def delete_user(
    user_id: Annotated[str, typer.Argument(help="The person's user_id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Remove a person: landing zone, warehouse, profiles, decision log, models that know ids, logs. It can't be undone.

    Marts and profiles are built again without the person. Cut off, it is completed by running it again.
    """
    from adplatform.contracts.errors import InputError
    from adplatform.upkeep.forget import as_json, present
    from adplatform.upkeep.forget import delete_user as forget

    config = settings()
    with console.status("looking for the person"):
        found = present(config, user_id)
    if not yes:
        if json_ or not sys.stdin.isatty():
            raise InputError("--yes", "is missing, and nobody can be asked", "add --yes to delete without a question")
        for path, n in found.items():
            console.print(f"{path}: {n}", markup=False, highlight=False, soft_wrap=True)
        typer.confirm(f"delete {user_id} from all of these", abort=True, err=True)
    with console.status("") as status:
        done = forget(config, user_id, lambda name: status.update(f"deleting: {name}"))
    if json_:
        emit(as_json(done))
        return
    for place, n in done.removed.items():
        out.print(f"{place}: {n} removed", markup=False, soft_wrap=True)
    out.print("built again without the person: " + (", ".join(done.republished) or "nothing"), soft_wrap=True)
    for text in done.stays:
        out.print(f"stays: {text}", markup=False, soft_wrap=True)
