"""The agents' services as the gateway and its orchestrator see them: JSON over HTTP on the loopback, with a service key."""

from __future__ import annotations

from typing import Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from adplatform.contracts.creative import CreativeRequest, CreativeSet
from adplatform.contracts.errors import AgentNonsense, AgentUnavailable
from adplatform.contracts.measurement import PerformanceReport, PerformanceRequest
from adplatform.contracts.targeting import RankRequest, SegmentRanking

A = TypeVar("A", bound=BaseModel)


class RemoteAgent:
    """One agent's service, which has ``seconds`` for an answer, and knows the request that it is a part of by its id.
    Implements the agent protocols.
    """

    def __init__(self, agent: str, client: httpx.Client, seconds: float, request_id: str | None = None) -> None:
        self.agent, self._client, self._seconds, self._request_id = agent, client, seconds, request_id

    @classmethod
    def at(cls, agent: str, url: str, key: str, seconds: float) -> Self:
        """The service at ``url``."""
        return cls(agent, httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}), seconds)

    def within(self, seconds: float, request_id: str) -> RemoteAgent:
        """The same service, with so much time for an answer, as part of a request."""
        return RemoteAgent(self.agent, self._client, seconds, request_id)

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
        headers = asking(self._seconds, body, self._request_id)
        try:
            answer = self._client.request(method, path, content=body, headers=headers, timeout=self._seconds)
        except httpx.TransportError as error:
            raise AgentUnavailable(self.agent, f"its service does not answer ({type(error).__name__})") from error
        if answer.status_code != 200:
            raise AgentUnavailable(self.agent, f"its service said {answer.status_code}: {answer.text[:200]}")
        return answer


def asking(seconds: float, body: bytes | None, request_id: str | None) -> dict[str, str]:
    """Headers for a service that has so much time for its answer, as part of a request."""
    found = {"x-deadline-ms": str(max(1, int(seconds * 1000)))}
    if body is not None:
        found["content-type"] = "application/json"
    if request_id is not None:
        found["x-request-id"] = request_id
    return found
