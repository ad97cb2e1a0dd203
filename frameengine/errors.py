"""Every error the project raises, each with a code, a way out and its facts.

::

    FrameEngineError(code, hint, fields)
      UsageError            the caller's mistake                       exit 2
        EngineClosed          a finished or failed run was driven on
        ReadOnly              a view, a checkpoint or a state was written to
        UnknownRef            a run reference that names nothing, or several runs
        ValueRefused          a value that JSON cannot hold exactly
      GraphError            the graph, not the run                     exit 2
        UnknownGraph          no graph of that name
        GraphValidation       all problems of one graph at once
      ExpressionError       an expression that is refused or fails     exit 2
      LimitError            a named bound was passed                   exit 1
      TraceError            the file                                   exit 3
        TraceNotFound         no such file
        TraceFormat           a line that is not of the format
        TraceIncomplete       no seal; the good prefix is named
        TraceVersion          a format number that is not read here
        TraceIntegrity        the chain or the seal does not hold
        TraceLocked           another process writes it
      StorageError          a write or a sync failed                   exit 1
      CassetteError         the recorded replies                       exit 4
        CassetteMiss          no recorded reply for a request
        CassetteUnused        a recorded reply that nothing asked for
        CassetteAmbiguous     replies that may belong to others of the same requests
        CassetteApproximate   replies to other requests                  exit 1
      DeterminismError      the run is not a function of its inputs    exit 4
        Diverged              replay and record differ
        Nondeterminism        a node touched the clock, chance or the world
        LiveCallRefused       a live call was attempted during replay
      NothingCompared       an empty comparison or capture             exit 5
      EffectError           an effect failed; a node may catch these   exit 1
        ModelCallFailed       the model's side
        ToolFailed            the tool's side
          NoSandbox             foreign code, and nothing to shut it in
        EffectCancelled       the message was cancelled
      NodeError             a node broke its contract                  exit 1
        ForeignAwait          it awaited something that is no effect
        ForgottenEffect       it made an effect and never awaited it
      InternalError         our bug: please report it                  exit 70

``code`` is stable (``trace.integrity``), ``hint`` is one sentence that says what to do next, ``fields`` are the facts as JSON.
"""

from __future__ import annotations

from typing import Any, ClassVar


class FrameEngineError(Exception):
    """Say what went wrong, where, and what to do next."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.hint, self.fields))


def _rebuild(kind: type[FrameEngineError], message: str, hint: str, fields: dict[str, Any]) -> FrameEngineError:
    return kind(message, hint=hint, **fields)


class UsageError(FrameEngineError):
    """The caller asked for something that cannot be done."""

    code = "usage"
    exit_code = 2


class EngineClosed(UsageError):
    """A run that has ended was driven on."""

    code = "usage.closed"


class ReadOnly(UsageError):
    """A frozen value was written to."""

    code = "usage.read_only"


class UnknownRef(UsageError):
    """A run reference names nothing, or more than one run."""

    code = "usage.ref"


class ValueRefused(UsageError):
    """A value that the record could not hold exactly: NaN, 2**64, a lone surrogate, a set, …."""

    code = "usage.value"


class GraphError(FrameEngineError):
    """The graph cannot be used as it is written."""

    code = "graph"
    exit_code = 2


class UnknownGraph(GraphError):
    """No graph of that name; ``fields['known']`` lists those there are."""

    code = "graph.unknown"


class GraphValidation(GraphError):
    """All problems of one graph; ``fields['problems']`` is a list of {place, problem}."""

    code = "graph.invalid"


class ExpressionError(FrameEngineError):
    """An expression is refused or failed; ``fields`` has ``text`` and ``column``."""

    code = "expression"
    exit_code = 2


class LimitError(FrameEngineError):
    """A named bound was passed; ``fields`` has ``name``, ``bound`` and ``actual``."""

    code = "limit"


class TraceError(FrameEngineError):
    """A trace file cannot be read as a trace."""

    code = "trace"
    exit_code = 3


class TraceNotFound(TraceError):
    """There is no such file, or it is not a regular one."""

    code = "trace.not_found"


class TraceFormat(TraceError):
    """A line is not of the format; ``fields`` has ``path`` and ``line``."""

    code = "trace.format"


class TraceIncomplete(TraceError):
    """The file has no seal; ``fields`` says how much of it is good."""

    code = "trace.incomplete"


class TraceVersion(TraceError):
    """The file's format number is not one that this version reads."""

    code = "trace.version"


class TraceIntegrity(TraceError):
    """The chain, the seal or a digest does not hold; ``fields`` has ``path`` and ``line``."""

    code = "trace.integrity"


class TraceLocked(TraceError):
    """Another process is writing the file; ``fields['owner']`` names it."""

    code = "trace.locked"


class StorageError(FrameEngineError):
    """A write or sync failed: nothing is acknowledged after it."""

    code = "storage"


class CassetteError(FrameEngineError):
    """The recorded replies do not serve this run."""

    code = "cassette"
    exit_code = 4


class CassetteMiss(CassetteError):
    """No recorded reply answers a request; ``fields`` has the nearest ones and why each was rejected."""

    code = "cassette.miss"


class CassetteUnused(CassetteError):
    """Recorded replies were left over."""

    code = "cassette.unused"


class CassetteAmbiguous(CassetteError):
    """Equal requests got different recorded replies, and nobody can know which is whose; ``fields`` counts them."""

    code = "cassette.ambiguous"


class CassetteApproximate(CassetteError):
    """A run got recorded replies to other requests than its own; ``fields`` counts them."""

    code = "cassette.approximate"
    exit_code = 1


class DeterminismError(FrameEngineError):
    """The run is not a function of its recorded inputs."""

    code = "determinism"
    exit_code = 4


class Diverged(DeterminismError):
    """Replay and record differ; ``fields['divergence']`` says where."""

    code = "determinism.diverged"


class Nondeterminism(DeterminismError):
    """A node touched the clock, chance or the world; ``fields`` has ``name``, ``instead``, ``file``, ``line``."""

    code = "determinism.guard"


class LiveCallRefused(DeterminismError):
    """A live call was attempted where only recorded outcomes may be used."""

    code = "determinism.live_call"


class NothingCompared(FrameEngineError):
    """A comparison or capture had nothing in it, which proves nothing."""

    code = "nothing"
    exit_code = 5


class EffectError(FrameEngineError):
    """An effect's outcome was not ``ok``. A node may catch this and carry on."""

    code = "effect"


class ModelCallFailed(EffectError):
    """The model's side failed; ``fields`` may have ``status``, ``retry_after``, ``phase``."""

    code = "effect.model"


class ToolFailed(EffectError):
    """The tool's side failed."""

    code = "effect.tool"


class NoSandbox(ToolFailed):
    """Foreign code was not run, because it could not be shut in; ``fields['missing']`` says what the machine lacks."""

    code = "effect.tool.sandbox"


class EffectCancelled(EffectError):
    """The effect was outstanding when its message was cancelled."""

    code = "effect.cancelled"


class NodeError(FrameEngineError):
    """A node broke the contract of `frameengine.node`; ``fields`` has ``node``, ``frame``, ``where``."""

    code = "node"


class ForeignAwait(NodeError):
    """A node awaited something other than an effect."""

    code = "node.foreign_await"


class ForgottenEffect(NodeError):
    """A node made an effect and never awaited it."""

    code = "node.forgotten_effect"


class InternalError(FrameEngineError):
    """A defect of this project."""

    code = "internal"
    exit_code = 70
