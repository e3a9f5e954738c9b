"""The machines and the containers on them."""

from __future__ import annotations

from observability.dashboards import thresholds
from observability.dashboards.dashboard import Dashboard, Row
from observability.dashboards.panels import graph
from observability.dashboards.targets import query
from observability.dashboards.variables import ANY_ENV, ANY_HOST

HOSTS = 'env=~"$env",host=~"$host"'
CABLES = f'{HOSTS},device!~"lo|veth.*|br-.*|docker.*"'
# Slices and the machine itself have no name.
CONTAINERS = f'{HOSTS},name!=""'

PAGE = Dashboard(
    name="hosts",
    title="Hosts and containers",
    description="What machines and containers use of what they have.",
    variables=(ANY_ENV, ANY_HOST),
    marked=HOSTS,
    rows=(
        Row(
            "Hosts",
            (
                graph(
                    "CPU",
                    "Share of all cores that was busy over 5 minutes. The line is where HostCpuBusy fires.",
                    "percentunit",
                    query(f"host:cpu:busy_ratio_rate5m{{{HOSTS}}}", "{{host}}"),
                    limits={"min": 0, "max": 1},
                    threshold=thresholds.of_alert("HostCpuBusy"),
                ),
                graph(
                    "Memory",
                    "Share of memory that can't be given to a process which asks for it.",
                    "percentunit",
                    query(f"host:memory:used_ratio{{{HOSTS}}}", "{{host}}"),
                    limits={"min": 0, "max": 1},
                    threshold=thresholds.of_alert("HostMemoryLow"),
                ),
                graph(
                    "Out of memory",
                    "Processes that the kernel killed for want of memory.",
                    "short",
                    query(f"increase(node_vmstat_oom_kill{{{HOSTS}}}[$__rate_interval])", "{{host}}"),
                    bars=True,
                ),
                graph(
                    "Disk",
                    "Share of each disk that is used.",
                    "percentunit",
                    query(f"host:disk:used_ratio{{{HOSTS}}}", "{{host}} {{device}}"),
                    limits={"min": 0, "max": 1},
                    threshold=thresholds.of_alert("HostDiskFull"),
                ),
                graph(
                    "Disk at work",
                    "Share of the time that a disk had something to do. All of it means that others wait.",
                    "percentunit",
                    query(
                        f"sum by (host, device) (rate(node_disk_io_time_seconds_total{{{HOSTS}}}[$__rate_interval]))",
                        "{{host}} {{device}}",
                    ),
                ),
                graph(
                    "Network",
                    "Bytes per second on the machine's own devices; sent below zero.",
                    "Bps",
                    query(
                        f"sum by (host) (rate(node_network_receive_bytes_total{{{CABLES}}}[$__rate_interval]))",
                        "{{host}} received",
                    ),
                    query(
                        f"-sum by (host) (rate(node_network_transmit_bytes_total{{{CABLES}}}[$__rate_interval]))",
                        "{{host}} sent",
                    ),
                    limits={},
                ),
            ),
        ),
        Row(
            "Containers",
            (
                graph(
                    "CPU by container",
                    "Cores that a container keeps busy.",
                    "short",
                    query(
                        f"""topk(10, sum by (host, name) (
                        rate(container_cpu_usage_seconds_total{{{CONTAINERS}}}[$__rate_interval])))""",
                        "{{host}} {{name}}",
                    ),
                ),
                graph(
                    "Memory by container",
                    "Share of its limit that a container can't give back. Those without a limit aren't shown.",
                    "percentunit",
                    query(f"topk(10, container:memory:used_ratio{{{HOSTS}}})", "{{host}} {{name}}"),
                    threshold=thresholds.of_alert("ContainerMemoryHigh"),
                ),
                graph(
                    "Restarts by container",
                    "Starts of a container that had been started before.",
                    "short",
                    query(
                        f"""sum by (host, name) (
                        changes(container_start_time_seconds{{{CONTAINERS}}}[$__rate_interval])) > 0""",
                        "{{host}} {{name}}",
                    ),
                    bars=True,
                ),
            ),
        ),
    ),
)
