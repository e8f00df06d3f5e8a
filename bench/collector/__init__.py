"""Measures Collectors side by side: what an exporter costs a record, in CPU and memory.

`rows`     the Collectors and the loads that are measured
`run`      one Collector pinned to a core: its CPU, its memory, its rows counted afterwards
`sender`   the load generator (loadgen/, Go) as a child process
`compare`  all rows, interleaved over several rounds
`report`   the Markdown, and which of the goals hold
`outage`   a catalog that is away for minutes: memory, and every record afterwards
`steady`   one load for as long as asked, memory minute by minute
"""
