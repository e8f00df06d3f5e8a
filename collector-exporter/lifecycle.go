// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// The types in this file correct four properties of the exporters that exporterhelper makes. An exporter that batches
// declares that it mutates data, so the Collector would copy all data for it. This exporter serializes data when it
// receives them and never changes them. An exporter panics when it is shut down twice. A start with a queue on disk
// loses requests if the process is killed meanwhile (see startQueue). And a full queue may hang when clients give up
// (see clientTurns).

type logsExporter struct {
	exporter.Logs
	turns *clientTurns
	stop  stopper
}

func (*logsExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (e *logsExporter) ExporterHelperBatchingEnabled() bool { return batches(e.Logs) }

func (e *logsExporter) ConsumeLogs(client context.Context, logs plog.Logs) error {
	return e.turns.consume(client, func(ctx context.Context) error { return e.Logs.ConsumeLogs(ctx, logs) })
}

func (e *logsExporter) Start(ctx context.Context, host component.Host) error {
	return e.stop.base.startQueue(ctx, host, e.Logs.Start)
}

func (e *logsExporter) Shutdown(ctx context.Context) error { return e.stop.do(ctx, e.Logs.Shutdown) }

type tracesExporter struct {
	exporter.Traces
	turns *clientTurns
	stop  stopper
}

func (*tracesExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (e *tracesExporter) ExporterHelperBatchingEnabled() bool { return batches(e.Traces) }

func (e *tracesExporter) ConsumeTraces(client context.Context, traces ptrace.Traces) error {
	return e.turns.consume(client, func(ctx context.Context) error { return e.Traces.ConsumeTraces(ctx, traces) })
}

func (e *tracesExporter) Start(ctx context.Context, host component.Host) error {
	return e.stop.base.startQueue(ctx, host, e.Traces.Start)
}

func (e *tracesExporter) Shutdown(ctx context.Context) error {
	return e.stop.do(ctx, e.Traces.Shutdown)
}

type metricsExporter struct {
	exporter.Metrics
	turns *clientTurns
	stop  stopper
}

func (*metricsExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (e *metricsExporter) ExporterHelperBatchingEnabled() bool { return batches(e.Metrics) }

func (e *metricsExporter) ConsumeMetrics(client context.Context, metrics pmetric.Metrics) error {
	return e.turns.consume(client, func(ctx context.Context) error { return e.Metrics.ConsumeMetrics(ctx, metrics) })
}

func (e *metricsExporter) Start(ctx context.Context, host component.Host) error {
	return e.stop.base.startQueue(ctx, host, e.Metrics.Start)
}

func (e *metricsExporter) Shutdown(ctx context.Context) error {
	return e.stop.do(ctx, e.Metrics.Shutdown)
}

// batches returns whether exporterhelper batches in this exporter. Newer Collectors ask for it, to warn of a batch
// processor before such an exporter. Older versions of exporterhelper do not say; nobody asks there.
func batches(helper any) bool {
	asked, says := helper.(interface{ ExporterHelperBatchingEnabled() bool })
	return says && asked.ExporterHelperBatchingEnabled()
}

// stopper shuts an exporter down on the first call and does nothing on later ones.
//
// Two things happen before exporterhelper is shut down. The library is told that shutdown begins: the queue is drained
// before the library is closed, and with a long commit.interval that would take longer than a host gives a process to
// end. And the batches that wait for another attempt are noted, because exporterhelper drops them before it drains the
// queue.
type stopper struct {
	base *signalExporter
	once sync.Once
}

func (s *stopper) do(ctx context.Context, shutdown func(context.Context) error) (err error) {
	s.once.Do(func() {
		s.base.beginStop()
		s.base.retries.stop()
		err = shutdown(ctx)
	})
	return err
}
