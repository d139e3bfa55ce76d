"""`python -m sidestream` is the command `sidestream`."""

from sidestream.cli import main

if __name__ == "__main__":
    main()
