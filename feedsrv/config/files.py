"""Read the files that settings name."""

import errno
import os
from pathlib import Path

#: The most bytes of a file; twenty thousand feeds take three million. A device may have no end.
_MAX_BYTES = 50_000_000


def read_file(file: Path) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: It cannot be read, or is too large.
    """
    with file.open("rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(file))
    return content
