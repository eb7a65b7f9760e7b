"""How a handler reaches the agent it serves."""

from litestar import Litestar
from litestar.datastructures import State

from atoll.loop.agent import Agent


def state_of(agent: Agent) -> State:
    """The application state that `agent_of` reads."""
    return State({"agent": agent})


def agent_of(app: Litestar) -> Agent:
    """The agent this application serves."""
    agent: object = app.state["agent"]
    if not isinstance(agent, Agent):
        raise TypeError("the application was made without an agent")
    return agent
