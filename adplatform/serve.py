"""``adplatform serve``: the services on the loopback, each in a process group of its own that ends as a whole."""

from __future__ import annotations

import errno
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from adplatform.contracts.errors import SetupError
from adplatform.processes import alive, process_tag
from adplatform.settings import REPOSITORY, Settings
from adplatform.store.keys import Keys

GATEWAY: Final = "bentos.gateway.service:Gateway"
AGENT_SERVICES: Final = {
    "targeting": "bentos.targeting.service:TargetingService",
    "measurement": "bentos.measurement.service:MeasurementService",
    "creative": "bentos.creative.service:CreativeService",
}
"""Services that the gateway calls; reachable from this machine alone."""
OWNER: Final = "ADPLATFORM_SERVE_PROCESS"
"""Environment of a worker: the tag of the process of the command that serves, where there is one."""
PARENT: Final = "ADPLATFORM_PARENT_PROCESS"
"""Environment of whatever is started from here: our process id. A worker can't tell it otherwise from a process that took
its place: a parent that was killed while the worker started is not its parent any more."""
_STARTED_BY: Final = os.environ.get(PARENT)
os.environ[PARENT] = str(os.getpid())
WATCH_SECONDS: Final = 0.2
DRAIN_SECONDS: Final = 10.0
PORT_SECONDS: Final = 10.0
PORTS: Final = range(10_000, 32_000)
"""Where a free one is looked for: below those that systems give to connections of clients, which may hold one for minutes."""
ALERT_SECONDS: Final = 10.0


def command(service: str, port: int) -> list[str]:
    """How a service is started."""
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    return [bentoml, "serve", service, "--host", "127.0.0.1", "--port", str(port), "--working-dir", str(REPOSITORY)]


def free_port(many: int = 1) -> int:
    """The first of ``many`` neighbouring ports of the loopback that were free a moment ago."""
    while True:
        first = random.SystemRandom().choice(PORTS)
        with ExitStack() as stack:
            try:
                for port in range(first, first + many):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return first


def wait_for_port(port: int, seconds: float = PORT_SECONDS) -> None:
    """Until the loopback port can be taken: workers whose parent was killed hold it for a moment.

    Raises SetupError where something else holds it.
    """
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if time.monotonic() > deadline:
                    raise SetupError(f"port {port} is taken", "end what holds it, or give another port") from error
            else:
                return
        time.sleep(WATCH_SECONDS)


class Services:
    """The gateway and the agents' services. Leaving the context ends every process of each: SIGTERM first, SIGKILL
    after the drain.

    The key with which the gateway calls the others is made at the start and revoked at the end.
    """

    def __init__(self, config: Settings, port: int, agents: bool = True, out: Any = None) -> None:
        """``out`` takes what the services print; the terminal, if not given."""
        self._out = out
        self.config, self.keys = config, Keys(config.keys)
        services = {"gateway": GATEWAY, **(AGENT_SERVICES if agents else {})}
        ports = [port, *range(config.agent_port, config.agent_port + len(AGENT_SERVICES))]
        self._started = dict(zip(services, zip(services.values(), ports, strict=False), strict=True))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Services:
        for _, port in self._started.values():
            wait_for_port(port)
        signal.signal(signal.SIGTERM, _leave)
        self._key, secret = self.keys.add("the gateway, calling the agents' services", ["read"])
        env = {
            **os.environ,
            "ADPLATFORM_HOME": str(self.config.home),
            "ADPLATFORM_SERVICE_KEY": secret,
            "ADPLATFORM_AGENT_PORT": str(self.config.agent_port),
            OWNER: process_tag(),
        }
        for name, (service, port) in self._started.items():
            self.processes[name] = subprocess.Popen(
                command(service, port),
                cwd=REPOSITORY,
                env=env,
                start_new_session=True,
                stdout=self._out,
                stderr=self._out,
            )
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + DRAIN_SECONDS
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            _signal(process, signal.SIGKILL)
            process.wait()
        self.keys.revoke(self._key.key_id)

    def _send_alerts(self) -> None:
        """What the services raise is sent from here: no daemon of Dagster need run."""
        from adplatform.alerts.delivery import deliver

        while True:
            deliver(self.config)
            time.sleep(ALERT_SECONDS)

    def wait(self) -> None:
        """Until Ctrl-C or SIGTERM. Raises SetupError when a service ends by itself: they are meant to stay."""
        threading.Thread(target=self._send_alerts, name="alerts", daemon=True).start()
        try:
            while all(p.poll() is None for p in self.processes.values()):
                time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            return
        ended = next(name for name, p in self.processes.items() if p.poll() is not None)
        raise SetupError(f"{ended} ended", "read what it printed above; is its port taken?")


def _leave(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def end_with_parent() -> None:
    """Make this worker end when its parent, or the command that serves, has gone, however it went.

    An orphan would hold the port and answer on, with the policy of yesterday.
    """
    parent, owner = int(_STARTED_BY or os.getppid()), os.environ.get(OWNER)

    def watch() -> None:
        while os.getppid() == parent and (owner is None or alive(owner)):
            time.sleep(WATCH_SECONDS)
        print(f"process {os.getpid()} ends: its parent {parent}, or the command that serves, has gone", file=sys.stderr)
        if os.getppid() == parent:
            os.kill(parent, signal.SIGKILL)  # it would start another worker in place of this one
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
