"""``python -m stargen.cli``: the command without its script."""

from stargen.cli.main import main

main()
