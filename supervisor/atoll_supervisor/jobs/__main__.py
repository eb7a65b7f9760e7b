"""`python -m atoll_supervisor.jobs ORDER`: started by the keeper alone."""

import sys

from atoll_supervisor.jobs.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
