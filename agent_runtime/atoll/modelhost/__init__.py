"""The model host: one process that serves one local GGUF to the whole fleet."""
