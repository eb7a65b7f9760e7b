"""The keeper: holds listening sockets and child processes, and decides nothing (DESIGN section 3).

Standard library only, and no asyncio: it has to stay small, because it is the
one process whose death ends every unit.
"""
