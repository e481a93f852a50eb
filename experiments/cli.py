"""The program ``spu-circuit``."""

import sys

from experiments.shared.stopping import STOPPED, loading, say_stopped


def main() -> None:
    """Run the command line; a mistake is one line on standard error and status 2, a failed simulation status 1."""
    with loading():
        from experiments.commands import run
    try:
        status = run()
    except KeyboardInterrupt:
        say_stopped()
        status = STOPPED
    sys.exit(status)


if __name__ == "__main__":
    main()
