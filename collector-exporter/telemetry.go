// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"errors"
	"sync"
	"time"
	"weak"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"go.opentelemetry.io/collector/exporter"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/metadata"
	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// The values of the attribute reason of repairs; those of rejections are native.Reason's names.
const (
	repairUTF8    = "invalid_utf8"
	repairNesting = "nesting"
	repairID      = "invalid_id"
	repairTime    = "time_range"
	repairLength  = "text_length"
	repairCount   = "attribute_count"
)

// failTimeout is the value of the attribute code for what the configured timeout ended. The others are native.Code's names;
// what a client ended, or its deadline, is cancelled.
const failTimeout = "timeout"

// failures are the values of the attribute code: CodeRejected is no failure.
var failures = []string{
	native.CodeConfig.String(), native.CodeDecode.String(), native.CodeTableMismatch.String(), native.CodeStorage.String(),
	native.CodeCatalog.String(), native.CodeCommitUnknown.String(), native.CodeCancelled.String(),
	native.CodeShutdown.String(), native.CodeLimit.String(), native.CodeInternal.String(),
	native.CodeInvalidArgument.String(), failTimeout,
}

// telemetry counts what the exporter of one signal does.
type telemetry struct {
	builder *metadata.TelemetryBuilder
	// attributes are on everything: the exporter's id and the signal.
	attributes metric.MeasurementOption
	// repairs are the same with each reason for a repair.
	repairs map[string]metric.MeasurementOption
	// rejections are the same with each reason for a rejection.
	rejections map[native.Reason]metric.MeasurementOption
	// failures are the same with each code of a failed attempt.
	failures map[string]metric.MeasurementOption

	mu sync.Mutex
	// underway holds when the oldest request of each batch was received, from the batch's first
	// attempt until it is stored or given up. The queue is first in, first out, so nothing that still
	// waits in it is older. exporterhelper does not say when it gives up; the batch is then collected
	// as garbage, and its weak pointer with it.
	underway map[weak.Pointer[request]]time.Time
}

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
		underway:   map[weak.Pointer[request]]time.Time{},
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
	for _, code := range failures {
		t.failures[code] = with("code", code)
	}
	err = builder.RegisterExporterIcebergOldestUncommittedAgeCallback(func(_ context.Context, observer metric.Float64Observer) error {
		observer.Observe(t.oldestAge(time.Now()).Seconds(), t.attributes)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// beginAtZero has every counter be there before it counts: the first increase of one that was not is none to Prometheus, so
// that an alert would miss the first event.
func (t *telemetry) beginAtZero(ctx context.Context) {
	b := t.builder
	for _, counter := range []metric.Int64Counter{
		b.ExporterIcebergRows, b.ExporterIcebergDeadLetterRecords, b.ExporterIcebergDeadLetters, b.ExporterIcebergInFlightWaits,
		b.ExporterIcebergFiles, b.ExporterIcebergFileBytes, b.ExporterIcebergCommits, b.ExporterIcebergCommitConflicts,
		b.ExporterIcebergAlreadyCommitted, b.ExporterIcebergReceiptsWritten, b.ExporterIcebergReceiptRows,
		b.ExporterIcebergReceiptsCommitted, b.ExporterIcebergCompactions, b.ExporterIcebergCompactedFiles,
		b.ExporterIcebergCompactionFailures, b.ExporterIcebergValuesLeftOut,
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

// begin notes that a batch is under way.
func (t *telemetry) begin(r *request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.underway[weak.Make(r)] = r.received
}

// end notes that a batch is stored or given up.
func (t *telemetry) end(r *request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.underway, weak.Make(r))
}

// oldestAge gives the age of the oldest request in the batches under way, 0 for none.
func (t *telemetry) oldestAge(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var oldest time.Duration
	for batch, received := range t.underway {
		if batch.Value() == nil {
			delete(t.underway, batch)
			continue
		}
		oldest = max(oldest, now.Sub(received))
	}
	return oldest
}

// record counts one call of the library.
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
		t.reject(ctx, reason, outcome.RejectedBy[reason])
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

// reject counts what was left out.
func (t *telemetry) reject(ctx context.Context, reason native.Reason, n uint64) {
	if n > 0 {
		t.builder.ExporterIcebergRejected.Add(ctx, int64(n), t.rejections[reason])
	}
}

// recordPermanent counts a batch that is given up whole. What other tables of it hold is not told
// then, so it is all of its records.
func (t *telemetry) recordPermanent(ctx context.Context, r *request, code native.Code) {
	reason := native.ReasonTable
	switch code {
	case native.CodeDecode:
		reason = native.ReasonMalformed
	case native.CodeLimit:
		reason = native.ReasonPayloadTooLarge
	}
	t.reject(ctx, reason, uint64(r.items))
}

// fail counts an attempt that failed, whether it is made again or not.
func (t *telemetry) fail(ctx context.Context, err error, by ending) {
	code := native.CodeInternal.String()
	var failure *native.Error
	if errors.As(err, &failure) {
		code = failure.Code.String()
		if failure.Code == native.CodeCancelled && by == endedByTimeout {
			code = failTimeout
		}
	}
	option, known := t.failures[code]
	if !known {
		option = t.failures[native.CodeInternal.String()]
	}
	t.builder.ExporterIcebergFailedAttempts.Add(ctx, 1, option)
}

// shutdown takes the callbacks back.
func (t *telemetry) shutdown() {
	t.builder.Shutdown()
}
