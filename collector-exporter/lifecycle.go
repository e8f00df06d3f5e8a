// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
)

// The types in this file correct two properties of the exporters that exporterhelper makes. An exporter that batches
// declares that it mutates data, so the Collector would copy all data for it. This exporter serializes data when it
// receives them and never changes them. And an exporter panics when it is shut down twice.

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

// stopper shuts an exporter down on the first call and does nothing on later ones.
//
// Two things happen before exporterhelper is shut down. The library is told that shutdown begins: the queue is drained before the
// library is closed, and with a long commit.interval that would take longer than a host gives a process to end. And the
// batches that wait for another attempt are noted, because exporterhelper drops them before it drains the queue.
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
