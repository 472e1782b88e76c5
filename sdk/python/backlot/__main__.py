"""`python -m backlot describe FILE` and `python -m backlot serve FILE`: what a studio calls."""

import sys

from backlot import describe, serve

if __name__ == "__main__":
    commands = {"describe": describe, "serve": serve}
    if len(sys.argv) != 3 or sys.argv[1] not in commands:
        sys.exit("usage: python -m backlot describe|serve FILE")
    sys.exit(commands[sys.argv[1]](sys.argv[2]))
