"""Who may import whom: the layers of the project, and the libraries from outside."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from house.source import imports, modules, within

Layers = Sequence[Sequence[str]]

LAZILY = "at module level; import it in the function that needs it"


@frozen(kw_only=True)
class Library:
    """Where a library from outside may be imported."""

    within: tuple[str, ...] = ("frameengine", "frameengine_cli")
    """Modules and packages that may import it."""
    eager: tuple[str, ...] = ("frameengine", "frameengine_cli")
    """Those of them that may do so at module level; the others import it where they use it."""


def check_layers(root: Path, layers: Layers) -> list[str]:
    """Report imports that go upward, and modules that no layer names.

    *layers* lists module names, lowest first; a package stands for all its modules, and the members of one layer may import each
    other. The root of the package is above everything: it offers the public names, so it may import all and be imported by none,
    except for its version.
    """
    problems = []
    found = modules(root)
    known = frozenset(module.name for module in found)
    for module in found:
        if module.name == "frameengine":
            continue
        here = _layer(module.name, layers)
        if here is None:
            problems.append(module.problem(1, f"{module.name} stands in no layer; give it a place in the table LAYERS"))
            continue
        for made in imports(module, known):
            if made.target == "frameengine":
                if here < len(layers) - 1 and made.names != ("__version__",):
                    problems.append(
                        module.problem(made.line, "imports the package's root; import from where the name is defined")
                    )
                continue
            there = _layer(made.target, layers)
            if there is not None and there > here:
                text = f"{module.name} imports {made.target}, which lies above it; move what they share down, or pass it in"
                problems.append(module.problem(made.line, text))
    return problems


def _layer(name: str, layers: Layers) -> int | None:
    for number, layer in enumerate(layers):
        if any(within(name, member) for member in layer):
            return number
    return None


def check_libraries(root: Path, libraries: Mapping[str, Library], packages: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Report imports of libraries (and of our own heavy *packages*: name to its eager importers) where they may not stand.

    A library that the table does not know is a problem as well: a new dependency is a decision.
    """
    problems = []
    found = modules(root)
    known = frozenset(module.name for module in found)
    for module in found:
        for made in imports(module, known):
            for heavy, eager in packages.items():
                if within(made.target, heavy) and not made.lazy and not _one_of(module.name, eager):
                    problems.append(module.problem(made.line, f"imports {heavy} {LAZILY}"))
            top = made.target.split(".")[0]
            if top in {"frameengine", "frameengine_cli"}:
                continue
            rule = libraries.get(top)
            if rule is None:
                if top not in sys.stdlib_module_names:
                    problems.append(module.problem(made.line, f"imports {top}, which the table LIBRARIES does not name"))
            elif not _one_of(module.name, rule.within):
                problems.append(module.problem(made.line, f"imports {top}, which only {', '.join(rule.within)} may do"))
            elif not made.lazy and not _one_of(module.name, rule.eager):
                problems.append(module.problem(made.line, f"imports {top} {LAZILY}"))
    return problems


def _one_of(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(within(name, prefix) for prefix in prefixes)
