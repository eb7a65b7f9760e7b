"""G9: the `pydantic-ai-slim` package, whose OllamaModel speaks /v1."""

from common import Case, case
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.providers.ollama import OllamaProvider


class Person(BaseModel):
    """Who is asked for."""

    name: str
    age: int


def main(it: Case) -> None:
    model = OllamaModel(it.model, provider=OllamaProvider(base_url=f"{it.url}/v1"))
    assert Agent(model).run_sync(it.plain).output
    if it.tool and "final_result" in it.prompts:
        person = Agent(model, output_type=Person).run_sync(it.prompts["final_result"]).output
        assert isinstance(person, Person), person


main(case())
