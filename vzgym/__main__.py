"""`python -m vzgym` is the `vzgym` command."""

from vzgym.cli import main

if __name__ == "__main__":
    main()
