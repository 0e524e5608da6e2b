"""``python -m dialogue_gym.cli``, for where the ``dialogue-gym`` command is not on the path."""

import sys

from dialogue_gym.cli import main

if __name__ == "__main__":
    sys.exit(main())
