"""HTTP calls of agents that were not written for this project: each request and its answer, recorded and given back."""
