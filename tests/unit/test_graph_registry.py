"""From names in a graph to code and prompts, and the digests that say which."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import MappingProxyType, ModuleType

import pytest

from frameengine.errors import GraphError, GraphValidation, ReadOnly
from frameengine.graph import registry
from frameengine.graph.model import Graph, NodeSpec
from frameengine.graph.registry import bind, code_digest, fingerprint, inherited_digest, missing, module_of, read_prompt, resolve
from frameengine.jsonvalue import freeze

NODE = """
class Toy:
    async def run(self, message, ctx):
        return [1, "x", *message]

class Outer:
    class Inner(Toy):
        pass

class Sync:
    def run(self, message, ctx):
        return message

class Picky(Toy):
    def __init__(self, needed):
        self.needed = needed

function = len
"""

Write = Callable[..., str]
_NUMBERS = count()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return a function that writes a module of a fresh name and returns the name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def make(source: str = NODE, package: str = "") -> str:
        name = f"toy_nodes_{next(_NUMBERS)}"
        folder = tmp_path / package
        folder.mkdir(exist_ok=True)
        if package:
            (folder / "__init__.py").touch()
        (folder / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        return f"{package}.{name}" if package else name

    yield make
    for name in sorted(set(sys.modules) - before):
        if name.startswith(("toy_nodes_", "toy_package")):
            del sys.modules[name]


def graph(*nodes: NodeSpec) -> Graph:
    """Return a graph of *nodes* without edges."""
    return Graph(name="g", version=1, entry=freeze({"Tick": nodes[0].name}), nodes=nodes)


def digest_of(write: Write, source: str) -> str:
    """Return the code digest of class Toy in a module with *source*."""
    return code_digest(resolve(f"{write(source)}:Toy"))


def test_resolves_module_and_class(write: Write) -> None:
    """A class is found by module and name, nested ones too."""
    module = write()
    assert resolve(f"{module}:Toy").__name__ == "Toy"
    assert resolve(f"{module}:Outer.Inner").__qualname__ == "Outer.Inner"


def test_resolves_registered_names(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered name leads to its class, which is imported only then."""
    module = write()
    monkeypatch.setattr(registry, "BUILT_IN", MappingProxyType({"toy": f"{module}:Toy"}))
    assert module not in sys.modules
    assert resolve("toy") is sys.modules[module].Toy


def test_resolves_entry_points(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that another package registers is found, and one that two packages register differently is refused."""
    target = f"{write()}:Toy"

    def points(*targets: str) -> Callable[..., importlib.metadata.EntryPoints]:
        made = [importlib.metadata.EntryPoint("foreign", value, registry.ENTRY_POINTS) for value in targets]
        return lambda **wanted: importlib.metadata.EntryPoints(made).select(**wanted)

    monkeypatch.setattr(importlib.metadata, "entry_points", points(target, target))
    assert resolve("foreign").__name__ == "Toy"
    monkeypatch.setattr(importlib.metadata, "entry_points", points(target, "other:Toy"))
    with pytest.raises(GraphError, match="several packages"):
        resolve("foreign")


def test_built_in_names() -> None:
    """Every built-in name leads into this package, as module and class."""
    assert {"chat_model", "chat_tools", "chat_output", "input_v2", "director_v2", "ui"} <= set(registry.BUILT_IN)
    for target in registry.BUILT_IN.values():
        module, colon, name = target.partition(":")
        assert module.startswith("frameengine.nodes.")
        assert colon
        assert name.isidentifier()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("Sync", "no async method run"),
        ("Gone", "is no class"),
        ("Toy.gone", "is no class"),
        ("function", "is no class"),
        ("", "is no class"),
    ],
)
def test_refuses_what_is_no_node(write: Write, name: str, what: str) -> None:
    """What is no class with an async method run is refused."""
    with pytest.raises(GraphError, match=what):
        resolve(f"{write()}:{name}")


def test_unknown_name_offers_the_nearest() -> None:
    """A name that nobody registered is answered with those that are spelled like it."""
    with pytest.raises(GraphError) as caught:
        resolve("chat_modle")
    assert "chat_model" in caught.value.hint
    assert "director_v2" in caught.value.fields["known"]


@pytest.mark.parametrize("source", ["import no_such_module_here", "1 / 0", "def broken("])
def test_module_that_cannot_be_imported(write: Write, source: str) -> None:
    """A module that fails while it is imported is an error of the graph that names the reason."""
    with pytest.raises(GraphError, match="cannot be imported") as caught:
        resolve(f"{write(source)}:Toy")
    assert caught.value.__cause__ is not None


def test_code_digest_sees_code_only(write: Write) -> None:
    """Comments, layout and docstrings leave the digest of a module alone."""
    plain = digest_of(write, NODE)
    dressed = '"""Toys."""\n# a comment\n' + NODE.replace(
        "class Toy:\n    async def run(self, message, ctx):\n",
        "class Toy:\n    '''A toy.'''\n\n    async def run(\n        self, message, ctx,\n    ):\n        '''Run.'''\n",
    )
    assert digest_of(write, dressed) == plain
    assert len(plain) == 64


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"x"', '"y"'),
        ("[1,", "[True,"),
        ("[1,", "[1.0,"),
        ('"x"', 'b"x"'),
        ("message, ctx", "ctx, message"),
        ("[1, ", "[-1, "),
        ("Inner(Toy)", "Inner"),
    ],
)
def test_code_digest_sees_every_change(write: Write, old: str, new: str) -> None:
    """A changed constant, its type, a parameter or a base changes the digest."""
    assert old in NODE
    assert digest_of(write, NODE) != digest_of(write, NODE.replace(old, new, 1))


def test_code_digest_tells_structure_apart(write: Write) -> None:
    """Code of the same words in another nesting has another digest."""
    first = "class Toy:\n    async def run(self, m, c):\n        if m:\n            c\n        m\n"
    second = "class Toy:\n    async def run(self, m, c):\n        if m:\n            c\n            m\n"
    assert digest_of(write, first) != digest_of(write, second)


def test_inherited_code_is_digested(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base class in another module of the package counts, however far up; imports and other packages do not."""
    package = "toy_package_of_bases"
    sources = {
        "toy_nodes_top": f"from toy_nodes_far import Far\nimport {package}.toy_nodes_aside\nclass Top(Far):\n    x = 1\n",
        "toy_nodes_base": f"from {package}.toy_nodes_top import Top\nclass Base(Top):\n    x = 2\n",
        "toy_nodes_own": f"from {package}.toy_nodes_base import Base\nclass Toy(Base):\n    async def run(self, m, c): ...\n",
        "toy_nodes_aside": "x = 1\n",
    }
    folder = Path(sys.path[0])
    (folder / package).mkdir()

    def digests(**changed: str) -> tuple[str, str]:
        for name in [name for name in sys.modules if name.startswith(("toy_nodes_", package))]:
            del sys.modules[name]
        (folder / "toy_nodes_far.py").write_text(f"class Far:\n    y = {changed.pop('far', '1')}\n")
        for name, source in sources.items():
            (folder / package / f"{name}.py").write_text(source + changed.get(name.removeprefix("toy_nodes_"), ""))
        importlib.invalidate_caches()
        bound = bind(graph(NodeSpec(name="a", implementation=f"{package}.toy_nodes_own:Toy")))
        told = fingerprint(bound)["nodes"]["a"]
        return told["code"], told["inherited"]

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    code, inherited = digests()
    assert digests() == digests(aside="y = 1\n") == digests(far="2") == digests(base="# a comment\n") == (code, inherited)
    for name in ("top", "base"):
        changed = digests(**{name: "y = 1\n"})
        assert changed[0] == code
        assert changed[1] != inherited
    assert digests(own="y = 1\n")[1] == inherited
    assert inherited_digest(resolve(f"{write()}:Outer.Inner")) == ""


def test_code_without_source(write: Write, tmp_path: Path) -> None:
    """A class whose source is gone or unreadable still has a digest, which is that of its name and says so."""
    name = write()
    cls = resolve(f"{name}:Toy")
    readable = code_digest(cls)
    path = tmp_path / f"{name}.py"
    path.write_text("def broken(")
    broken = code_digest(cls)
    path.unlink()
    assert code_digest(cls) == broken != readable
    made = ModuleType("toy_nodes_made")
    exec(NODE, made.__dict__)
    sys.modules["toy_nodes_made"] = made
    assert code_digest(made.Toy) != code_digest(made.Sync)


def test_bind_makes_one_instance_for_each_node(write: Write) -> None:
    """Each node gets an instance of its own, and its module's digest."""
    module = write()
    bound = bind(graph(NodeSpec(name="a", implementation=f"{module}:Toy"), NodeSpec(name="b", implementation=f"{module}:Toy")))
    assert bound.implementations["a"] is not bound.implementations["b"]
    assert bound.code["a"] == bound.code["b"] == code_digest(sys.modules[module].Toy)
    assert bound.prompts == {}
    with pytest.raises(TypeError):
        bound.code["a"] = "x"  # type: ignore[index]


def test_bind_reports_every_node(write: Write) -> None:
    """All nodes that cannot be bound are reported at once, each with its reason."""
    module = write()
    names = ("Picky", "Toy", "Sync")
    nodes = [NodeSpec(name=name.lower(), implementation=f"{module}:{name}") for name in names]
    nodes.append(NodeSpec(name="mute", implementation=f"{module}:Toy", prompts=("gone",)))
    with pytest.raises(GraphValidation) as caught:
        bind(graph(*nodes))
    listed = caught.value.fields["problems"]
    assert [problem["place"] for problem in listed] == ["nodes[0] (picky)", "nodes[2] (sync)", "nodes[3] (mute)"]
    for problem, what in zip(listed, ("cannot be made", "no async method", "no prompt 'gone'"), strict=True):
        assert what in problem["problem"]


def test_a_cause_that_nodes_share_is_told_once() -> None:
    """A module that is not there is told once, with its nodes and what to set; the fields have each node."""
    nodes = [NodeSpec(name=name, implementation=f"no_such_module_here:{name}") for name in ("a", "b")]
    with pytest.raises(GraphValidation) as caught:
        bind(graph(*nodes))
    assert caught.value.message.count("cannot be imported") == 1
    assert "nodes[0] (a), nodes[1] (b): " in caught.value.message
    assert "PYTHONPATH=FOLDER" in caught.value.message
    assert len(caught.value.fields["problems"]) == 2
    (problem,) = missing(graph(*nodes))
    assert problem.place == ("nodes", 0)
    assert problem.text.endswith("(so too for nodes[1] (b))")


def test_a_module_that_lacks_another_is_not_looked_for_elsewhere(write: Write) -> None:
    """Where the node's own module is there and something that it imports is not, PYTHONPATH is not the way out."""
    with pytest.raises(GraphError) as caught:
        resolve(f"{write('import no_such_module_here')}:Toy")
    assert "PYTHONPATH" not in caught.value.hint


def test_the_module_of_an_implementation() -> None:
    """It is what stands before the colon, of registered names too; a name that nobody registers stands for itself."""
    found = [module_of(name) for name in ("triage:Sort", "chat_model", "gone")]
    assert found == ["triage", "frameengine.nodes.tool_loop", "gone"]


def test_prompts_stand_beside_the_module(write: Write, tmp_path: Path) -> None:
    """A prompt is read from the folder beside its node's module, in a package or not, with line ends as LF."""
    for folder, package in ((tmp_path, ""), (tmp_path / "toy_package", "toy_package")):
        module = write(NODE, package)
        (folder / "prompts").mkdir()
        (folder / "prompts" / "listen.md").write_bytes(f"Höre {package}\r\n".encode())
        assert read_prompt("listen", module) == f"Höre {package}\n"


@pytest.mark.parametrize("name", ["../secret", "a/b", "", "gone", ".hidden"])
def test_prompts_stay_in_their_folder(write: Write, tmp_path: Path, name: str) -> None:
    """A prompt's name never leads out of the folder."""
    module = write()
    (tmp_path / "prompts").mkdir()
    (tmp_path / "secret.md").write_text("secret")
    with pytest.raises(GraphError, match="no prompt"):
        read_prompt(name, module)


def test_bind_digests_prompts(write: Write, tmp_path: Path) -> None:
    """A prompt's digest follows its text, and nodes may share a prompt."""
    module = write()
    (tmp_path / "prompts").mkdir()
    prompt = tmp_path / "prompts" / "listen.md"
    both = graph(
        NodeSpec(name="a", implementation=f"{module}:Toy", prompts=("listen",)),
        NodeSpec(name="b", implementation=f"{module}:Toy", prompts=("listen",)),
    )
    prompt.write_text("one")
    first = bind(both).prompts
    prompt.write_text("two")
    second = bind(both).prompts
    assert list(first) == ["listen"]
    assert first != second


def test_two_prompts_of_one_name(write: Write, tmp_path: Path) -> None:
    """Two different prompts of one name are refused: a digest by name could not tell them apart."""
    inside, outside = write(NODE, "toy_package"), write()
    for folder in (tmp_path, tmp_path / "toy_package"):
        (folder / "prompts").mkdir()
        (folder / "prompts" / "listen.md").write_text(folder.name)
    nodes = [
        NodeSpec(name=f"n{i}", implementation=f"{module}:Toy", prompts=("listen",)) for i, module in enumerate((inside, outside))
    ]
    with pytest.raises(GraphValidation, match="another prompt that is called 'listen'"):
        bind(graph(*nodes))


def test_fingerprint(write: Write) -> None:
    """The fingerprint holds the digests of graph, nodes and prompts, frozen (N23)."""
    module = write()
    bound = bind(graph(NodeSpec(name="a", implementation=f"{module}:Toy")))
    value = fingerprint(bound)
    assert value == {
        "graph": bound.graph.digest,
        "nodes": {"a": {"implementation": f"{module}:Toy", "code": bound.code["a"], "contract": ""}},
        "prompts": {},
    }
    with pytest.raises(ReadOnly):
        value["graph"] = ""


@pytest.mark.parametrize("source", ["raise SystemExit(0)", "import asyncio; raise asyncio.CancelledError"])
def test_a_module_that_leaves_the_process_cannot_be_imported(write: Write, source: str) -> None:
    """What a module raises when it is imported is a problem of the graph, whatever it raises; only an interrupt is one."""
    with pytest.raises(GraphError, match="cannot be imported"):
        resolve(f"{write(source)}:Toy")
    with pytest.raises(KeyboardInterrupt):
        resolve(f"{write('raise KeyboardInterrupt')}:Toy")


def test_a_node_that_leaves_the_process_cannot_be_made(write: Write) -> None:
    """Whatever a class raises when it is made is a problem of the graph."""
    module = write(f"{NODE}\nclass Leaves(Toy):\n    def __init__(self):\n        raise SystemExit(0)\n")
    with pytest.raises(GraphValidation, match="cannot be made: SystemExit"):
        bind(graph(NodeSpec(name="a", implementation=f"{module}:Leaves")))


def test_a_graph_that_is_not_trusted_imports_nothing(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may name what is registered, by its name or as module:Class; other code is named in the error and never imported."""
    module = write("raise AssertionError('imported')")
    with pytest.raises(GraphError, match=f"{module}:Toy \\(nodes\\[1\\] \\(b\\)\\)") as caught:
        bind(graph(NodeSpec(name="a", implementation="ui"), NodeSpec(name="b", implementation=f"{module}:Toy")), trusted=False)
    assert "--trust" in caught.value.hint
    assert module not in sys.modules
    for name in ("ui", registry.BUILT_IN["ui"]):
        assert bind(graph(NodeSpec(name="a", implementation=name)), trusted=False).implementations["a"] is not None
    registered = write()
    points = importlib.metadata.EntryPoints([importlib.metadata.EntryPoint("toy", f"{registered}:Toy", registry.ENTRY_POINTS)])
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: points)
    for name in ("toy", f"{registered}:Toy"):
        assert bind(graph(NodeSpec(name="a", implementation=name)), trusted=False).implementations["a"] is not None


def test_a_loader_that_gives_no_source_does_not_change_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins and tests are imported by pytest with a loader of its own: the code is digested from the file all the same."""
    from frameengine.nodes import sensor

    before = code_digest(sensor.Sensor)
    assert sensor.__spec__ is not None
    monkeypatch.setattr(sensor.__spec__, "loader", object())
    assert code_digest(sensor.Sensor) == before
