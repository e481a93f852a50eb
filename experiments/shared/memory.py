"""How much memory there is, to refuse what cannot fit before it is begun."""

import os


def machine_memory() -> int:
    """Bytes of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def size_text(size: float) -> str:
    """Bytes as people read them."""
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    power = next((k for k in range(len(units)) if size < 1000 ** (k + 1)), len(units) - 1)
    return f"{size / 1000**power:.3g} {units[power]}"
