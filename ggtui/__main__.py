"""`python -m ggtui`."""

from ggtui.cli import program

if __name__ == "__main__":
    program()
