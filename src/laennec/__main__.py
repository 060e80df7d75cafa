"""``python -m laennec``: the command line."""

from laennec.cli import main

if __name__ == "__main__":
    main()
