"""`python -m atoll_conformance`."""

import sys

from atoll_conformance.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
