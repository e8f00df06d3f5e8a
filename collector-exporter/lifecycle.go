// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
)

// What exporterhelper makes says that it mutates data as soon as it batches, and the Collector would
// copy them for us; ours are serialized when they are handed over and never touched. It also panics
// when it is shut down twice. The types here put both right.

type logsExporter struct {
	exporter.Logs
	stop stopper
}

func (*logsExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (e *logsExporter) Shutdown(ctx context.Context) error { return e.stop.do(ctx, e.Logs.Shutdown) }

type tracesExporter struct {
	exporter.Traces
	stop stopper
}

func (*tracesExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (e *tracesExporter) Shutdown(ctx context.Context) error {
	return e.stop.do(ctx, e.Traces.Shutdown)
}

type metricsExporter struct {
	exporter.Metrics
	stop stopper
}

func (*metricsExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (e *metricsExporter) Shutdown(ctx context.Context) error {
	return e.stop.do(ctx, e.Metrics.Shutdown)
}

// stopper shuts an exporter down the first time it is asked to and does nothing later. What is queued is drained
// before the library is closed, so the library is told to hurry first: with a long commit.interval the drain
// would outlast what a host gives a process to end. What waits for another attempt is noted first, too: exporterhelper drops
// it before it drains the queue.
type stopper struct {
	base *signalExporter
	once sync.Once
}

func (s *stopper) do(ctx context.Context, shutdown func(context.Context) error) (err error) {
	s.once.Do(func() {
		s.base.beginStop()
		s.base.last.stop()
		err = shutdown(ctx)
	})
	return err
}
