"""The transport for OpenAI-compatible endpoints: any endpoint, streaming or not, and what comes of it."""

from frameengine.performers.model_http.endpoint import Endpoint, Timeouts
from frameengine.performers.model_http.fault import KINDS, Retry
from frameengine.performers.model_http.reading import read
from frameengine.performers.model_http.transport import HttpModel

__all__ = ["KINDS", "Endpoint", "HttpModel", "Retry", "Timeouts", "read"]
