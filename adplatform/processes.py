"""Which process: an id alone may be used again, an id with the time of its start is not."""

from __future__ import annotations

import os
import socket

import psutil


def process_tag(pid: int | None = None) -> str:
    """``host:pid:start time`` of a process of this machine (this one by default)."""
    process = psutil.Process(pid or os.getpid())
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.2f}"


def alive(tag: str) -> bool:
    """Whether the tagged process still runs; a process of another host is taken to be alive."""
    host, pid, started = tag.rsplit(":", 2)
    if host != socket.gethostname():
        return True
    try:
        process = psutil.Process(int(pid))
        return bool(abs(process.create_time() - float(started)) < 1.0 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
