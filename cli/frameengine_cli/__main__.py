"""``python -m frameengine_cli``."""

from frameengine_cli.app import main

main()
