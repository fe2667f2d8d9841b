"""`python -m ggtui`."""

from ggtui.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
