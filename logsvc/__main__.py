"""`python -m logsvc`."""

from logsvc.cli import main

if __name__ == "__main__":
    main()
