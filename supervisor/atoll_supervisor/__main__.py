"""`python -m atoll_supervisor` is `atoll`, and without arguments `atoll up`."""

import sys

from atoll_supervisor.cli import main

if __name__ == "__main__":
    main(sys.argv[1:] or ["up"])
