"""An Upkeep port that remembers what it was asked."""


class MemoryUpkeep:
    """Upkeep (atoll_supervisor.ports) of nothing."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def reload(self) -> None:
        self.calls.append("reload")

    async def reload_runtime(self) -> tuple[str, ...]:
        self.calls.append("reload_runtime")
        return ("ghidraagent",)

    async def upgrade(self) -> None:
        self.calls.append("upgrade")
