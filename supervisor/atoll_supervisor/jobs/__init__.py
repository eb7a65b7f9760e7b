"""The process that stands on the fleet's machine for an agent that is a job of a cluster.

Like `srun`, it lives as long as its job: to the keeper it is the agent. See
docs/decisions/0011-agents-as-jobs.md.
"""
