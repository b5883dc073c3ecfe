"""Runs the `vzgym` command as `python -m vzgym`."""

from vzgym.cli import main

if __name__ == "__main__":
    main()
