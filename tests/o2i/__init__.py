"""Code that the whole-system tests, the demo and the load tool share.

`corpus` makes the requests, `otlp` sends them (`senders`: steadily), `collector` runs the real binary, `expect`
computes the expected rows, `readers` reads the tables with independent readers, `compare` compares. `pages` finds the code
in the documentation.
"""
