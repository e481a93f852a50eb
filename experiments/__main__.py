"""The program ``spu-circuit``."""

import sys

from experiments.shared.stopping import STOPPED, loading, say_stopped


def main() -> None:
    """Run the command line; a mistake is one line on standard error and status 2, a failed simulation status 1."""
    with loading():
        from experiments import cli
    try:
        cli.main()
    except KeyboardInterrupt:
        say_stopped()
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()
