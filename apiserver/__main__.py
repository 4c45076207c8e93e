"""``python -m apiserver``: the Kubernetes API server as a process of its own."""

from __future__ import annotations

import sys

from apiserver.config import DEBUG, parse_config
from machinery.component import fatal, setup_logging
from machinery.extras import MissingExtra, require


def main() -> None:
    """Parse the flags, and serve until told to stop."""
    config = parse_config()
    setup_logging(config.verbosity >= DEBUG)
    if not config.in_memory:
        try:
            require("etcd")
        except MissingExtra as error:
            fatal(str(error))
    from apiserver.assembly import ApiServer
    from apiserver.serving.server import serve

    sys.exit(serve(config, ApiServer(config)))


if __name__ == "__main__":
    main()
