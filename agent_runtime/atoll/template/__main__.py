"""The door of `python -m atoll.template`."""

import sys

from atoll.template.command import main

if __name__ == "__main__":
    sys.exit(main())
