"""How the processes of the simulated world live and end, and what is told of them."""

from itertools import count
from typing import TYPE_CHECKING

from atoll_supervisor.core import events as ev
from atoll_supervisor.core.phases import Unit
from tests.fakes.nature import Action, Child

if TYPE_CHECKING:
    from tests.fakes.world import World

SILENT_AFTER = 3.0


class Lives:
    """The keeper's doings: launches, signals, ends; the world's luck decides how they go."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._keeper = world.keeper
        self._pids = count(1000)

    # What the daemon asks for.

    def launch(self, unit: Unit, generation: int) -> None:
        key = unit.slug, generation
        assert key not in self._keeper.children, f"{unit}: a second process of one generation"
        child = Child(
            slug=unit.slug,
            generation=generation,
            checksum=unit.spec.checksum if unit.spec else "",
            since=self._world.clock.now,
        )
        self._keeper.children[key] = child
        self._world.spawned.setdefault(unit.slug, []).append(self._world.clock.now)
        self._after(0.001, 0.3, lambda: self._appear(child))

    def terminate(self, child: Child) -> None:
        assert child.pid, f"{child}: no process to tell"
        child.told_at = child.told_at or self._world.clock.now
        if not child.deaf and child.hung_at is None:
            self._after(0, 1.5, lambda: self.end(child, signal="SIGTERM"))

    def kill(self, child: Child) -> None:
        assert child.pid, f"{child}: no process to kill"
        child.told_at = child.told_at or self._world.clock.now
        child.lives -= 1
        if child.lives <= 0:
            self._after(0.01, 0.01, lambda: self.end(child, signal="SIGKILL"))

    def wake(self, slug: str) -> None:
        """Tell of a client that waits where the daemon watches."""
        if slug in self._keeper.watched and self._keeper.clients.get(slug):
            self._keeper.watched.discard(slug)
            self._world.in_this_life(0.001, lambda: self._world.tell(slug, ev.ClientWaits()))

    # What happens by itself.

    def come(self, slug: str) -> None:
        """A client connects; refused when nothing listens, else served or kept waiting."""
        if slug not in self._keeper.sockets:
            return
        self._keeper.clients[slug] = self._keeper.clients.get(slug, 0) + 1
        if (child := self._keeper.serving(slug)) is not None:
            self._serve(child)
        else:
            self.wake(slug)

    def hang(self, child: Child) -> None:
        if not child.gone and child.hung_at is None:
            child.hung_at = self._world.clock.now
            self._after(SILENT_AFTER, SILENT_AFTER, lambda: self.be_silent(child))

    def resume(self, child: Child) -> None:
        child.hung_at = None

    def be_silent(self, child: Child) -> None:
        """Tell that the heart of a process has stopped, if it ever beat."""
        if child.hung_at is None or child.gone or child.mute or not child.ready:
            return
        silent = self._world.clock.now - child.hung_at
        if silent >= SILENT_AFTER - 0.001:
            self._world.report(child.slug, ev.WentSilent(child.generation, silent))

    def end(self, child: Child, code: int | None = None, signal: str | None = None) -> None:
        if not child.gone:
            child.gone, child.end = True, (code, signal)
            self.tell_end(child)

    def tell_end(self, child: Child, reason: str = "") -> None:
        """Tell of a process that is gone, or of a launch that failed."""
        event: ev.Event = ev.Exited(child.generation, *child.end, reason)
        if child.pid is None:
            event = ev.SpawnFailed(child.generation, reason or "the port is in use")
        self._world.report(child.slug, event, child)

    def perish(self) -> None:
        """The keeper ends, all its processes with it; another takes its place."""
        lost = list(self._keeper.children.items())
        for _, child in lost:
            child.gone, child.end = True, (None, None)
        self._keeper.sockets.clear()
        self._keeper.watched.clear()
        self._keeper.clients.clear()
        self._keeper.memories.clear()
        life = self._world.life
        self._world.hold_again()
        for key, child in lost:
            if self._world.life == life:
                self.tell_end(child, "the keeper ended")
            self._keeper.children.pop(key, None)

    # One process.

    def _appear(self, child: Child) -> None:
        luck, happens = self._world.luck, self._world.happens
        if child.gone:
            return
        if happens(luck.spawn_fails):
            self.end(child)
            return
        child.pid = next(self._pids)
        child.mute, child.deaf = happens(luck.mute), happens(luck.deaf)
        child.lives = 2 if happens(luck.wedged) else 1
        self._fate(child)
        self._world.report(child.slug, ev.Spawned(child.generation, child.pid))

    def _fate(self, child: Child) -> None:
        """Decide how the life of a process goes."""
        luck, happens = self._world.luck, self._world.happens
        if child.checksum in self._world.bad or happens(luck.crashes_at_start):
            self._after(0, 0.2, lambda: self.end(child, code=1))
            return
        if happens(luck.never_ready):
            return
        self._after(0.2, 1, lambda: self._be_ready(child))
        later = 1 + self._world.random.expovariate(1 / 40)
        if happens(luck.finishes):
            self._after(later, later, lambda: self.end(child, code=0))
        if happens(luck.crashes_later):
            self._after(later, later, lambda: self.end(child, signal="SIGSEGV"))
        if happens(luck.hangs):
            self._after(later, later, lambda: self.hang(child))

    def _be_ready(self, child: Child) -> None:
        if child.gone or child.hung_at is not None:
            return
        child.ready = True
        self._world.report(child.slug, ev.BecameReady(child.generation))
        if self._keeper.serving(child.slug) is child:
            self._serve(child)

    def _serve(self, child: Child) -> None:
        """Accept everybody who waits; work for a while."""
        if not self._keeper.clients.pop(child.slug, 0):
            return
        self._use(child, busy=True)
        self._after(0, 15, lambda: self._use(child, busy=False))

    def _use(self, child: Child, *, busy: bool) -> None:
        if not child.gone and child.hung_at is None:
            used = ev.WasUsed(child.generation, self._world.clock.now, busy)
            self._world.report(child.slug, used)

    def _after(self, least: float, most: float, action: Action) -> None:
        self._world.clock.after(self._world.random.uniform(least, most), action)
