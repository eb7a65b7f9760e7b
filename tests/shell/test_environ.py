"""What a unit sees of the daemon's environment."""

from atoll_supervisor.shell.environ import child_environment


def test_the_environment_is_an_allow_list():
    """What is not on the list or asked for stays with the daemon (attacks.md S25)."""
    environ = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "XDG_RUNTIME_DIR": "/run/user/1",
        "AWS_SECRET_ACCESS_KEY": "x",
        "ATOLL_TOKEN": "x",
        "NOTIFY_SOCKET": "@x",
        "LISTEN_PID": "1",
        "MY_KEY": "k",
        "OTHER_KEY": "x",
    }
    wanted = ["MY_KEY", "NOT_SET", "NOTIFY_SOCKET", "ATOLL_TOKEN"]
    seen = child_environment(environ, wanted, {"ATOLL_X": "1"})
    assert seen == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "XDG_RUNTIME_DIR": "/run/user/1",
        "MY_KEY": "k",
        "ATOLL_X": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
    }
