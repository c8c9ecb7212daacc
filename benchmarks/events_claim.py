"""Claim ``events``: whoever is killed, every answered event and decision is stored, once, and lands once.

A worker that is killed is replaced by its parent while the other goes on. Of a parent, or a group, that is killed nothing
is tidied up: the next start must find the port free by itself, and none of the old processes may live on when it is ready.
The landing is killed as well, between its tables. Of what was sent a share is no event and must be rejected, and kept.
"""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from adplatform.contracts.claims import Claim
from adplatform.contracts.errors import AdPlatformError
from adplatform.processes import alive, process_tag
from adplatform.serve import free_port
from adplatform.store.decision_file import reading
from benchmarks.events_landing import Ids, land, landed, wrong
from benchmarks.events_sender import Sender
from benchmarks.served import Gateway, scratch, served

HOWS: Final = ("worker", "parent", "group")
WORKERS: Final = "2"
RESTART_SECONDS: Final = 10.0
REPLACED_SECONDS: Final = 30.0
"""Longest wait for another worker in the place of a killed one."""


@dataclass
class Killed:
    """What came after each kill: seconds until the next start was ready, seconds until a worker was replaced (infinite
    where it did not come to that), and processes of the killed that lived on.
    """

    restarts: list[float] = field(default_factory=list)
    replaced: list[float] = field(default_factory=list)
    orphans: int = 0

    @property
    def well(self) -> bool:
        """Whether all was as promised."""
        return (
            max(self.restarts, default=0.0) <= RESTART_SECONDS
            and math.isfinite(sum(self.replaced))
            and not self.orphans
        )


def run(
    events: int = 100_000, decisions: int = 10_000, kills: int = 50, seed: int = 106,
    progress: Callable[[float], None] | None = None, source: Path | None = None,
) -> Claim:  # fmt: skip
    """Kill a worker, the parent or the whole group ``kills`` times while events come, then compare what was told with
    what is stored and with what lands. ``figure``: what was lost, doubled, made up, or answered wrong.
    """
    rng, port, killed = random.Random(seed), free_port(), Killed()
    with scratch(source) as (home, key):
        before = landed(home)
        with ExitStack() as started:
            gateway = started.enter_context(served(home, key, port, ADPLATFORM_WORKERS=WORKERS))
            with Sender(port, key, gateway.creatives, gateway.users(True)) as sender:
                for number in range(kills):
                    _until(sender, events * (number + 1) // (kills + 1))
                    time.sleep(rng.uniform(0.0, 0.3))
                    how = HOWS[number % len(HOWS)]
                    if how == "worker":
                        killed.replaced.append(kill_worker(gateway, rng))
                    else:
                        gateway = kill_parent(gateway, how, killed, lambda: started.enter_context(
                            served(home, key, port, ADPLATFORM_WORKERS=WORKERS)))  # fmt: skip
                    if progress:
                        progress((number + 1) / kills)
                _until(sender, events, decisions, 600.0)
        claim = conclude(home, sender, killed, kills, before, land(home))
    enough = len(sender.stored) >= events and len(sender.decided) >= decisions
    return claim.model_copy(update={"holds": claim.holds and enough})


def _until(sender: Sender, events: int, decisions: int = 0, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while (len(sender.stored) < events or len(sender.decided) < decisions) and time.monotonic() < deadline:
        time.sleep(0.02)


def kill_worker(gateway: Gateway, rng: random.Random) -> float:
    """SIGKILL one worker; seconds until another is in its place."""
    before = _workers(gateway)
    killed, began = rng.choice(before), time.monotonic()
    killed.kill()
    while (seconds := time.monotonic() - began) < REPLACED_SECONDS:
        now = _workers(gateway)
        if killed not in now and len(now) >= len(before):
            return seconds
        time.sleep(0.05)
    return math.inf


def kill_parent(gateway: Gateway, how: str, killed: Killed, start: Callable[[], Gateway]) -> Gateway:
    """SIGKILL the parent alone, or the process group; the gateway that was started right after it."""
    old = [process_tag(child.pid) for child in psutil.Process(gateway.process.pid).children(recursive=True)]
    began = time.monotonic()
    (os.kill if how == "parent" else os.killpg)(gateway.process.pid, signal.SIGKILL)
    try:
        again = start()
        killed.restarts.append(time.monotonic() - began)
        killed.orphans += sum(map(alive, old))
    except AdPlatformError:
        killed.restarts.append(math.inf)
        killed.orphans += sum(map(alive, old))
        with suppress(ProcessLookupError):
            os.killpg(gateway.process.pid, signal.SIGKILL)
        again = start()
    return again


def _workers(gateway: Gateway) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(gateway.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended, reaped or not
            if "worker" in " ".join(process.cmdline()):
                found.append(process)
    return found


def conclude(home: Path, sender: Sender, killed: Killed, kills: int, before: Ids, cut: int) -> Claim:
    """The claim of what a sender was told and what the home holds; ``before``: what had landed of earlier days; ``cut``:
    landings that were cut off.
    """
    with reading(home / "online" / "decisions.sqlite") as log:
        decided = {row[0] for row in log.execute("select decision_id from decisions")}
        events = [row[0] for row in log.execute("select event_id from events")]
        rejected = {row[0] for row in log.execute("select event_id from rejected")}
    lost = len(sender.decided - decided) + len(sender.stored - set(events)) + len(sender.rejected - rejected)
    strange = len(set(events) - sender.sent) + len(rejected - sender.spoiled)
    twice = len(events) - len(set(events))
    missed = wrong(home, before)
    figure = lost + strange + twice + sum(missed.values()) + len(sender.wrong) + killed.orphans
    return Claim(
        name="events",
        claim="what was answered is stored once and lands once, whoever is killed; a killed worker is replaced, of a killed "
        "parent nothing lives on, a restart takes the port within 10 s",
        figure=float(figure),
        holds=figure == 0 and killed.well and cut > 0 and bool(sender.stored and sender.rejected),
        n=len(sender.stored),
        detail={
            "decisions": len(sender.decided), "rejected": len(sender.rejected), "kills": kills, "lost": lost,
            "stored_twice": twice, "never_sent": strange, "not_landed_once": missed, "landings_cut_off": cut,
            "wrong_answers": sender.wrong[:5], "too_late": sender.too_late, "orphans": killed.orphans,
            "slowest_start_seconds": round(max(killed.restarts, default=0.0), 2),
            "slowest_replacement_seconds": round(max(killed.replaced, default=0.0), 2),
            "unanswered_but_stored": len(set(events) - sender.stored),
        },
    )  # fmt: skip
