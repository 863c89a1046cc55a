"""`python -m ttscli`."""

from __future__ import annotations

import sys

from ttscli.cli import main

if __name__ == "__main__":
    sys.exit(main())
