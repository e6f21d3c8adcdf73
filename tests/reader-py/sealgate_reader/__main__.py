"""`python -m sealgate_reader`."""

import sys

from .command_line import main

sys.exit(main())
