"""`python -m atoll` and the script `atoll`."""

import sys
from typing import NoReturn

from atoll import cli


def main() -> NoReturn:
    """Run this process's command line."""
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
