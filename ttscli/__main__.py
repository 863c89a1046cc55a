"""The program's entry: `ttscli`, and `python -m ttscli`."""

from __future__ import annotations

import sys


def run() -> int:
    """Run the command line; Ctrl-C during its first imports is no error either."""
    try:
        from ttscli.cli import main

        return main()
    except KeyboardInterrupt:
        sys.stderr.write("ttscli: stopped\n")
        return 130


if __name__ == "__main__":
    sys.exit(run())
