"""The template: a process with the agent runtime already imported, from which agents are forked.

Started by the keeper as `python -m atoll.template` with a socket of type
SOCK_SEQPACKET as descriptor 3; one packet is one JSON object. The template says
`{"ready": 1, "pid", "modules"}`, or `{"error"}` and ends. For each request
`{"id", "argv", "env", "cwd", "mark", "name", "keeper"}`, which comes with the
descriptors standard output, standard error, channel and perhaps listening
socket, it answers `{"id", "pid"}` or `{"id", "error"}`. The end of the socket is
the end of the template; agents do not notice.

What makes a fork safe here is in performance.md section 2: one thread, no event
loop, no descriptor beyond 0 to 3, nothing secret in memory.
"""
