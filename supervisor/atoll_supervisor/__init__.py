"""The daemon that keeps a folder of agents running, and its command line."""
