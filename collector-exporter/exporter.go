// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	// last has the batches that a stop would drop untried.
	last *lastAttempts
	// turns bound the calls at a time.
	turns turns
	// outage tells of attempts that fail.
	outage outage

	// handle is set by Start. Once closed it answers every export with class shutdown.
	handle *sharedHandle
	// statuses is set by Start.
	statuses *statuses
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
		last:      newLastAttempts(),
		turns:     newTurns(cfg),
		outage:    outage{logger: set.Logger},
	}, nil
}

// options tells exporterhelper how to run this exporter. The library decides what is retried, and the
// queue stores our own bytes.
func (e *signalExporter) options() []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown),
		// None of exporterhelper's: attempts have that of attemptContext.
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{}),
		exporterhelper.WithRetry(e.cfg.RetryConfig),
		xexporterhelper.WithQueueBatch(e.cfg.QueueConfig, xexporterhelper.QueueBatchSettings{
			Encoding: &queueEncoding{signal: e.signal, numbers: e.numbers, logger: e.logger},
			MergeCtx: e.cfg.mergeClients(),
		}),
	}
}

// start opens the library, or joins the exporter of another signal that has.
func (e *signalExporter) start(ctx context.Context, host component.Host) error {
	h, opened, err := e.handles.acquire(e.cfg, e.logger)
	if err != nil {
		return fmt.Errorf("cannot open the Iceberg catalog: %w", err)
	}
	e.handle, e.statuses = h, newStatuses(host, h.stopping, e.endProcess)
	e.outage.report = e.statuses.report
	e.telemetry.beginAtZero(ctx)
	if opened {
		fields := []zap.Field{zap.String("library_version", native.Version())}
		warehouse, uri := e.cfg.Catalog.places()
		for _, place := range []struct{ name, value string }{{"warehouse", warehouse}, {"catalog_uri", uri}} {
			if place.value != "" {
				fields = append(fields, zap.String(place.name, place.value))
			}
		}
		namespace := settingOr(e.cfg.Catalog.Namespace, defaultNamespace)
		e.logger.Info("Writing Iceberg tables", append(fields, zap.String("namespace", namespace))...)
		e.warnOfInterval()
		e.warnOfWaiting()
	}
	return nil
}

// warnOfInterval tells of a commit.interval that the library cuts short: it keeps half of the time that the first batch of a
// commit has left for the commit itself.
func (e *signalExporter) warnOfInterval() {
	interval, err := time.ParseDuration(settingOr(e.cfg.Commit.Interval, "0s"))
	timeout := e.cfg.TimeoutConfig.Timeout
	if err != nil || interval <= timeout/2 {
		return
	}
	e.logger.Warn("commit.interval is more than half of timeout, and commits come as soon as half of timeout is over; set timeout to at least twice commit.interval.",
		zap.Duration("commit.interval", interval), zap.Duration("timeout", timeout))
}

// clientTimeoutUsual is what most clients wait for an answer, those of OpenTelemetry's SDKs by default.
const clientTimeoutUsual = 10 * time.Second

// warnOfWaiting tells of clients that would give up before their batch is flushed and committed, and send it again: as a
// new request, whose rows are then stored twice.
func (e *signalExporter) warnOfWaiting() {
	if !e.cfg.QueueConfig.HasValue() || !e.cfg.QueueConfig.Get().WaitForResult || !e.cfg.QueueConfig.Get().Batch.HasValue() {
		return
	}
	flush := e.cfg.QueueConfig.Get().Batch.Get().FlushTimeout
	if flush < clientTimeoutUsual/2 {
		return
	}
	e.logger.Warn("With sending_queue.wait_for_result clients wait for flush_timeout and the commit. Those that give up before, as OpenTelemetry's SDKs do after 10s, send again, and rows are stored twice; set sending_queue.batch.flush_timeout to 1s, or raise the clients' timeout.",
		zap.Duration("sending_queue.batch.flush_timeout", flush))
}

// places gives the warehouse and the catalog's URI as they are used, empty where there is none: of a
// SQLite catalog, with absolute paths. Other catalogs choose a warehouse of their own.
func (c *CatalogConfig) places() (warehouse, uri string) {
	kind := settingOr(c.Type, defaultCatalogType)
	if kind != defaultCatalogType && kind != catalogTypeNone {
		return settingOr(c.Warehouse, ""), settingOr(c.URI, "")
	}
	warehouse = settingOr(c.Warehouse, defaultWarehouse)
	if kind == catalogTypeNone {
		return warehouse, ""
	}
	folder, isFileURL := strings.CutPrefix(warehouse, fileScheme)
	if !isFileURL && !strings.Contains(warehouse, "://") {
		warehouse = absolute(warehouse)
		folder = warehouse
	}
	if c.URI == nil {
		return warehouse, sqliteScheme + "//" + filepath.Join(folder, "catalog.db")
	}
	path := strings.TrimPrefix(strings.TrimPrefix(*c.URI, sqliteScheme), "//")
	return warehouse, sqliteScheme + "//" + absolute(path)
}

// absolute resolves a path as the library does, by the working directory; what cannot be resolved
// stays as it is.
func absolute(path string) string {
	if resolved, err := filepath.Abs(path); err == nil {
		return resolved
	}
	return path
}

// The library's defaults, for the log line only; it is told what was set and nothing else.
const (
	defaultCatalogType = "sql"
	catalogTypeNone    = "none"
	defaultWarehouse   = "./warehouse"
	defaultNamespace   = "otel"

	sqliteScheme = "sqlite:"
	fileScheme   = "file:"
)

func settingOr(setting *string, libraryDefault string) string {
	if setting == nil {
		return libraryDefault
	}
	return *setting
}

// beginStop ends reports of statuses, and has the batches that are queued commit without waiting for their turn. A library
// that cannot is broken, which whoever exports is told.
func (e *signalExporter) beginStop() {
	if e.handle == nil {
		return
	}
	e.statuses.stop()
	if err := e.handle.Hurry(); err != nil {
		e.logger.Debug("Batches wait for their turn to commit.", zap.Error(err))
	}
}

// shutdown gives the library back. exporterhelper has drained the queue by now, and let go of what waited for another
// attempt.
func (e *signalExporter) shutdown(ctx context.Context) error {
	defer e.telemetry.shutdown()
	if e.handle == nil {
		return nil
	}
	e.exportLeft(ctx)
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

// newRequest makes a request of a message. The library takes the bytes at once, unless they are to be written
// to a queue on disk first, which gives them back when it is their turn.
func (e *signalExporter) newRequest(message []byte, items int) (xexporterhelper.Request, error) {
	r := e.numbers.number(e.signal, message, items)
	if e.cfg.QueueConfig.HasValue() && e.cfg.QueueConfig.Get().StorageID != nil {
		return r, nil
	}
	if err := r.hold(); err != nil {
		return nil, err
	}
	return r, nil
}

// export stores one batch within the configured timeout: nil means that its rows are in committed snapshots. It counts
// attempts that fail, and tells of them.
func (e *signalExporter) export(client context.Context, req xexporterhelper.Request) error {
	r, ok := req.(*request)
	if !ok {
		return consumererror.NewPermanent(fmt.Errorf("cannot export a %T", req))
	}
	if r.bytes == 0 {
		r.free()
		return nil
	}
	ctx, cancel := beginAttempt(client, e.cfg.TimeoutConfig.Timeout)
	defer cancel()
	err := e.attempt(ctx, r)
	if err == nil {
		e.outage.succeeded(time.Now())
		return nil
	}
	by := ctx.ending()
	e.telemetry.fail(ctx, err, by)
	// What is given up is told as an error, and a client that waits no longer says nothing about the destination.
	if !consumererror.IsPermanent(err) && by != endedByClient {
		e.outage.failed(time.Now(), err)
	}
	return err
}

// attempt stores one batch, as export does.
func (e *signalExporter) attempt(ctx attemptContext, r *request) error {
	if err := r.hold(); err != nil {
		return err
	}
	if err := e.turns.take(ctx); err != nil {
		return e.sayWhoEndedIt(ctx, r, err)
	}
	defer e.turns.giveBack()
	e.telemetry.begin(r)
	again := e.last.begin(r)
	started := time.Now()
	outcome, err := e.handle.Export(ctx, r.batch, r.received)
	took := time.Since(started)
	// What the library has to say about it, before anything that is said here.
	theLibraryLog.handOn()
	e.telemetry.record(ctx, outcome, took)

	e.reportIfPoisoned(err)
	var failure *native.Error
	if errors.As(err, &failure) && failure.RetryClass == native.RetryClassPermanent {
		e.telemetry.recordPermanent(ctx, r, failure.Code)
	}
	err = e.classify(outcome, e.sayWhoEndedIt(ctx, r, err))
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
		e.telemetry.end(r)
		r.free()
	case again && e.cfg.triesAtTheStop():
		e.last.failed(r)
	}
	return err
}

// endProcess is for a Collector that a fatal status was reported to and that hangs instead of ending: it takes nothing in any
// more, and no supervisor sees it end.
func (e *signalExporter) endProcess() {
	e.logger.Error("The Collector hangs while it starts or stops, and did not end after the Iceberg exporter broke; the process ends now.",
		zap.Duration("waited", fatalTaken))
	os.Exit(1)
}

// reportIfPoisoned ends the Collector, by a fatal status, once the library can store nothing more in
// this process. Whoever supervises it starts a new one, which a queue on disk carries over to. A Collector that is stopping
// already is only told by the log.
func (e *signalExporter) reportIfPoisoned(err error) {
	var failure *native.Error
	if !errors.As(err, &failure) || !failure.Poisoned() {
		return
	}
	e.handle.poisoned.Do(func() {
		e.logger.Error("The Iceberg exporter is broken by a bug; restart the Collector.", zap.Error(failure))
		e.statuses.reportFatal(fmt.Errorf("the Iceberg exporter can store nothing more in this process, the Collector must be restarted: %w", failure))
	})
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
