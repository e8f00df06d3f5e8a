// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	ids       *requestIDs
	telemetry *telemetry
	// retries holds the batches that a shutdown would drop without another attempt.
	retries *shutdownRetries
	// limiter limits the library calls at a time.
	limiter callLimiter
	// outage logs attempts that fail.
	outage outage
	// guard freezes a queue on disk that holds requests of a newer layout.
	guard *layoutGuard

	// handle is set by start. Once closed it answers every export with class shutdown.
	handle *sharedHandle
	// status is set by start.
	status *statusReporter
}

func newSignalExporter(
	set exporter.Settings, cfg *Config, signal native.Signal, handles *sharedHandles,
) (*signalExporter, error) {
	telemetry, err := newTelemetry(set, signal)
	if err != nil {
		return nil, err
	}
	e := &signalExporter{
		cfg:       cfg,
		signal:    signal,
		logger:    set.Logger,
		handles:   handles,
		ids:       newRequestIDs(),
		telemetry: telemetry,
		retries:   newShutdownRetries(),
		limiter:   newCallLimiter(cfg),
		outage:    outage{logger: set.Logger},
	}
	e.guard = newLayoutGuard(e.reportFrozenQueue)
	return e, nil
}

// options configures exporterhelper. The library decides which failures are retried, and the queue stores requests in
// the layout of queueEncoding.
func (e *signalExporter) options() []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown),
		// exporterhelper's timeout is off, because attemptContext bounds attempts.
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{}),
		exporterhelper.WithRetry(e.cfg.RetryConfig),
		xexporterhelper.WithQueueBatch(e.cfg.QueueConfig, xexporterhelper.QueueBatchSettings{
			Encoding: &queueEncoding{signal: e.signal, ids: e.ids, logger: e.logger},
			MergeCtx: e.cfg.contextMerger(),
		}),
	}
}

// start opens the library, or shares the handle that the exporter of another signal has opened.
func (e *signalExporter) start(ctx context.Context, host component.Host) error {
	h, opened, err := e.handles.acquire(e.cfg, e.logger)
	if err != nil {
		return fmt.Errorf("cannot open the Iceberg catalog: %w", err)
	}
	e.handle, e.status = h, newStatusReporter(host, h.stopping, e.endProcess)
	e.outage.report = e.status.report
	e.telemetry.initCounters(ctx)
	if opened {
		version := zap.String("library_version", native.Version())
		e.logger.Info("Writing Iceberg tables", append([]zap.Field{version}, e.cfg.Catalog.logFields()...)...)
		e.warnCommitInterval()
		e.warnWaitForResult()
		e.warnResourceAttributes()
	}
	return nil
}

// beginStop ends the reports of statuses and makes queued batches commit without waiting for commit.interval. A
// failure is logged at debug level only: the library is broken then, and the next export reports that.
func (e *signalExporter) beginStop() {
	if e.handle == nil {
		return
	}
	e.status.stop()
	if err := e.handle.BeginShutdown(); err != nil {
		e.logger.Debug("Batches wait for their turn to commit.", zap.Error(err))
	}
}

// shutdown retries the batches that waited for another attempt and releases the library. By then exporterhelper has
// drained the queue and dropped those batches.
func (e *signalExporter) shutdown(ctx context.Context) error {
	defer e.telemetry.shutdown()
	if e.handle == nil {
		return nil
	}
	e.retryPending(ctx)
	return e.handles.release(ctx, e.cfg)
}

func (e *signalExporter) fromLogs(_ context.Context, logs plog.Logs) (xexporterhelper.Request, error) {
	message, err := (&plog.ProtoMarshaler{}).MarshalLogs(logs)
	if err != nil {
		return nil, err
	}
	return e.newRequest(message, logs.LogRecordCount())
}

func (e *signalExporter) fromTraces(_ context.Context, traces ptrace.Traces) (xexporterhelper.Request, error) {
	message, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		return nil, err
	}
	return e.newRequest(message, traces.SpanCount())
}

func (e *signalExporter) fromMetrics(_ context.Context, metrics pmetric.Metrics) (xexporterhelper.Request, error) {
	message, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(metrics)
	if err != nil {
		return nil, err
	}
	return e.newRequest(message, metrics.DataPointCount())
}

// newRequest makes a request of a message. The library takes the bytes at once, unless they are written to a queue on
// disk first and read back from it later.
func (e *signalExporter) newRequest(message []byte, items int) (xexporterhelper.Request, error) {
	r := e.ids.newRequest(e.signal, message, items)
	if e.queueStorage() != nil {
		return r, nil
	}
	if err := r.ensureBatch(); err != nil {
		return nil, err
	}
	return r, nil
}

// export makes one attempt to store a batch, within the configured timeout. Nil means that all of its rows that were
// not rejected are stored. A failed attempt is counted and logged.
func (e *signalExporter) export(client context.Context, req xexporterhelper.Request) error {
	r, ok := req.(*request)
	if !ok {
		return consumererror.NewPermanent(fmt.Errorf("cannot export a %T", req))
	}
	if r.bytes == 0 {
		r.free()
		return nil
	}
	ctx, cancel := beginAttempt(clientOf(client), e.cfg.TimeoutConfig.Timeout)
	defer cancel()
	err := e.attempt(ctx, r)
	if err == nil {
		e.outage.succeeded(time.Now())
		return nil
	}
	source := ctx.cancelSource()
	e.telemetry.recordFailure(ctx, err, source)
	// A batch that is given up is logged as an error elsewhere. A client that gave up says nothing about the
	// destination.
	if !consumererror.IsPermanent(err) && source != cancelledByClient {
		e.outage.failed(time.Now(), err)
	}
	return err
}

// attempt makes one library call for export and counts its outcome. It frees the batch once that is stored or given up.
func (e *signalExporter) attempt(ctx attemptContext, r *request) error {
	if err := r.ensureBatch(); err != nil {
		return err
	}
	if err := e.limiter.acquire(ctx); err != nil {
		return e.describeCancellation(ctx, r, err)
	}
	defer e.limiter.release()
	e.telemetry.beginBatch(r)
	retryable := e.retries.begin(r)
	started := time.Now()
	outcome, err := e.handle.Export(ctx, r.batch, r.received)
	took := time.Since(started)
	// The library's lines about this call come before the exporter's own.
	processLibraryLog.forward()
	e.telemetry.record(ctx, outcome, took)

	e.reportIfPoisoned(err)
	var failure *native.Error
	if errors.As(err, &failure) && failure.RetryClass == native.RetryClassPermanent {
		e.telemetry.recordPermanent(ctx, r, failure.Code)
	}
	err = e.classify(outcome, e.describeCancellation(ctx, r, err))
	if err == nil {
		e.logger.Debug("Stored a batch",
			zap.Uint64("rows", outcome.Rows),
			zap.Uint64("files", outcome.Files),
			zap.Uint64("file_bytes", outcome.FileBytes),
			zap.Uint64("snapshots", outcome.Commits),
			zap.Int("requests", len(r.batch.Parts())),
			zap.Int("payload_bytes", r.bytes),
			zap.Duration("took", took))
	}
	switch {
	case err == nil || consumererror.IsPermanent(err):
		e.telemetry.endBatch(r)
		r.free()
	case retryable && e.cfg.retriesAtShutdown():
		e.retries.failed(r)
	}
	return err
}

// endProcess ends the process of a Collector that hangs on a fatal status instead of ending. Such a Collector accepts
// no data any more, and no supervisor notices that.
func (e *signalExporter) endProcess() {
	e.logger.Error("The Collector hangs while it starts or stops, and did not end after the Iceberg exporter broke; "+
		"the process ends now.", zap.Duration("waited", fatalStatusTimeout))
	os.Exit(1)
}

// reportIfPoisoned ends the Collector by a fatal status once the library can store nothing more in this process. A
// supervisor then starts a new process, which goes on with a queue on disk. If the Collector is already stopping, only
// the log reports it.
func (e *signalExporter) reportIfPoisoned(err error) {
	var failure *native.Error
	if !errors.As(err, &failure) || !failure.Poisoned() {
		return
	}
	e.handle.poisoned.Do(func() {
		e.logger.Error("The Iceberg exporter is broken by a bug; restart the Collector.", zap.Error(failure))
		e.status.reportFatal(fmt.Errorf("the Iceberg exporter can store nothing more in this process, "+
			"the Collector must be restarted: %w", failure))
	})
}

// classify translates the library's retry class to the error that exporterhelper expects.
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
		message := "Some records were rejected; the rest of the batch is stored."
		if e.cfg.DeadLetter.Path == nil {
			message += " The records are lost; set dead_letter.path to keep such data."
		}
		e.logger.Warn(message,
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
		// The class is shutdown. exporterhelper's own shutdown error is not public, and it is not needed:
		// exporterhelper stops its retries before the queue, so any error that may be retried becomes a shutdown
		// error, and a persistent queue keeps the request.
		return err
	}
}
