"""A conformance suite for servers that say they are Ollama: 110 rows of black-box checks.

    python -m atoll_conformance --url http://127.0.0.1:11434 --model llama3.2

It speaks HTTP to any server and knows nothing of ATOLL: it depends on httpx and
msgspec alone. `docs/conformance.md` lists the rows and tells how a profile says
what a server's model has to be asked.
"""

from atoll_conformance.run import run_suite
from atoll_conformance.table import TABLE
from atoll_conformance.verdict import Fail, NotApplicable, Pass, Verdict

__all__ = ["TABLE", "Fail", "NotApplicable", "Pass", "Verdict", "run_suite"]
