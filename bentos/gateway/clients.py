"""The agents' services as the gateway and its orchestrator see them: JSON over HTTP on the loopback, with a service key."""

from __future__ import annotations

from typing import Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.contracts.errors import AgentNonsense, AgentUnavailable
from adplatform.contracts.measurement import PerformanceReport, PerformanceRequest
from adplatform.contracts.targeting import RankRequest, SegmentRanking

A = TypeVar("A", bound=BaseModel)
SECONDS: Final = 60.0


class RemoteAgent:
    """One agent's service. Implements the agent protocols."""

    def __init__(self, agent: str, url: str, key: str) -> None:
        self.agent = agent
        self._client = httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=SECONDS)

    @property
    def version(self) -> str:
        """The model that would answer now."""
        return str(self._send("GET", "/v1/version", None).json()["version"])

    def rank(self, request: RankRequest) -> SegmentRanking:
        """Rank segments."""
        return self._ask("/v1/segments/rank", request, SegmentRanking)

    def expect(self, request: PerformanceRequest) -> PerformanceReport:
        """Expected performance."""
        return self._ask("/v1/expect", request, PerformanceReport)

    def creatives(self, request: CreativeRequest) -> CreativeSet:
        """Word variants."""
        return self._ask("/v1/creatives", request, CreativeSet)

    def _ask(self, path: str, request: BaseModel, kind: type[A]) -> A:
        answer = self._send("POST", path, request.model_dump_json().encode())
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError as error:
            raise AgentNonsense(self.agent, "its service's answer breaks the contract") from error

    def _send(self, method: str, path: str, body: bytes | None) -> httpx.Response:
        headers = {"content-type": "application/json"} if body is not None else {}
        try:
            answer = self._client.request(method, path, content=body, headers=headers)
        except httpx.TransportError as error:
            raise AgentUnavailable(self.agent, f"its service does not answer ({type(error).__name__})") from error
        if answer.status_code != 200:
            raise AgentUnavailable(self.agent, f"its service said {answer.status_code}: {answer.text[:200]}")
        return answer
