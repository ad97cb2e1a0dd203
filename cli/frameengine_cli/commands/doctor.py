"""``frameengine doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from attrs import frozen

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from rich.console import RenderableType

    from frameengine.inprocess.scan import Finding
    from frameengine.performers.model_http.models import Models

EXTRAS = {
    "tui": ("textual",),
    "sql": ("sqlglot",),
    "mariadb": ("sqlglot", "pymysql"),
    "serve": ("starlette", "uvicorn"),
    "test": ("hypothesis", "jsonschema", "pytest", "xdist", "syrupy"),
}
"""Extra -> the modules that it brings."""
REACH_SECONDS = 5.0


def doctor(
    agent: Annotated[
        Path | None,
        typer.Argument(metavar="AGENT.py", help="Say what makes this program irreproducible, line by line.", show_default=False),
    ] = None,
    *,
    models: options.ModelsFile = None,
    reach: Annotated[bool, typer.Option("--reach", help="Ask each endpoint for its list of models: the one thing sent.")] = False,
    as_json: options.Json = False,
) -> None:
    """Say what is installed, what can be shut in, and which models are configured; or what makes a program irreproducible.

    No key is ever shown. Exit 0 where all is well, 1 where something was found.

    Examples: frameengine doctor; frameengine doctor my_agent.py
    """
    from frameengine_cli import output

    if agent is not None:
        findings = _findings(agent)
        if as_json:
            output.document({"agent": str(agent), "findings": [_finding(found) for found in findings]}, ok=not findings)
        else:
            output.show(_findings_screen(agent, findings))
        code = 1 if findings else 0
    else:
        health = _health(models, reach=reach)
        if as_json:
            output.document(health.to_json(), ok=not health.problems)
        else:
            output.show(_screen(health))
        code = 1 if health.problems else 0
    if code:
        raise typer.Exit(code)


@frozen(kw_only=True)
class Health:
    """What is there."""

    versions: dict[str, str]
    """Name -> version of what this runs on."""
    extras: dict[str, bool]
    """Extra -> whether it is installed."""
    sandbox: tuple[bool, str]
    """Whether programs of models can be shut in, and by what, or why not."""
    models: Models | None
    """The models that are configured; None where none are."""
    reached: dict[str, str]
    """Endpoint -> what came of asking it; empty where none was asked."""
    problems: tuple[str, ...]
    """What is wrong."""

    def to_json(self) -> dict[str, Any]:
        """Return all of it for programs."""
        return {
            "versions": self.versions,
            "extras": self.extras,
            "sandbox": {"available": self.sandbox[0], "by": self.sandbox[1]},
            "models": None if self.models is None else self.models.to_json(),
            "reached": self.reached,
            "problems": list(self.problems),
        }


def _health(option: Path | None, *, reach: bool) -> Health:
    from importlib.util import find_spec
    from platform import platform, python_version

    from frameengine import __version__
    from frameengine.performers.model_http.reach import reach as ask
    from frameengine.tools.sandbox.probe import probe
    from frameengine_cli.endpoints import configured

    models = configured(option)
    sandbox = probe()
    reached: dict[str, str] = {}
    problems: list[str] = []
    for name, named in ({} if models is None else models.endpoints).items():
        if not named.key_set:
            problems.append(f"endpoint {name}: the variable {named.key_env} is not set")
        elif reach:
            reached[name], fine = ask(named.endpoint, REACH_SECONDS)
            problems += [] if fine else [f"endpoint {name}: {reached[name]}"]
    return Health(
        versions={"frameengine": __version__, "python": python_version(), "platform": platform()},
        extras={extra: all(find_spec(module) is not None for module in modules) for extra, modules in EXTRAS.items()},
        sandbox=(not sandbox.missing, sandbox.missing or ", ".join(sandbox.walls)),
        models=models,
        reached=reached,
        problems=tuple(problems),
    )


def _findings(agent: Path) -> list[Finding]:
    from frameengine.errors import UsageError
    from frameengine.inprocess.scan import irreproducible

    if not agent.exists():
        raise UsageError(f"there is no file {agent}", hint="name a Python file, or a folder of them", path=str(agent))
    return irreproducible(agent)


def _finding(found: Finding) -> dict[str, Any]:
    return {"file": found.file, "line": found.line, "what": found.what, "instead": found.instead}


def _findings_screen(agent: Path, findings: list[Finding]) -> RenderableType:
    from rich.console import Group

    from frameengine_cli import phrases
    from frameengine_cli.look import BAD, DIFFERS, GOOD, QUIET, SAME, STRONG, words

    if not findings:
        return words((f"{SAME} ", GOOD), (f"{agent}: nothing is seen that would come out otherwise when it is run again", ""))
    lines = []
    for found in findings:
        lines.append(words((f"{found.file}:{found.line}  ", STRONG), (found.what, BAD)))
        lines.append(words((f"    {found.instead}", QUIET)))
    return Group(words((f"{DIFFERS} {phrases.count(len(findings), 'place')} in {agent}", f"{STRONG} {BAD}")), *lines)


def _screen(health: Health) -> RenderableType:
    from rich.console import Group

    from frameengine_cli.look import BAD, DIFFERS, GOOD, OPEN, QUIET, SAME, STRONG, pairs, words

    rows: list[tuple[str, RenderableType]] = [(name, words((version, ""))) for name, version in health.versions.items()]
    extras: list[tuple[str, str]] = []
    for name, there in health.extras.items():
        extras += [(SAME, GOOD), (f" {name}  ", "")] if there else [(OPEN, QUIET), (f" {name}  ", QUIET)]
    rows.append(("extras", words(*extras)))
    available, by = health.sandbox
    rows.append(("sandbox", words((f"{SAME if available else OPEN} ", GOOD if available else BAD), (by, ""))))
    parts: list[RenderableType] = [pairs(rows)]
    if health.models is None:
        parts.append(words(("models   ", QUIET), ("none are configured (only --live needs any)", QUIET)))
    else:
        parts.append(words(("models   ", QUIET), (health.models.source, STRONG)))
        listed: list[tuple[str, RenderableType]] = []
        for name, named in health.models.endpoints.items():
            key = "no key" if not named.key_env else f"{named.key_env} {'set' if named.key_set else 'not set'}"
            said, style = health.reached.get(name, ""), GOOD if named.key_set else BAD
            way = f"  by {named.endpoint.public_proxy}" if named.endpoint.proxy else ""
            way += f"  trusting {named.endpoint.ca_file}" if named.endpoint.ca_file else ""
            listed.append((f"  {name}", words((named.endpoint.public_url, ""), (f"  {key}", style), (f"{way}  {said}", QUIET))))
        for node, (name, more) in health.models.nodes.items():
            listed.append((f"  {node}", words((f"→ {name}  ", QUIET), (str(more.get("model", "(the graph's model)")), ""))))
        parts.append(pairs(listed))
    parts += [words((f"{DIFFERS} ", BAD), (problem, "")) for problem in health.problems]
    return Group(*parts, *([] if health.problems else [words((f"{SAME} all is well", GOOD))]))
