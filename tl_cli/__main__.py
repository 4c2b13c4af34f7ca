"""`python -m tl_cli`: the same as `tl`."""

from tl_cli.cli.app import main

main()
