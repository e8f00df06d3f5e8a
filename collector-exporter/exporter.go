// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// signalExporter stores one signal of a configured exporter.
type signalExporter struct {
	cfg       *Config
	signal    native.Signal
	logger    *zap.Logger
	handles   *sharedHandles
	numbers   *numberer
	telemetry *telemetry

	// handle is set by Start. Once closed it answers every export with class shutdown.
	handle handle
}

func newSignalExporter(set exporter.Settings, cfg *Config, signal native.Signal, handles *sharedHandles) (*signalExporter, error) {
	telemetry, err := newTelemetry(set, signal)
	if err != nil {
		return nil, err
	}
	return &signalExporter{
		cfg:       cfg,
		signal:    signal,
		logger:    set.Logger,
		handles:   handles,
		numbers:   newNumberer(),
		telemetry: telemetry,
	}, nil
}

// options tells exporterhelper how to run this exporter. The library decides what is retried, and the
// queue stores our own bytes.
func (e *signalExporter) options() []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown),
		exporterhelper.WithTimeout(e.cfg.TimeoutConfig),
		exporterhelper.WithRetry(e.cfg.RetryConfig),
		xexporterhelper.WithQueueBatch(e.cfg.QueueConfig, xexporterhelper.QueueBatchSettings{
			Encoding: &queueEncoding{signal: e.signal, logger: e.logger},
		}),
	}
}

// start opens the library, or joins the exporter of another signal that has.
func (e *signalExporter) start(context.Context, component.Host) error {
	h, opened, err := e.handles.acquire(e.cfg)
	if err != nil {
		return fmt.Errorf("cannot open the Iceberg catalog: %w", err)
	}
	e.handle = h
	if opened {
		e.logger.Info("Writing Iceberg tables",
			zap.String("library_version", native.Version()),
			zap.String("warehouse", settingOr(e.cfg.Catalog.Warehouse, defaultWarehouse)),
			zap.String("namespace", settingOr(e.cfg.Catalog.Namespace, defaultNamespace)))
	}
	return nil
}

// The library's defaults, for the log line only; it is told what was set and nothing else.
const (
	defaultWarehouse = "./warehouse"
	defaultNamespace = "otel"
)

func settingOr(setting *string, libraryDefault string) string {
	if setting == nil {
		return libraryDefault
	}
	return *setting
}

// shutdown gives the library back. exporterhelper has drained the queue by now.
func (e *signalExporter) shutdown(ctx context.Context) error {
	e.telemetry.shutdown()
	if e.handle == nil {
		return nil
	}
	return e.handles.release(ctx, e.cfg)
}

func (e *signalExporter) fromLogs(_ context.Context, logs plog.Logs) (xexporterhelper.Request, error) {
	message, err := (&plog.ProtoMarshaler{}).MarshalLogs(logs)
	if err != nil {
		return nil, err
	}
	return e.numbers.number(e.signal, message, logs.LogRecordCount()), nil
}

func (e *signalExporter) fromTraces(_ context.Context, traces ptrace.Traces) (xexporterhelper.Request, error) {
	message, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		return nil, err
	}
	return e.numbers.number(e.signal, message, traces.SpanCount()), nil
}

func (e *signalExporter) fromMetrics(_ context.Context, metrics pmetric.Metrics) (xexporterhelper.Request, error) {
	message, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(metrics)
	if err != nil {
		return nil, err
	}
	return e.numbers.number(e.signal, message, metrics.DataPointCount()), nil
}

// export stores one batch: nil means that its rows are in committed snapshots.
func (e *signalExporter) export(ctx context.Context, req xexporterhelper.Request) error {
	r, ok := req.(*request)
	if !ok {
		return consumererror.NewPermanent(fmt.Errorf("cannot export a %T", req))
	}
	if r.bytes == 0 {
		return nil
	}
	e.telemetry.begin(r)
	started := time.Now()
	outcome, err := e.handle.Export(ctx, e.signal, r.payload(), r.parts, r.received)
	took := time.Since(started)
	e.telemetry.record(ctx, outcome, took)

	err = e.classify(outcome, err)
	if err == nil {
		e.logger.Debug("Stored a batch",
			zap.Uint64("rows", outcome.Rows),
			zap.Uint64("files", outcome.Files),
			zap.Uint64("file_bytes", outcome.FileBytes),
			zap.Uint64("snapshots", outcome.Commits),
			zap.Int("requests", len(r.parts)),
			zap.Int("payload_bytes", r.bytes),
			zap.Duration("took", took))
	}
	if err == nil || consumererror.IsPermanent(err) {
		e.telemetry.end(r)
	}
	return err
}

// classify says in exporterhelper's words what the library decided.
func (e *signalExporter) classify(outcome native.Outcome, err error) error {
	if err == nil {
		return nil
	}
	var failure *native.Error
	if !errors.As(err, &failure) {
		return err
	}
	switch failure.RetryClass {
	case native.RetryClassPermanent:
		return consumererror.NewPermanent(err)
	case native.RetryClassPartial:
		e.logger.Warn("Some records were rejected; the rest of the batch is stored.",
			zap.Uint64("rejected", outcome.Rejected),
			zap.Uint64("rows", outcome.Rows),
			zap.String("reasons", failure.Message))
		return nil
	case native.RetryClassRetry:
		if failure.RetryAfter > 0 {
			return exporterhelper.NewThrottleRetry(err, failure.RetryAfter)
		}
		return err
	default:
		// Shutdown. exporterhelper's own shutdown error is not public, and none is needed: its
		// retries are stopped before the queue, so any error that may be retried becomes one, and
		// a persistent queue keeps the request.
		return err
	}
}
