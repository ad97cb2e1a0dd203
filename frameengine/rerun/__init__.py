"""Run recorded inputs through changed code or another graph, answered from recorded calls: reruns, versions, bisect."""
