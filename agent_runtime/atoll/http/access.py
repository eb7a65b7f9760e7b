"""How a handler reaches the agent it serves."""

from litestar import Litestar

from atoll.loop.agent import Agent


def give(app: Litestar, agent: Agent, *, is_private: bool = False) -> None:
    """Let the application serve this agent from now on; `is_private` to who shows its token."""
    app.state["agent"] = agent
    app.state["is_private"] = is_private


def agent_of(app: Litestar) -> Agent:
    """The agent this application serves."""
    agent: object = app.state["agent"]
    if not isinstance(agent, Agent):
        raise TypeError("the application was made without an agent")
    return agent


def is_private(app: Litestar) -> bool:
    """Whether every request that comes this far has shown the agent's token."""
    return app.state["is_private"] is True
