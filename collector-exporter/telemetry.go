// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
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

// telemetry counts what the exporter of one signal does.
type telemetry struct {
	builder *metadata.TelemetryBuilder
	// attributes are on everything: the exporter's id and the signal.
	attributes metric.MeasurementOption
	// repairs are the same with each reason for a repair.
	repairs map[string]metric.MeasurementOption
	// rejections are the same with each reason for a rejection.
	rejections map[native.Reason]metric.MeasurementOption

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
		underway:   map[weak.Pointer[request]]time.Time{},
	}
	withReason := func(reason string) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(attributes[:2:2], attribute.String("reason", reason))...))
	}
	for _, reason := range []string{repairUTF8, repairNesting, repairID, repairTime, repairLength, repairCount} {
		t.repairs[reason] = withReason(reason)
	}
	for _, reason := range native.Reasons() {
		t.rejections[reason] = withReason(reason.String())
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

// shutdown takes the callbacks back.
func (t *telemetry) shutdown() {
	t.builder.Shutdown()
}
