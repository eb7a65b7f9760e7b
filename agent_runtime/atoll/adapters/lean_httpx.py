"""httpx without its command line, which every `import httpx` would bring along.

httpx imports its own command line (click, rich, pygments: 6 MiB and 32 ms,
performance.md section 1) whenever those are installed, and for us they always
are. An empty module in its place ends in the ImportError that httpx expects
where they are not.
"""

import sys
from types import ModuleType

sys.modules.setdefault("httpx._main", ModuleType("httpx._main"))

import httpx  # noqa: E402  after the line above

__all__ = ["httpx"]
