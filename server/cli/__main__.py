"""``python -m server.cli``: the same as the script ``liveavatar``."""

import sys

from server.cli.entry import main

sys.exit(main())
