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
	stop once
}

func (*logsExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (e *logsExporter) Shutdown(ctx context.Context) error { return e.stop.do(ctx, e.Logs.Shutdown) }

type tracesExporter struct {
	exporter.Traces
	stop once
}

func (*tracesExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (e *tracesExporter) Shutdown(ctx context.Context) error {
	return e.stop.do(ctx, e.Traces.Shutdown)
}

type metricsExporter struct {
	exporter.Metrics
	stop once
}

func (*metricsExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (e *metricsExporter) Shutdown(ctx context.Context) error {
	return e.stop.do(ctx, e.Metrics.Shutdown)
}

// once runs a shutdown the first time it is asked to and does nothing later.
type once struct {
	sync.Once
}

func (o *once) do(ctx context.Context, shutdown func(context.Context) error) (err error) {
	o.Do(func() { err = shutdown(ctx) })
	return err
}
