"""The model host: one process that serves one GGUF file to the whole fleet.

`python -m atoll.modelhost --model FILE_OR_NAME --socket PATH`
"""
