"""`python -m collectors`: the same as `logsvc-collector`."""

import sys

from collectors.cli import main

sys.exit(main())
