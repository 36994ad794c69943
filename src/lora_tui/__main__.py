"""`python -m lora_tui`."""

import sys

from lora_tui.cli.run import main

if __name__ == "__main__":
    sys.exit(main())
