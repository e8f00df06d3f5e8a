"""What the whole-system tests, the demo and the load tool share.

`corpus` makes the requests, `otlp` sends them (`senders`: steadily), `collector` runs the real binary, `expect` says which
rows must come out, `readers` reads the tables with other people's readers, `compare` compares.
"""
