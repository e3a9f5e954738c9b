"""Traffic for demos, tests and benchmarks, which sees every request that is dropped.

`Load` runs in this event loop; `load_process` runs the same in a process of its own, so that neither it nor
the deployer next to it slows the other down.
"""

from portside.load.generator import Load
from portside.load.mix import Kind, links, pages
from portside.load.process import LoadProcess, load_process
from portside.load.report import Failure, KindReport, Latency, Report

__all__ = [
    "Failure",
    "Kind",
    "KindReport",
    "Latency",
    "Load",
    "LoadProcess",
    "Report",
    "links",
    "load_process",
    "pages",
]
