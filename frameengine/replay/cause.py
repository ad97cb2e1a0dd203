"""Tell what may have caused a divergence, from the digests in the header. A hint may be missing; it must not be wrong."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from attrs import evolve, frozen

from frameengine.graph.registry import module_of
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.replay.divergence import Cause, Divergence


@frozen
class Changed:
    """Something that has another digest than when it was recorded."""

    cause: Cause
    """graph, node code or prompt."""
    name: str = ""
    """Name of the prompt, or of the module: what is digested is a module as a whole."""
    nodes: tuple[str, ...] = ()
    """The nodes whose code stands in that module."""
    inherited: bool = False
    """Whether it is not that module itself, but another one of its package, which classes of the nodes inherit from."""

    def __str__(self) -> str:
        if self.cause == "node code":
            which = f"code that classes of module {self.name} inherit" if self.inherited else f"code of module {self.name}"
            return f"{which} ({'node' if len(self.nodes) == 1 else 'nodes'} {', '.join(self.nodes)})"
        return f"{self.cause} {self.name}".rstrip()


def changed(recorded: FrozenMap, current: FrozenMap) -> Iterator[Changed]:
    """Yield what differs between two fingerprints; nothing where none was recorded. A node too many is a change of the graph."""
    if not recorded:
        return
    if recorded.get("graph") != current.get("graph"):
        yield Changed("graph")
    before, after = recorded.get("nodes", EMPTY), current.get("nodes", EMPTY)
    modules: dict[tuple[str, bool], list[str]] = {}
    for name in before:
        if name in after:
            module = module_of(str(after[name].get("implementation", name)))
            if before[name].get("code") != after[name].get("code"):
                modules.setdefault((module, False), []).append(name)
            bases = before[name].get("inherited"), after[name].get("inherited")
            if bases[0] != bases[1] and all(bases):
                # A record without it is older than this digest; a class that has got its first base is another itself.
                modules.setdefault((module, True), []).append(name)
    for (module, inherited), nodes in modules.items():
        yield Changed("node code", module, tuple(nodes), inherited)
    ours, theirs = recorded.get("prompts", EMPTY), current.get("prompts", EMPTY)
    for name in ours:
        if name in theirs and ours[name] != theirs[name]:
            yield Changed("prompt", name)


@frozen(kw_only=True)
class Circumstances:
    """What a cause is told from."""

    recorded: FrozenMap
    """Fingerprint that was recorded; empty where none was."""
    current: FrozenMap
    """Fingerprint of what was replayed."""
    prompts: Mapping[str, tuple[str, ...]]
    """Names of the prompts that each node uses."""
    ran: Container[str]
    """Nodes that ran before the place of the divergence."""

    def of(self, found: Divergence) -> Divergence:
        """Return *found*, and what follows from it, with their likely causes."""
        consequence = found.consequence
        if consequence is not None:
            cause, because = self._effect(found), f"the outcome of {found.key} is not the one that was recorded"
            others = self._suspects(consequence)
            if others:
                cause, because = "undetermined", f"{because}; and changed: {_listed(others)}"
            consequence = evolve(consequence, cause=cause, because=because)
        cause, because = self._cause(found)
        return evolve(found, cause=cause, because=because, consequence=consequence)

    def _cause(self, found: Divergence) -> tuple[Cause, str]:
        if found.kind == "outcome":
            return self._effect(found), "the outcome line and the frame's record of it differ"
        if found.kind == "input" and found.frame == 1:
            return "input", "the input line and the frame's record of it differ"
        if not self.recorded:
            return "undetermined", "the record has no digests of graph, prompts and code"
        suspects = self._suspects(found)
        causes = tuple(dict.fromkeys(suspect.cause for suspect in suspects))
        if causes == ("prompt",) and not _asks(found):
            return "undetermined", f"changed, but nothing that was asked differs: {_listed(suspects)}"
        if len(causes) == 1:
            return causes[0], f"changed: {_listed(suspects)}"
        if causes:
            return "undetermined", f"several changed: {_listed(suspects)}"
        harmless = tuple(changed(self.recorded, self.current))
        if harmless:
            return "undetermined", f"what changed had no part in this: {_listed(harmless)}"
        told = "graph, prompts and the nodes' own modules are as recorded: it is code that they import, or chance (--guard full)"
        return "undetermined", told

    def _effect(self, found: Divergence) -> Cause:
        return "model" if found.effect == "model" else "tool"

    def _suspects(self, found: Divergence) -> tuple[Changed, ...]:
        """Return what changed and could have led to *found*: code of nodes that ran before it, or at it, and prompts of its own.

        What ran before did as recorded. So its prompts led to nothing else; its code may yet be used by the node of *found*.
        """
        used = self.prompts.get(found.node, ())
        suspects = []
        for change in changed(self.recorded, self.current):
            ran = tuple([node for node in change.nodes if node == found.node or node in self.ran])
            if change.cause == "graph" or (change.cause == "prompt" and change.name in used):
                suspects.append(change)
            elif ran:
                suspects.append(evolve(change, nodes=ran))
        return tuple(suspects)


def _asks(found: Divergence) -> bool:
    """Return whether the messages to a model differ: elsewhere a prompt does not show."""
    return (found.kind, found.effect) == ("request", "model") and found.pointer.startswith("/messages")


def _listed(changes: tuple[Changed, ...]) -> str:
    return ", ".join([str(change) for change in changes])
