"""The daemon's hands: processes, sockets, files, probes."""
