"""How a handler reaches the agent it serves."""

from litestar import Litestar

from atoll.loop.agent import Agent


def give(app: Litestar, agent: Agent) -> None:
    """Let the application serve this agent from now on."""
    app.state["agent"] = agent


def agent_of(app: Litestar) -> Agent:
    """The agent this application serves."""
    agent: object = app.state["agent"]
    if not isinstance(agent, Agent):
        raise TypeError("the application was made without an agent")
    return agent
