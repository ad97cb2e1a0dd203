"""Virtual environments with the clients that agents are written with: those of today, and those of one major version back.

Usage: python tests/support/client_environments.py [NAME …]
"""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "clients"
OURS = ("attrs", "orjson", "httpx2")
"""What `frameengine.recording` needs; the package itself comes from the checkout."""


@dataclass(frozen=True)
class Environment:
    """One client at one version."""

    name: str
    """Name of its folder."""
    agent: str
    """Which agent runs in it: ``agents/NAME_agent.py``."""
    needs: tuple[str, ...]
    """What is installed."""
    anthropic: bool = False
    """Whether it speaks Anthropic's protocol."""

    @property
    def folder(self) -> Path:
        """Where it is."""
        return FOLDER / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"


PYTHON = (
    Environment("openai-3", "openai", ("openai>=3,<4",)),
    Environment("openai-2", "openai", ("openai>=2,<3",)),
    Environment("anthropic-2", "anthropic", ("anthropic>=2,<3",)),
    Environment("anthropic-1", "anthropic", ("anthropic>=1,<2",)),
    # It has had one major version only; tools need mcp, which it does not ask for.
    Environment("litellm-current", "litellm", ("litellm", "mcp")),
    Environment("litellm-before", "litellm", ("litellm<1.75", "openai<2")),
    Environment("langchain-openai-1", "langchain", ("langchain-openai>=1,<2",)),
    Environment("langchain-openai-0", "langchain", ("langchain-openai>=0.3,<1",)),
    Environment("pydantic-ai-2", "pydantic_ai", ("pydantic-ai-slim[openai]>=2,<3",)),
    Environment("pydantic-ai-1", "pydantic_ai", ("pydantic-ai-slim[openai]>=1,<2",)),
)
NODE = (
    Environment("node-7", "node", ("openai@7",)),
    Environment("node-6", "node", ("openai@6",)),
)


def made(environment: Environment) -> Environment:
    """Make an environment, unless it is there. Raises `CalledProcessError` where its packages cannot be had."""
    done = environment.folder / ".done"
    if done.exists() and done.read_text(encoding="utf-8") == repr(environment.needs):
        return environment
    if environment in NODE:
        environment.folder.mkdir(parents=True, exist_ok=True)
        _run("npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(environment.folder), *environment.needs)
    else:
        venv.create(environment.folder, with_pip=True, clear=True)
        _run(str(environment.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *OURS, *environment.needs)
    done.write_text(repr(environment.needs), encoding="utf-8")
    return environment


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    for one in (*PYTHON, *NODE):
        if one.name in sys.argv[1:] or not sys.argv[1:]:
            made(one)
