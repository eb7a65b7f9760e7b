"""G7: `litellm` over /api/generate (`ollama/`)."""

import litellm
from common import Case, case


def main(it: Case) -> None:
    model, asked = f"ollama/{it.model}", [{"role": "user", "content": it.plain}]
    said = litellm.completion(model, asked, api_base=it.url)
    assert said.choices[0].message.content, said
    parts = litellm.completion(model, asked, api_base=it.url, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts)


main(case())
