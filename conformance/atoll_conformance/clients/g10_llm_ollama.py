"""G10: the `llm` command with `llm-ollama`."""

import os
import subprocess
import sys
import tempfile

from common import Case, case, same


def main(it: Case) -> None:
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "OLLAMA_HOST": it.url, "LLM_USER_PATH": home, "HOME": home}
        listed = llm(env, "models")
        names = [word for word in listed.split() if same(word.removeprefix("ollama/"), it.model)]
        assert names, listed
        assert llm(env, "-m", names[0], it.plain).strip()
        assert llm(env, "-m", names[0], "--no-stream", it.plain).strip()


def llm(env: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "llm", *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


main(case())
