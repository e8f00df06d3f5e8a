"""Measures Collectors side by side: the CPU time and memory that an exporter needs per record.

`rows`     the Collectors and the loads that are measured
`run`      one Collector pinned to a core: CPU time, memory, and a count of its rows afterwards
`sender`   the load generator (loadgen/, Go) as a child process
`compare`  all rows, interleaved over several rounds
`report`   the Markdown, and which of the goals hold
`outage`   a catalog that is unavailable for minutes: memory, and whether every record was stored
`steady`   one load for a given time, with memory minute by minute
"""
