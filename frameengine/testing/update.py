"""Make the pending golden of one that diverged: its inputs through the code of now, answered by its own replies."""

from __future__ import annotations

from pathlib import Path

from frameengine.errors import FrameEngineError
from frameengine.golden import left_behind, pending_path
from frameengine.graph.registry import bind
from frameengine.replay.replayer import embedded_graph
from frameengine.rerun.rerun import rerun
from frameengine.testing.goldens import Graphs
from frameengine.trace.reader import read_header


def renewed(golden: Path, graphs: Graphs, way_out: str) -> list[str]:
    """Write the pending golden; return in lines what was written, or why nothing was.

    Only replies to equal requests are used. Where one is missing, the command *way_out* says which, and takes it.
    """
    bound = graphs.of(golden) or bind(embedded_graph(read_header(golden), golden))
    try:
        result = rerun(golden, bound, output=pending_path(golden), replace=True, switch=graphs.switch)
    except FrameEngineError as error:
        return [f"  no pending golden: {error.message}{left_behind(golden)}", f"  try: {way_out}"]
    unused = f" ({len(result.unused)} recorded replies are not asked for any more)" if result.unused else ""
    return [f"  written: {result.output}{unused}", f"  try: frameengine snapshot review {golden.parent}"]
