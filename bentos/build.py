"""``python -m bentos.build [SERVICE ...]``: build the Bentos of this tree, offline; prints their tags.

The code is listed in ``adplatform/bento.py``; a version that is in the store already is not built again. Nothing is
resolved or downloaded: the requirements are the lock file as it is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import yaml

from adplatform.bento import REQUIREMENTS, code_files, code_version, store
from adplatform.serve import AGENT_SERVICES, GATEWAY
from adplatform.settings import settings

SERVICES = {"gateway": GATEWAY, **AGENT_SERVICES}
ROOT = Path(__file__).resolve().parent.parent


def build(service: str) -> str:
    """Build one; its tag."""
    import bentoml
    from bentoml.exceptions import NotFound

    from bentos.middleware import Never

    yaml.SafeDumper.add_representer(Never, yaml.SafeDumper.represent_float)
    tag = f"{service}:{code_version(ROOT)}"
    try:
        return str(bentoml.get(tag).tag)
    except NotFound:
        built = bentoml.build(
            SERVICES[service],
            name=service,
            version=tag.split(":")[1],
            include=[f"/{name}" for name in code_files(ROOT)],
            python={"requirements_txt": REQUIREMENTS, "lock_packages": False},
            build_ctx=str(ROOT),
        )
        return str(built.tag)


def main(wanted: list[str]) -> None:
    """Build what is named, everything if nothing is."""
    unknown = [name for name in wanted if name not in SERVICES]
    if unknown:
        sys.exit(f"{unknown[0]} is no service; give some of {', '.join(SERVICES)}")
    path = store(settings())
    path.mkdir(parents=True, exist_ok=True)
    os.environ["BENTOML_HOME"] = str(path)  # read when bentoml is imported
    for name in wanted or SERVICES:
        print(build(name))


if __name__ == "__main__":
    main(sys.argv[1:])
