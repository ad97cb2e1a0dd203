"""From the names in a graph to the code and the prompts that it runs, and the digests that say which.

An implementation is a registered name or ``module:Class``. Names come from this package and from entry points of the group
``frameengine.nodes``. Code is imported only when a graph asks for it.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator, Mapping
from types import MappingProxyType, ModuleType
from typing import Any, Final

from attrs import frozen

from frameengine import codec
from frameengine.errors import FrameEngineError, GraphError, GraphValidation
from frameengine.graph.model import Graph, NodeSpec
from frameengine.graph.validate import NAME, Problem
from frameengine.jsonvalue import FrozenMap, freeze

ENTRY_POINTS: Final = "frameengine.nodes"
"""Entry point group in which other packages register nodes."""
PROMPTS: Final = "prompts"
"""Folder beside a node's module that holds its prompts."""
BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "chat_model": "frameengine.nodes.tool_loop:ChatModel",
        "chat_tools": "frameengine.nodes.tool_loop:ChatTools",
        "chat_output": "frameengine.nodes.tool_loop:ChatOutput",
        "http_exchange": "frameengine.nodes.exchange:HttpExchange",
        "input_v2": "frameengine.nodes.input:StructuredInput",
        "director_v2": "frameengine.nodes.director:DecidingDirector",
        "thinker_v2": "frameengine.nodes.thinker:PlanExecutor",
        "interpreter_v1": "frameengine.nodes.interpreter:Interpreter",
        "pa_v1": "frameengine.nodes.pa:PersonalAssistant",
        "eras_expert": "frameengine.nodes.eras:ErasExpert",
        "plankiste_expert": "frameengine.nodes.plankiste:PlankisteExpert",
        "input_v1": "frameengine.nodes.input_v1:FreeInput",
        "director_v1": "frameengine.nodes.director_v1:WatchingDirector",
        "thinker_v1": "frameengine.nodes.thinker_v1:AuditingThinker",
        "output_v1": "frameengine.nodes.output:Output",
        "ui": "frameengine.nodes.ui:Ui",
        "memorizer_v1": "frameengine.nodes.memorizer:Memorizer",
        "sensor": "frameengine.nodes.sensor:Sensor",
    }
)
"""Registered name -> ``module:Class`` of the nodes that are shipped."""


@frozen(kw_only=True)
class BoundGraph:
    """A graph with its code: what an engine runs."""

    graph: Graph
    """The graph."""
    implementations: Mapping[str, Any]
    """Name of a node -> its own instance of the implementation."""
    code: Mapping[str, str]
    """Name of a node -> digest of the code of its module, in hex (`code_digest`)."""
    prompts: Mapping[str, str]
    """Name of a prompt -> digest of its text, in hex."""
    inherited: Mapping[str, str] = MappingProxyType({})
    """Name of a node -> digest of the code that its class inherits from other modules of its package (`inherited_digest`)."""


def resolve(implementation: str) -> type[Any]:
    """Return the class that *implementation* names. Raises `GraphError` where there is none, or it is no node."""
    target = _target(implementation)
    module_name, _, qualname = target.partition(":")
    found: Any = _import(module_name, implementation)
    for step in qualname.split("."):
        found = getattr(found, step, None)
    if not isinstance(found, type):
        raise GraphError(f"{target} is no class", hint="write module:Class", implementation=implementation)
    from inspect import iscoroutinefunction

    if not iscoroutinefunction(getattr(found, "run", None)):
        hint = "give it `async def run(self, message, ctx)`, see frameengine.node.Node"
        raise GraphError(f"{target} is no node: it has no async method run", hint=hint, implementation=implementation)
    return found


def bind(graph: Graph, *, trusted: bool = True) -> BoundGraph:
    """Return *graph* with an instance of each node's implementation and the digests of its code and prompts.

    A graph that came with data and not from its user is not *trusted*: it may name what is registered on this machine, and
    nothing else is imported. Raises `GraphError` then, and `GraphValidation` with every node that cannot be bound.
    """
    if not trusted:
        _check_registered(graph)
    bound, found = _bound(graph)
    if found:
        shared = _by_problem(found).items()
        listed = "\n".join([f"  {', '.join([_place(graph, index) for index in where])}: {what}" for what, where in shared])
        problems = [{"place": _place(graph, index), "problem": problem} for index, problem in found]
        hint = "correct the graph, or install what it needs"
        raise GraphValidation(f"graph {graph.name} cannot be bound\n{listed}", hint=hint, source=graph.name, problems=problems)
    return bound


def _check_registered(graph: Graph) -> None:
    """Raise `GraphError` where *graph* names code that is not registered: importing a module runs it, whatever is in it."""
    strange = [(index, spec.implementation) for index, spec in enumerate(graph.nodes) if ":" in spec.implementation]
    known = _registered_targets() if strange else frozenset()
    unknown = [(index, target) for index, target in strange if target not in known]
    if unknown:
        listed = [f"{target} ({_place(graph, where[0])})" for target, where in _by_problem(unknown).items()]
        shown = ", ".join([*listed[:5], "…"] if len(listed) > 5 else listed)
        raise GraphError(
            f"the graph in the trace names code that is not registered: {shown}",
            hint="name the graph with --graph FILE, or say --trust to import the code that the trace names",
            source=graph.name,
            implementations=[target for _, target in unknown],
        )


def _registered_targets() -> frozenset[str]:
    """Return every ``module:Class`` that has a registered name."""
    from importlib.metadata import entry_points

    return frozenset([*BUILT_IN.values(), *[point.value for point in entry_points(group=ENTRY_POINTS)]])


def missing(graph: Graph) -> Iterator[Problem]:
    """Yield what keeps *graph* from being bound: code and prompts that are not there. A shared cause is told once.

    The graph need not hold together otherwise: whoever corrects it wants to see everything.
    """
    _, found = _bound(graph)
    for problem, (first, *others) in _by_problem(found).items():
        also = f" (so too for {', '.join([_place(graph, index) for index in others])})" if others else ""
        yield Problem(("nodes", first), f"{problem}{also}")


def _place(graph: Graph, index: int) -> str:
    return f"nodes[{index}] ({graph.nodes[index].name})"


def _by_problem(found: list[tuple[int, str]]) -> dict[str, list[int]]:
    """Return each problem with the indices of all nodes that have it."""
    indices: dict[str, list[int]] = {}
    for index, problem in found:
        indices.setdefault(problem, []).append(index)
    return indices


def _bound(graph: Graph) -> tuple[BoundGraph, list[tuple[int, str]]]:
    """Return *graph* with what could be bound, and the problem of each node that could not, by its index."""
    instances: dict[str, Any] = {}
    code: dict[str, str] = {}
    inherited: dict[str, str] = {}
    modules: dict[str, str | None] = {}
    prompts: dict[str, str] = {}
    problems: list[tuple[int, str]] = []
    for index, spec in enumerate(graph.nodes):
        if not spec.implementation:
            # Of a graph that is read in spite of its problems; this one is told already.
            continue
        try:
            instances[spec.name], code[spec.name] = _bind_node(spec, modules)
            bases = inherited_digest(type(instances[spec.name]), modules)
            inherited.update({spec.name: bases} if bases else {})
            for name, text in _texts(spec, instances[spec.name]):
                if prompts.setdefault(name, codec.digest(text)) != codec.digest(text):
                    raise GraphError(f"another node has another prompt that is called {name!r} too", hint="rename one of them")
        except GraphError as error:
            problems.append((index, f"{error.message}; {error.hint}"))
    bound = BoundGraph(
        graph=graph,
        implementations=MappingProxyType(instances),
        code=MappingProxyType(code),
        prompts=MappingProxyType(prompts),
        inherited=MappingProxyType(inherited),
    )
    return bound, problems


def fingerprint(bound: BoundGraph) -> FrozenMap:
    """Return what a trace header says about the graph, its code and its prompts: digests in hex."""
    nodes = {
        spec.name: {
            "implementation": spec.implementation,
            "code": bound.code[spec.name],
            "contract": getattr(bound.implementations[spec.name], "contract", ""),
            **({"inherited": bound.inherited[spec.name]} if spec.name in bound.inherited else {}),
        }
        for spec in bound.graph.nodes
    }
    value: FrozenMap = freeze({"graph": bound.graph.digest, "nodes": nodes, "prompts": dict(bound.prompts)})
    return value


def module_of(implementation: str) -> str:
    """Return the module that an implementation stands in; the name itself where nobody registers it any more."""
    try:
        return _target(implementation).partition(":")[0]
    except GraphError:
        return implementation


def read_prompt(name: str, module: str = "frameengine.nodes") -> str:
    """Return the text of ``prompts/<name>.md`` beside *module*, line ends as LF. Raises `GraphError`."""
    from importlib.resources import files
    from pathlib import Path

    found = _import(module, module)
    package = found.__package__
    folder = files(package) if package else Path(found.__file__ or "").parent
    if NAME.fullmatch(name):
        file = folder.joinpath(PROMPTS, f"{name}.md")
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise GraphError(f"there is no prompt {name!r}", hint=f"put {PROMPTS}/{name}.md beside {module}", prompt=name)


def code_digest(cls: type[Any], modules: dict[str, str | None] | None = None) -> str:
    """Return a digest, in hex, of the code of the module in which *cls* stands.

    Comments, formatting and docstrings do not count, nor do the empty members that newer versions of Python add to syntax trees.
    Where there is no source, the name of the class is digested with a marker: a digest that says less is better than no run.
    *modules* remembers the digests of modules (None for one without a source) for a caller who asks for several of their classes.
    """
    modules = {} if modules is None else modules
    name = cls.__module__
    if name not in modules:
        modules[name] = _module_digest(name)
    known = modules[name]
    return known or codec.digest(freeze({"class": f"{name}:{cls.__qualname__}", "source": "unavailable"}))


def inherited_digest(cls: type[Any], modules: dict[str, str | None] | None = None) -> str:
    """Return a digest, in hex, of the other modules of its package that *cls* inherits from; empty where there are none.

    A base class is a part of the node as its own class is. Modules that are only imported are not: what a node calls in them may
    be all of the package.
    """
    package = cls.__module__.partition(".")[0]
    bases = {
        base.__module__: base
        for base in reversed(cls.__mro__)
        if base.__module__ != cls.__module__ and base.__module__.partition(".")[0] == package
    }
    return codec.digest("\n".join([code_digest(base, modules) for base in bases.values()])) if bases else ""


def _module_digest(name: str) -> str | None:
    import sys

    module = sys.modules.get(name)
    tree = _tree(module) if module is not None else None
    return None if tree is None else codec.digest("\n".join(_normalised(tree)))


def _target(implementation: str) -> str:
    if ":" in implementation:
        return implementation
    if implementation in BUILT_IN:
        return BUILT_IN[implementation]
    from importlib.metadata import entry_points

    registered = entry_points(group=ENTRY_POINTS)
    targets = sorted({point.value for point in registered if point.name == implementation})
    if len(targets) == 1:
        return targets[0]
    if targets:
        hint = f"write one of {', '.join(targets)} in the graph, or uninstall one package"
        raise GraphError(f"several packages register {implementation!r}", hint=hint, implementation=implementation)
    from difflib import get_close_matches

    known = sorted({*BUILT_IN, *registered.names})
    near = get_close_matches(implementation, known, 3) or known
    hint = f"write module:Class, or one of {', '.join(near)}"
    raise GraphError(f"there is no implementation {implementation!r}", hint=hint, implementation=implementation, known=known)


def _import(module: str, implementation: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # A module that leaves the process when it is imported is one that cannot be imported.
        what = f"{module} cannot be imported: {type(error).__name__}: {error}"
        hint = "check the name, and that its package is installed"
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            hint = (
                f"install its package, or set PYTHONPATH=FOLDER, the folder that {error.name} is in (PYTHONPATH=. for this one)"
            )
        raise GraphError(what, hint=hint, implementation=implementation) from error


def _bind_node(spec: NodeSpec, modules: dict[str, str | None]) -> tuple[Any, str]:
    cls = resolve(spec.implementation)
    try:
        return cls(), code_digest(cls, modules)
    except (KeyboardInterrupt, FrameEngineError):
        raise
    except BaseException as error:
        hint = "a node is made without arguments and reads its settings from ctx.config"
        what = f"{spec.implementation} cannot be made: {type(error).__name__}: {error}"
        raise GraphError(what, hint=hint, node=spec.name) from error


def _texts(spec: NodeSpec, instance: Any) -> Iterator[tuple[str, str]]:
    for name in spec.prompts:
        yield name, read_prompt(name, type(instance).__module__)


def _tree(module: ModuleType) -> ast.Module | None:
    try:
        source = _source(module)
        return None if source is None else ast.parse(source)
    except (ImportError, OSError, SyntaxError, ValueError):
        # The file is gone, or was changed to something that is no module since it was imported.
        return None


def _source(module: ModuleType) -> str | None:
    """Return the text of a module; None where there is none, as in a module that was made by hand or compiled."""
    spec = module.__spec__
    get_source = getattr(getattr(spec, "loader", None), "get_source", None)
    if get_source is not None:
        text: str | None = get_source(module.__name__)
        return text
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    # pytest imports the modules of its plugins, and of tests, with a loader of its own, which gives no source.
    with tokenize.open(spec.origin) as file:
        return file.read()


def _normalised(tree: ast.AST) -> Iterator[str]:
    """Yield the parts of a syntax tree, empty members left out: newer versions of Python add some to old kinds of nodes."""
    stack: list[Any] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, ast.AST):
            stack.append(")")
            members = [(name, value) for name, value in ast.iter_fields(item) if value is not None and name != "kind"]
            if isinstance(item, ast.Constant):
                members = [("value", repr(item.value))]
            for name, value in reversed(members):
                values = value if isinstance(value, list) else [value]
                if name == "body" and isinstance(item, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    values = values[1:] if ast.get_docstring(item, clean=False) is not None else values
                if values:
                    stack.extend([*reversed(values), f"{name}="])
            stack.append(f"{type(item).__name__}(")
        else:
            yield repr(item)
