"""What no line of the product does: attacks.md S47 and the house rules of style.md."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.arch.tree import AGENTS, PACKAGES, ROOT, Source, sources

MODULES = frozenset({"pickle", "cPickle", "marshal", "shelve", "dill", "telnetlib", "xmlrpc"})
CALLS = frozenset(
    {
        "__import__",
        "asyncio.create_subprocess_shell",
        "compile",
        "eval",
        "exec",
        "os.popen",
        "os.system",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "tempfile.mktemp",
        "yaml.load",
    }
)
SECRETS = re.compile(r"(^|_)(token|secret|api_key|apikey|password|bearer)$", re.IGNORECASE)
# Put together here so that this file does not hold what it forbids.
COMMENTS = re.compile(
    "|".join(["type: " + "ignore", "pyright: " + "ignore", "TO" + "DO", "FIX" + "ME", "X" + "XX"])
)
WIRE = ("atoll/http/", "atoll/wire/", "atoll_supervisor/api/")
LOCKLESS = ("atoll/core/", "atoll/loop/", "atoll_supervisor/core/", "atoll_supervisor/loop")
CAGED = "adapters/sandbox/worker.py"
"""The program inside the sandbox: to run foreign code is its work, and its folder's to cage it."""
RUN = frozenset({"compile", "eval", "exec"})
LOCKS = frozenset({"Lock", "RLock", "Condition"})


def faults(source: Source) -> list[str]:
    """Each forbidden thing in a file, as `file:line: what`."""
    found = [*_imports(source), *_calls(source), *_comparisons(source), *_comments(source)]
    return [f"{source.name}:{line}: {what}" for line, what in sorted(found)]


def _imports(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for top in {name.split(".")[0] for name in names if not getattr(node, "level", 0)}:
            if top in MODULES:
                yield node.lineno, f"import of {top}"
            if top == "json" and any(part in source.name for part in WIRE):
                yield node.lineno, "stdlib json on the wire; atoll.wire.json is ours"


def _calls(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in CALLS and not (name in RUN and source.name.endswith(CAGED)):
            yield node.lineno, f"call of {name}"
        if any(
            word.arg == "shell" and ast.unparse(word.value) != "False" for word in node.keywords
        ):
            yield node.lineno, "a shell"
        if name.split(".")[-1] in LOCKS and any(part in source.name for part in LOCKLESS):
            yield node.lineno, f"{name} where one loop owns the state"


def _comparisons(source: Source) -> Iterator[tuple[int, str]]:
    """`==` between two values of which one is a secret; hmac.compare_digest is for that."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            sides = [node.left, node.comparators[0]]
            secret = any(SECRETS.search(ast.unparse(side).split(".")[-1]) for side in sides)
            if secret and not any(isinstance(side, ast.Constant) for side in sides):
                yield node.lineno, f"{ast.unparse(node)} takes as long as the secret matches"


def _comments(source: Source) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT and (found := COMMENTS.search(token.string)):
            yield token.start[0], f"comment with {found[0]}"


def test_nothing_forbidden_is_done_anywhere() -> None:
    everything = sources(*PACKAGES, AGENTS, ROOT / "scripts", ROOT / "benchmarks")
    assert [fault for source in everything for fault in faults(source)] == []


def test_no_type_is_silenced_in_the_tests_either() -> None:
    found = [line for source in sources(ROOT / "tests") for line in _comments(source)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from marshal import loads",
        "eval('1')",
        "exec(code)",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=flag)",
        "asyncio.create_subprocess_shell('ls')",
        "yaml.load(text)",
        "import json",
        "if given == self.token: pass",
        "ok = settings.api_key != header",
        "x = 1  # type: " + "ignore[misc]",
        "x = 1  # TO" + "DO later",
    ],
)
def test_each_forbidden_thing_is_found(line: str) -> None:
    source = Source(ROOT / "agent_runtime/atoll/http/bad.py", line, ast.parse(line))
    assert len(faults(source)) == 1


@pytest.mark.parametrize("line", ["lock = asyncio.Lock()", "guard = threading.RLock()"])
def test_a_lock_in_the_loop_is_found(line: str) -> None:
    source = Source(ROOT / "agent_runtime/atoll/loop/bad.py", line, ast.parse(line))
    assert len(faults(source)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "compare_digest(given, token)",
        "if token == '': pass",
        "ast.literal_eval(text)",
        "subprocess.run(['ls'], shell=False)",
        "if tokens == other.tokens: pass",
        "re.compile('x')",
    ],
)
def test_what_is_allowed_is_not_found(line: str) -> None:
    source = Source(ROOT / "agent_runtime/atoll/http/good.py", line, ast.parse(line))
    assert faults(source) == []


def test_the_rules_cover_real_folders() -> None:
    """A renamed folder must not take the rules for it away unnoticed."""
    roots = (ROOT / "agent_runtime", ROOT / "supervisor")
    missing = [part for part in (*WIRE, *LOCKLESS) if not any(_there(root, part) for root in roots)]
    assert missing == []


def _there(root: Path, part: str) -> bool:
    return (root / part).exists() or (root / f"{part.rstrip('/')}.py").exists()
