// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/metadata"
	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// NewFactory returns the factory of the exporter type iceberg.
func NewFactory() exporter.Factory {
	return newFactory(openNative)
}

// newFactory returns a factory whose exporters open the library with open.
func newFactory(open openFunc) exporter.Factory {
	f := &factory{handles: newSharedHandles(open)}
	return exporter.NewFactory(
		metadata.Type,
		createDefaultConfig,
		exporter.WithLogs(f.createLogs, metadata.LogsStability),
		exporter.WithTraces(f.createTraces, metadata.TracesStability),
		exporter.WithMetrics(f.createMetrics, metadata.MetricsStability),
	)
}

type factory struct {
	handles *sharedHandles
}

const (
	defaultTimeout      = 60 * time.Second
	defaultQueueBytes   = 512 << 20
	defaultBatchBytes   = 24 << 20
	defaultFlushTimeout = 10 * time.Second
	// Each consumer occupies a thread in the library. Few of them write files at a time (limits.parallel_calls_max),
	// and those that wait for their commit hold no bytes. This number is enough for the 256 MiB of requests that may
	// wait for commit.interval, and for as many again.
	defaultConsumers = 24
)

// createDefaultConfig returns defaults that make files of a useful size and lose no data: batches of 24 MiB or 10 s, a
// queue that is measured in bytes and blocks clients when it is full, and retries without end.
func createDefaultConfig() component.Config {
	retry := configretry.NewDefaultBackOffConfig()
	retry.MaxElapsedTime = 0

	queue := exporterhelper.NewDefaultQueueConfig()
	queue.Sizer = exporterhelper.RequestSizerTypeBytes
	queue.QueueSize = defaultQueueBytes
	queue.BlockOnOverflow = true
	queue.NumConsumers = defaultConsumers
	// From exporterhelper's own default, because newer versions refuse fields of partition that are zero.
	batch := *queue.Batch.GetOrInsertDefault()
	batch.FlushTimeout = defaultFlushTimeout
	batch.Sizer = exporterhelper.RequestSizerTypeBytes
	batch.MinSize = defaultBatchBytes
	queue.Batch = configoptional.Some(batch)

	return &Config{
		TimeoutConfig: exporterhelper.TimeoutConfig{Timeout: defaultTimeout},
		RetryConfig:   retry,
		QueueConfig:   configoptional.Some(queue),
	}
}

func (f *factory) createLogs(
	ctx context.Context, set exporter.Settings, cfg component.Config,
) (exporter.Logs, error) {
	e, err := newSignalExporter(set, cfg.(*Config), native.SignalLogs, f.handles)
	if err != nil {
		return nil, err
	}
	helper, err := xexporterhelper.NewLogsRequest(ctx, set, e.fromLogs, e.export, e.options()...)
	if err != nil {
		return nil, err
	}
	return &logsExporter{Logs: helper, turns: newClientTurns(e.cfg, e.guard), stop: stopper{base: e}}, nil
}

func (f *factory) createTraces(
	ctx context.Context, set exporter.Settings, cfg component.Config,
) (exporter.Traces, error) {
	e, err := newSignalExporter(set, cfg.(*Config), native.SignalTraces, f.handles)
	if err != nil {
		return nil, err
	}
	helper, err := xexporterhelper.NewTracesRequest(ctx, set, e.fromTraces, e.export, e.options()...)
	if err != nil {
		return nil, err
	}
	return &tracesExporter{Traces: helper, turns: newClientTurns(e.cfg, e.guard), stop: stopper{base: e}}, nil
}

func (f *factory) createMetrics(
	ctx context.Context, set exporter.Settings, cfg component.Config,
) (exporter.Metrics, error) {
	e, err := newSignalExporter(set, cfg.(*Config), native.SignalMetrics, f.handles)
	if err != nil {
		return nil, err
	}
	helper, err := xexporterhelper.NewMetricsRequest(ctx, set, e.fromMetrics, e.export, e.options()...)
	if err != nil {
		return nil, err
	}
	return &metricsExporter{Metrics: helper, turns: newClientTurns(e.cfg, e.guard), stop: stopper{base: e}}, nil
}
