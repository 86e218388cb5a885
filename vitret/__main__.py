"""`python -m vitret`, as torchrun calls it."""

from vitret.cli import main

if __name__ == "__main__":
    main()
