"""The billing database of the fixtures, for tests whose queries are real."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

BUILDER = Path(__file__).parents[2] / "fixtures" / "billing.py"


def build_billing(folder: Path) -> Path:
    """Build the database in *folder* and return its file."""
    spec = spec_from_file_location("billing", BUILDER)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    path = folder / "billing.sqlite"
    module.build(path)
    return path
