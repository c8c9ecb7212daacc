"""What an attacker sends: pickles in every form that BentoML's advisories describe, archives and models with links, raw
bytes.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from adplatform.contracts.errors import AdPlatformError
from adplatform.settings import Settings
from adplatform.store.registry import Registry
from adplatform.store.snapshots import Snapshots

JSON: Final = {"content-type": "application/json"}
PICKLED: Final = {
    "by its type": {"content-type": "application/vnd.bentoml+pickle"},
    "by its type in other letters": {"content-type": "Application/VND.BentoML+Pickle; charset=utf-8"},
    "by one of two types": {"content-type": "application/json, application/vnd.bentoml+pickle"},
    "as bytes": {"content-type": "application/octet-stream"},
    "with no type": {},
    "with an empty type": {"content-type": ""},
    "in another charset": {"content-type": "application/json; charset=utf-16"},
    "packed": {**JSON, "content-encoding": "gzip"},
    "by Payload-Container": {**JSON, "Payload-Container": "NdarrayContainer"},
    "by Payload-Meta": {**JSON, "Payload-Meta": '{"format": "default"}'},
    "by a whole payload": {"Payload-Container": "PandasDataFrameContainer", "Payload-Meta": "{}", "Batch-Size": "1"},
    "by Args-Number": {**JSON, "Args-Number": "1"},
    "by Buffer-Lengths": {**JSON, "Buffer-Lengths": "5"},
    "by Bento-Payload-Meta": {**JSON, "Bento-Payload-Meta": "{}"},
    "in a part": {"content-type": "multipart/form-data; boundary=x"},
    "in a mixed part": {"content-type": "multipart/mixed; boundary=x"},
}
"""Headers of a pickled body; every library that looked at one of them alone would unpickle it."""
BROKEN_HEADERS: Final = (
    b"X-Request-Id: a\rSet-Cookie: injected=1",
    b"X-Request-Id: a\nSet-Cookie: injected=1",
    b"X-Request-Id: a\r\n Set-Cookie: injected=1",
    b"X-Request-Id: a\x00injected",
    b"X-Request-Id: injected\x7f",
    b"Idempotency-Key: injected\x0b",
    b"X-Evil: \x1b[2Jinjected",
    b"X-Ev\x01il: injected",
    b"X-Evil : injected",
    b"Authorization: Bearer injected",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Content-Length: -1",
    b"Content-Length: 1e3",
    b"X-Deadline-Ms: soon",
)
"""Lines of a request's head that mean two things, or that would put a line into an answer or a log."""
CLIMBING: Final = (
    "/v1/experiments/..",
    "/v1/experiments/.",
    "/v1/experiments/../../keys.json",
    "/v1/experiments/..%2f..%2fkeys.json",
    "/v1/experiments/%2e%2e/%2e%2e/keys.json",
    "/v1/experiments/%2E%2E%2Fkeys.json",
    "/v1/experiments/%252e%252e%252fkeys.json",
    "/v1/experiments/..%5ckeys.json",
    "/v1/experiments/..\\keys.json",
    "/v1/experiments/%c0%ae%c0%ae%c0%afkeys.json",
    "/v1/experiments//etc/passwd",
    "/v1/experiments/~root",
    "/v1/experiments/e1%00.json",
    "/v1/experiments/e1%0d%0aSet-Cookie:injected=1",
    "/v1/version/../../keys.json",
    "/../../../../etc/passwd",
)
"""Paths, as they are sent, whose id would be a file's."""


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


def pickled(headers: dict[str, str], trace: Path) -> bytes:
    """The body that goes with ``headers``."""
    body = pickle.dumps(Bomb(trace))
    if "multipart" not in headers.get("content-type", ""):
        return body
    kind = b"Content-Disposition: form-data; name=value\r\nContent-Type: application/vnd.bentoml+pickle"
    return b"--x\r\n" + kind + b"\r\n\r\n" + body + b"\r\n--x--\r\n"


def tar_with_links() -> bytes:
    """A packed archive: a model's file that is a link, one that is a hard link, one that climbs out."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, kind, target in (
            ("model.txt", tarfile.SYMTYPE, "/etc/passwd"),
            ("labels.json", tarfile.LNKTYPE, "../../keys.json"),
            ("../../../escaped", tarfile.REGTYPE, ""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            archive.addfile(entry)
    return packed.getvalue()


def raw(client: httpx.Client, method: str, path: str, *lines: bytes) -> bytes:
    """The whole answer to a head that is sent as it is, with the client's key."""
    head = [f"{method} {path} HTTP/1.1".encode(), b"Host: x", b"Connection: close"]
    head.append(b"Authorization: " + client.headers["authorization"].encode())
    answer = b""
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as link:
        link.sendall(b"\r\n".join([*head, *lines, b"", b""]))
        with suppress(ConnectionResetError):
            while part := link.recv(65536):
                answer += part
    return answer


def status_of(answer: bytes) -> int:
    """0 at a hang-up."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


def replaced(path: Path, content: bytes) -> None:
    """Write a file by rename, as a publication does."""
    path.with_suffix(".new").write_bytes(content)
    path.with_suffix(".new").replace(path)


def linked(file: Path, home: Path) -> Path:
    """Put a link to the same bytes in a file's place; where they are."""
    outside = home / f"moved-{file.name}"
    file.rename(outside)
    file.symlink_to(outside)
    return outside


@contextmanager
def model_with_a_link(config: Settings, agent: str) -> Iterator[None]:
    """The pointer names a version in which a file has become a link, as it would be unpacked from an archive."""
    registry = Registry(config.models)
    champion = registry.champion(agent)
    assert champion
    source = registry.path(agent, champion.version)
    with tempfile.TemporaryDirectory() as name:
        for file in (f for f in source.rglob("*") if f.is_file() and f.stat().st_size < 1_000_000):
            target = Path(name) / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        (Path(name) / "note").write_text("another")
        version = registry.publish(agent, Path(name), data_version="test").version
    outside = linked(registry.path(agent, version) / "note", config.home)
    with pytest.raises(AdPlatformError, match="is a link"):
        registry.promote(agent, version, "better")
    pointer = config.models / agent / "champion.json"
    before = pointer.read_bytes()
    replaced(pointer, json.dumps({**json.loads(before), "champion": version}).encode())
    try:
        yield
    finally:
        replaced(pointer, before)
        registry.remove(agent, version)
        outside.unlink()


@contextmanager
def snapshot_with_a_link(config: Settings) -> Iterator[None]:
    """Likewise of the snapshot that the measurement agent is built from."""
    snapshots, pointer = Snapshots(config.snapshots), config.snapshots / "current.json"
    pointed = snapshots.current()
    assert pointed
    file = snapshots.path(pointed.version) / "market.json"
    outside = linked(file, config.home)
    replaced(pointer, pointer.read_bytes())
    try:
        yield
    finally:
        outside.replace(file)
        replaced(pointer, pointer.read_bytes())
