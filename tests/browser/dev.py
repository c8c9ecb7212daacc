"""``adplatform dev`` on a home of its own, and Chromium to look at it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from adplatform.serve import free_port
from tests.homes import REPOSITORY

SCREENSHOTS = REPOSITORY / "screenshots"


class Dev(NamedTuple):
    """A running UI and daemon."""

    home: Path
    url: str
    log: Path

    def query(self, text: str, **variables: Any) -> dict[str, Any]:
        """Ask Dagster's GraphQL."""
        answer = httpx.post(f"{self.url}/graphql", json={"query": text, "variables": variables}, timeout=60).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]


@contextmanager
def running(home: Path, log: Path) -> Iterator[Dev]:
    """Start ``adplatform dev``, wait until it answers with the code loaded, and end it with its children."""
    port = free_port()
    env = {
        **os.environ,
        "ADPLATFORM_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "ADPLATFORM_AUTOMATION": "false",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "adplatform.cli", "dev", "--port", str(port)],
            env=env, cwd=REPOSITORY, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            # A shell starts background jobs with SIGINT ignored, and dagster dev ends on SIGINT alone.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
    dev = Dev(home, f"http://127.0.0.1:{port}", log)
    try:
        _wait(dev, process)
        yield dev
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _wait(dev: Dev, process: subprocess.Popen[bytes], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, dev.log.read_text()[-3000:]
        try:
            found = dev.query("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
            if found["repositoriesOrError"].get("nodes"):
                return
        except (httpx.HTTPError, ValueError):
            pass
        time.sleep(1)
    raise AssertionError(f"the UI did not come up in {seconds} s: {dev.log.read_text()[-3000:]}")


@contextmanager
def page(width: int = 1600, height: int = 1000) -> Iterator[Any]:
    """A page of Debian's Chromium."""
    import shutil

    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        try:
            yield browser.new_page(viewport={"width": width, "height": height})
        finally:
            browser.close()
