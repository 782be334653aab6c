"""`python -m tokenviz`: the same as the `tokenviz` command."""

from tokenviz.cli.app import main

main()
