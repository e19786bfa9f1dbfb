"""The counters as Prometheus reads them. Only the metrics process imports this, and with it prometheus_client.

SECURITY: reads the shared counters and the facts the supervisor handed over; labels come from tables and from our own
configuration, never from a peer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gatepost._version import __version__
from gatepost.observe.metrics import FAMILIES, Family, Sample, bucket_bounds
from gatepost.observe.shared import Shared

PREFIX: Final = "gatepost_"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class CountersCollector(Collector):
    """Makes Prometheus metrics of the shared counters, each time they are asked for."""

    def __init__(self, shared: Shared, clock: Callable[[], float] = time.time) -> None:
        self._shared = shared
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Every family of the table, then what the supervisor told."""
        by_family: dict[str, list[Sample]] = {family.name: [] for family in FAMILIES}
        for sample in self._shared.counters.samples():
            by_family[sample.family.name].append(sample)
        for family in FAMILIES:
            yield _metric(family, by_family[family.name])
        yield from self._facts()

    def _facts(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(f"{PREFIX}build_info", "The version that runs.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        started = GaugeMetricFamily(f"{PREFIX}start_time_seconds", "When the server started, in Unix time.")
        started.add_metric([], self._shared.started_at)
        yield started
        ends = GaugeMetricFamily(
            f"{PREFIX}tls_certificate_not_after_timestamp_seconds",
            "When a certificate expires, in Unix time.",
            labels=["name"],
        )
        for certificate in self._shared.facts.get("certificates", ()):
            ends.add_metric([str(certificate["name"])], certificate["not_after"])
        yield ends


def _metric(family: Family, samples: list[Sample]) -> Metric:
    name, labels = PREFIX + family.name, [label for label, _ in family.labels]
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(name, family.help, labels=labels)
        bounds = [*map(str, bucket_bounds()), "+Inf"]
        for sample in samples:
            cumulated = accumulate(sample.buckets)
            histogram.add_metric(sample.labels, list(zip(bounds, cumulated, strict=True)), sample.sum_seconds)
        return histogram
    metric: CounterMetricFamily | GaugeMetricFamily
    if family.kind == "gauge":
        metric = GaugeMetricFamily(name, family.help, labels=labels)
    else:
        metric = CounterMetricFamily(name.removesuffix("_total"), family.help, labels=labels)
    for sample in samples:
        metric.add_metric(list(sample.labels), sample.value)
    return metric


def render(registry: CollectorRegistry) -> bytes:
    """The page."""
    return generate_latest(registry)


def new_registry(shared: Shared) -> CollectorRegistry:
    """A registry that holds the counters and nothing of this process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(CountersCollector(shared))
    return registry
