"""Sizes, docstrings and leftovers: what can be told from the text alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from house.source import Module, modules, parse, python_files

Function = ast.FunctionDef | ast.AsyncFunctionDef

# Put together here, or this file would be a finding itself.
MARKERS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
BREAKS = re.compile(r"\b(" + "|".join(["break" + r"point\(", "pdb" + r"\.set_trace", "import" + " pdb"]) + ")")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(work|tmp|home|root|Users|mnt)/")


def check_sizes(root: Path, *, module_max: int, function_max: int, line_max: int) -> list[str]:
    """Report modules, functions and lines that are longer than they may be, counted in lines and in characters."""
    problems = []
    for module in modules(root):
        lines = module.text.split("\n")
        length = len(lines) - (lines[-1] == "")
        if length > module_max:
            text = f"{length} lines, {module_max} at most; split the module by what changes together"
            problems.append(module.problem(module_max + 1, text))
        for number, line in enumerate(lines, start=1):
            if len(line) > line_max:
                problems.append(module.problem(number, f"{len(line)} characters, {line_max} at most"))
        for function in _functions(module.tree):
            span = (function.end_lineno or function.lineno) - function.lineno + 1
            if span > function_max:
                problems.append(module.problem(function.lineno, f"{function.name} has {span} lines, {function_max} at most"))
    return problems


def _functions(tree: ast.Module) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def check_docstrings(root: Path) -> list[str]:
    """Report public modules, classes, functions and methods of the installed packages that say nothing about themselves."""
    problems = []
    for module in modules(root):
        if not ast.get_docstring(module.tree):
            problems.append(module.problem(1, "the module has no docstring"))
        problems += [module.problem(line, f"{name} has no docstring") for name, line in _undocumented(module.tree.body)]
    return problems


def _undocumented(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, int]]:
    """Yield public names without a docstring. What stands inside a function is nobody's interface."""
    for node in body:
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            yield from _undocumented([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)], prefix)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
        # The implementation speaks for its overloads, the getter for its setter.
        if not ast.get_docstring(node) and not decorators & {"overload", "setter", "deleter"}:
            yield prefix + node.name, node.lineno
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node.body, f"{prefix}{node.name}.")


def check_test_docstrings(root: Path) -> list[str]:
    """Report tests that do not state in a docstring which behaviour they show."""
    problems = []
    for module in _python(root, "tests"):
        if not Path(module.path).name.startswith("test_"):
            continue
        problems += [
            module.problem(function.lineno, f"{function.name} does not say which behaviour it shows")
            for function in _functions(module.tree)
            if function.name.startswith("test_") and not ast.get_docstring(function)
        ]
    return problems


def check_leftovers(root: Path) -> list[str]:
    """Report notes to oneself and debugger calls anywhere, and absolute paths of some machine in the installed packages."""
    problems = []
    for folder in ("frameengine", "cli", "tests", "benchmarks", "fixtures"):
        for module in _python(root, folder):
            for number, line in enumerate(module.text.split("\n"), start=1):
                if found := MARKERS.search(line):
                    problems.append(module.problem(number, f"{found[0]} is a leftover; do it, or open an issue"))
                if found := BREAKS.search(line):
                    problems.append(module.problem(number, f"{found[0]} is a leftover of debugging; remove it"))
                if folder in {"frameengine", "cli"} and (found := MACHINE_PATHS.search(line)):
                    problems.append(module.problem(number, f"{found[0]} is a path of one machine; take it as an argument"))
    return problems


def _python(root: Path, folder: str) -> Iterator[Module]:
    for path in python_files(root, Path(folder)):
        yield parse(root, path, root)
