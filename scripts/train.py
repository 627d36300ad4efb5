"""Train a generator: scripts/train RECIPE [--minutes M]; scripts/train --smoke."""

import sys

from training.command import main

if __name__ == "__main__":
    sys.exit(main())
