"""`python -m multiscale` is the `multiscale` command."""

from multiscale.cli import main

main()
