"""`python -m racer` is `racer`, where its script is not on the path."""

from racer.cli import main

if __name__ == "__main__":
    main()
