"""``python -m cluster`` is ``mini-minishift``."""

from cluster.cli import main

main()
