// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
	"weak"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"go.opentelemetry.io/collector/exporter"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/metadata"
	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// The values of the attribute reason for repairs. Those for rejections are the names of native.Reason.
const (
	repairUTF8    = "invalid_utf8"
	repairNesting = "nesting"
	repairID      = "invalid_id"
	repairTime    = "time_range"
	repairLength  = "text_length"
	repairCount   = "attribute_count"
)

// codeTimeout is the value of the attribute code for an attempt that the configured timeout ended. The other values
// are the names of native.Code. An attempt that a client or its deadline ended has the code cancelled.
const codeTimeout = "timeout"

// failureCodes are the values of the attribute code. CodeRejected is not among them, since it is no failure.
var failureCodes = []string{
	native.CodeConfig.String(), native.CodeDecode.String(), native.CodeTableMismatch.String(),
	native.CodeStorage.String(), native.CodeCatalog.String(), native.CodeCommitUnknown.String(),
	native.CodeCancelled.String(), native.CodeShutdown.String(), native.CodeLimit.String(),
	native.CodeInternal.String(), native.CodeInvalidArgument.String(), codeTimeout,
}

// telemetry records the metrics of one signal's exporter.
type telemetry struct {
	builder *metadata.TelemetryBuilder
	// attributes are on every metric: the exporter's id and the signal.
	attributes metric.MeasurementOption
	// repairs adds each reason for a repair to attributes.
	repairs map[string]metric.MeasurementOption
	// rejections adds each reason for a rejection to attributes.
	rejections map[native.Reason]metric.MeasurementOption
	// failures adds each code of a failed attempt to attributes.
	failures map[string]metric.MeasurementOption

	mu sync.Mutex
	// inProgress holds when the oldest request of each batch was received, from the batch's first attempt until it is
	// stored or given up. The queue is first in, first out, so requests that still wait in it are not older.
	// exporterhelper does not report that it gives a batch up. The batch is then garbage-collected, which its weak
	// pointer shows.
	inProgress map[weak.Pointer[request]]time.Time
	// pruneAt is the length of inProgress from which on given up batches are looked for.
	pruneAt int
}

// pruneMin keeps the search for given up batches rare.
const pruneMin = 1024

func newTelemetry(set exporter.Settings, signal native.Signal) (*telemetry, error) {
	builder, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	attributes := []attribute.KeyValue{
		attribute.String("exporter", set.ID.String()),
		attribute.String("signal", signal.String()),
	}
	t := &telemetry{
		builder:    builder,
		attributes: metric.WithAttributeSet(attribute.NewSet(attributes...)),
		repairs:    map[string]metric.MeasurementOption{},
		rejections: map[native.Reason]metric.MeasurementOption{},
		failures:   map[string]metric.MeasurementOption{},
		inProgress: map[weak.Pointer[request]]time.Time{},
	}
	with := func(name, value string) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(attributes[:2:2], attribute.String(name, value))...))
	}
	for _, reason := range []string{repairUTF8, repairNesting, repairID, repairTime, repairLength, repairCount} {
		t.repairs[reason] = with("reason", reason)
	}
	for _, reason := range native.Reasons() {
		t.rejections[reason] = with("reason", reason.String())
	}
	for _, code := range failureCodes {
		t.failures[code] = with("code", code)
	}
	observeAge := func(_ context.Context, observer metric.Float64Observer) error {
		observer.Observe(t.oldestAge(time.Now()).Seconds(), t.attributes)
		return nil
	}
	err = builder.RegisterExporterIcebergOldestUncommittedAgeCallback(observeAge)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// initCounters exports every counter as zero before its first event. Prometheus does not see the first value of a new
// counter as an increase, so an alert would miss the first event.
func (t *telemetry) initCounters(ctx context.Context) {
	b := t.builder
	for _, counter := range []metric.Int64Counter{
		b.ExporterIcebergRows, b.ExporterIcebergDeadLetterRecords, b.ExporterIcebergDeadLetters,
		b.ExporterIcebergInFlightWaits, b.ExporterIcebergFiles, b.ExporterIcebergFileBytes, b.ExporterIcebergCommits,
		b.ExporterIcebergCommitConflicts, b.ExporterIcebergAlreadyCommitted, b.ExporterIcebergReceiptsWritten,
		b.ExporterIcebergReceiptRows, b.ExporterIcebergReceiptsCommitted, b.ExporterIcebergCompactions,
		b.ExporterIcebergCompactedFiles, b.ExporterIcebergCompactionFailures, b.ExporterIcebergValuesLeftOut,
	} {
		counter.Add(ctx, 0, t.attributes)
	}
	for _, repair := range t.repairs {
		b.ExporterIcebergRepaired.Add(ctx, 0, repair)
	}
	for _, rejection := range t.rejections {
		b.ExporterIcebergRejected.Add(ctx, 0, rejection)
	}
	for _, failure := range t.failures {
		b.ExporterIcebergFailedAttempts.Add(ctx, 0, failure)
	}
}

// beginBatch notes that a batch is in progress. Later attempts of the same batch change nothing.
func (t *telemetry) beginBatch(r *request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Nobody may ask for the oldest batch.
	if len(t.inProgress) >= max(t.pruneAt, pruneMin) {
		t.prune()
		t.pruneAt = 2 * len(t.inProgress)
	}
	t.inProgress[weak.Make(r)] = r.received
}

// prune forgets batches that were given up. The caller holds mu.
func (t *telemetry) prune() {
	maps.DeleteFunc(t.inProgress, func(batch weak.Pointer[request], _ time.Time) bool { return batch.Value() == nil })
}

// endBatch notes that a batch is stored or given up.
func (t *telemetry) endBatch(r *request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.inProgress, weak.Make(r))
}

// oldestAge returns the age of the oldest request in the batches in progress, or 0 without any.
func (t *telemetry) oldestAge(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.prune()
	var oldest time.Duration
	for _, received := range t.inProgress {
		oldest = max(oldest, now.Sub(received))
	}
	return oldest
}

// record counts the outcome of one library call.
func (t *telemetry) record(ctx context.Context, outcome native.Outcome, took time.Duration) {
	add := func(counter metric.Int64Counter, n uint64) {
		if n > 0 {
			counter.Add(ctx, int64(n), t.attributes)
		}
	}
	repaired := func(reason string, n uint64) {
		if n > 0 {
			t.builder.ExporterIcebergRepaired.Add(ctx, int64(n), t.repairs[reason])
		}
	}
	add(t.builder.ExporterIcebergRows, outcome.Rows)
	for _, reason := range native.Reasons() {
		t.recordRejected(ctx, reason, outcome.RejectedBy[reason])
	}
	add(t.builder.ExporterIcebergDeadLetterRecords, outcome.DeadLetterRecords)
	add(t.builder.ExporterIcebergDeadLetters, outcome.DeadLetterObjects)
	add(t.builder.ExporterIcebergInFlightWaits, outcome.InFlightWaits)
	add(t.builder.ExporterIcebergFiles, outcome.Files)
	add(t.builder.ExporterIcebergFileBytes, outcome.FileBytes)
	add(t.builder.ExporterIcebergCommits, outcome.Commits)
	add(t.builder.ExporterIcebergCommitConflicts, outcome.CommitAttempts-min(outcome.Commits, outcome.CommitAttempts))
	add(t.builder.ExporterIcebergAlreadyCommitted, outcome.AlreadyCommitted)
	add(t.builder.ExporterIcebergReceiptsWritten, outcome.ReceiptsWritten)
	add(t.builder.ExporterIcebergReceiptRows, outcome.ReceiptRows)
	add(t.builder.ExporterIcebergReceiptsCommitted, outcome.ReceiptsCommitted)
	add(t.builder.ExporterIcebergCompactions, outcome.Merges)
	add(t.builder.ExporterIcebergCompactedFiles, outcome.MergedFiles)
	add(t.builder.ExporterIcebergCompactionFailures, outcome.MergeFailures)
	repaired(repairUTF8, outcome.RepairedUTF8)
	repaired(repairNesting, outcome.RepairedNesting)
	repaired(repairID, outcome.RepairedIDs)
	repaired(repairTime, outcome.RepairedTimes)
	add(t.builder.ExporterIcebergValuesLeftOut, outcome.ValuesLeftOut)
	repaired(repairLength, outcome.CutTexts)
	repaired(repairCount, outcome.DroppedAttributes)
	if outcome.Commits > 0 {
		t.builder.ExporterIcebergCommitDuration.Record(ctx, outcome.CommitTime.Seconds(), t.attributes)
	}
	t.builder.ExporterIcebergExportDuration.Record(ctx, took.Seconds(), t.attributes)
}

// recordRejected counts records and points that were rejected.
func (t *telemetry) recordRejected(ctx context.Context, reason native.Reason, n uint64) {
	if n > 0 {
		t.builder.ExporterIcebergRejected.Add(ctx, int64(n), t.rejections[reason])
	}
}

// recordPermanent counts a batch that is given up as a whole. The library does not report then which of its records
// other tables hold, so all of them are counted.
func (t *telemetry) recordPermanent(ctx context.Context, r *request, code native.Code) {
	reason := native.ReasonTable
	switch code {
	case native.CodeDecode:
		reason = native.ReasonMalformed
	case native.CodeLimit:
		reason = native.ReasonPayloadTooLarge
	}
	t.recordRejected(ctx, reason, uint64(r.items))
}

// recordFailure counts a failed attempt, whether it is retried or not.
func (t *telemetry) recordFailure(ctx context.Context, err error, source cancelSource) {
	code := native.CodeInternal.String()
	var failure *native.Error
	if errors.As(err, &failure) {
		code = failure.Code.String()
		if failure.Code == native.CodeCancelled && source == cancelledByTimeout {
			code = codeTimeout
		}
	}
	option, known := t.failures[code]
	if !known {
		option = t.failures[native.CodeInternal.String()]
	}
	t.builder.ExporterIcebergFailedAttempts.Add(ctx, 1, option)
}

// shutdown unregisters the callbacks.
func (t *telemetry) shutdown() {
	t.builder.Shutdown()
}
