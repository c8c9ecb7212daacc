"""One tree of errors; each says what the user can do.

AdPlatformError            exit 1   a check or a run failed
├── InputError             exit 2   the input is wrong; names the field, row or file, and the mend
├── SetupError             exit 3   the environment is wrong; names the mend
└── AgentError             exit 1   an agent did not answer, or answered nonsense
    ├── AgentTimeout
    ├── AgentUnavailable
    └── AgentNonsense
"""

from __future__ import annotations

from typing import Any


class AdPlatformError(Exception):
    """A check or a run failed. Base of every error that adplatform raises on purpose."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """So that a process of a pool can hand it over: as it is, whatever its class is made from."""
        return type(self).__new__, (type(self), *self.args), self.__dict__


class InputError(AdPlatformError):
    """The input is wrong. One line: where (file, row, column or field), what, and the mend."""

    exit_code = 2

    def __init__(self, where: str, problem: str, mend: str) -> None:
        self.where, self.problem, self.mend = where, problem, mend
        super().__init__(f"{where}: {problem}; {mend}")


class SetupError(AdPlatformError):
    """The environment is wrong (a missing package, a full disk, a lock that is held)."""

    exit_code = 3

    def __init__(self, problem: str, mend: str) -> None:
        self.problem, self.mend = problem, mend
        super().__init__(f"{problem}; {mend}")


UNREADABLE = (AdPlatformError, OSError, ValueError, KeyError, TypeError)
"""What loading an artefact that is broken raises."""


class AgentError(AdPlatformError):
    """An agent could not be used for this request; the orchestrator answers with its default rule."""

    def __init__(self, agent: str, problem: str) -> None:
        self.agent, self.problem = agent, problem
        super().__init__(f"{agent}: {problem}")


class AgentTimeout(AgentError):
    """The agent did not answer before its deadline."""


class AgentUnavailable(AgentError):
    """The agent raised, or could not be built."""


class AgentNonsense(AgentError):
    """The agent's answer broke its contract (unknown ids, NaN, shares that do not add up, markup)."""
