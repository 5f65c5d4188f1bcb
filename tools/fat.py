# Which names a file on a FAT volume can have, for the tools that put files there.
import re

NAME_LENGTH = 255
# Devices of DOS, whatever comes after a dot: mtools and Windows take them for no files.
DEVICE = re.compile(r"(con|prn|aux|nul|clock\$|(com|lpt)[0-9]) *(\..*)?", re.IGNORECASE)


def is_fat_name(name):
    """Whether a file on a FAT volume can have this name of ASCII characters."""
    return (0 < len(name) <= NAME_LENGTH and name == name.rstrip(" .").lstrip(" ")
            and not re.search(r'[^ -~]|[\\/:*?"<>|]', name) and not DEVICE.fullmatch(name))
