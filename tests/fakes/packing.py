"""zstd as this Python has it, for tests that pack what ATOLL unpacks."""

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
