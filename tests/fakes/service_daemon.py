"""A whole daemon whose PATH holds the stand-in for vLLM."""

from pathlib import Path
from typing import Any

import httpx

from tests.fakes.daemon import PLAIN, Daemon, eventually
from tests.fakes.vllm_serve import install


class ServiceDaemon(Daemon):
    """A daemon, and the services it is asked for."""

    more: dict[str, str] = {}  # noqa: RUF012  set by who wants it

    @property
    def environment(self) -> dict[str, str]:
        common = super().environment
        path = f"{install(self.home / 'bin')}:{common['PATH']}"
        return {**common, "PATH": path, "SECRET_OF_THE_DAEMON": "x", **self.more}

    def create(self, recipe: str = "inference/vllm", **body: object) -> dict[str, object]:
        answer = self.ask("POST", "/api/v1/services", {"recipe_name": recipe, **body})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        return httpx.request(
            method, self.url + path, json=body, headers=self.headers(), timeout=60, verify=PLAIN
        )

    def headers(self) -> dict[str, str]:
        return {} if "none" in self.flags else self.token()

    def service(self, service: object) -> dict[str, Any]:
        return self.get(f"/api/v1/services/{service}").raise_for_status().json()

    def status(self, service: object) -> str:
        return str(
            self.get(f"/api/v1/services/{service}/status").raise_for_status().json()["status"]
        )

    def until(self, service: object, *states: str, limit: float = 30) -> dict[str, object]:
        """The service once it is in one of these states."""

        def is_there() -> bool:
            return self.service(service)["status"] in states

        try:
            eventually(is_there, limit)
        except AssertionError:
            told = f"{self.service(service)}\n{self.log.read_text()}"
            raise AssertionError(told) from None
        return self.service(service)

    def prompt(self, service: object, text: str = "Hello") -> httpx.Response:
        return self.ask("POST", f"/api/v1/vllm/{service}/prompt", {"prompt": text})


def data_of(daemon: ServiceDaemon, service: object) -> Path:
    """The folder of a service's own."""
    return daemon.state / "services" / str(service)
