// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/metadatatest"
	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// ignoreVolatile makes metric assertions ignore timestamps and exemplars.
var ignoreVolatile = []metricdatatest.Option{metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars()}

func TestMetricsOfAStoredBatch(t *testing.T) {
	library := &fakeLibrary{answer: func(exportCall) (native.Outcome, error) {
		return native.Outcome{
			Rows: 10, Rejected: 2, Files: 3, FileBytes: 4096, Commits: 1, CommitAttempts: 4, AlreadyCommitted: 5,
			RepairedUTF8: 6, RepairedNesting: 7, RepairedIDs: 8, RepairedTimes: 9, CutTexts: 10, DroppedAttributes: 11,
			ReceiptsWritten: 11, ReceiptRows: 12, ReceiptsCommitted: 13,
			RejectedBy:        [16]uint64{native.ReasonNoData: 1, native.ReasonTable: 1},
			DeadLetterRecords: 2, DeadLetterObjects: 1, CommitTime: 40 * time.Millisecond, InFlightWaits: 1,
			Merges: 14, MergedFiles: 15, MergeFailures: 16,
		}, nil
	}}
	telemetry := componenttest.NewTelemetry()
	defer func() { require.NoError(t, telemetry.Shutdown(context.WithoutCancel(t.Context()))) }()
	set := metadatatest.NewSettings(telemetry)
	logs := startLogs(t, library, fastConfig(t, waitForResult), set, componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))

	both := []attribute.KeyValue{attribute.String("exporter", "iceberg"), attribute.String("signal", "logs")}
	point := func(value int64, more ...attribute.KeyValue) metricdata.DataPoint[int64] {
		return metricdata.DataPoint[int64]{Value: value, Attributes: attribute.NewSet(append(more, both...)...)}
	}
	points := func(value int64) []metricdata.DataPoint[int64] { return []metricdata.DataPoint[int64]{point(value)} }
	metadatatest.AssertEqualExporterIcebergRows(t, telemetry, points(10), ignoreVolatile...)
	assertRejected(t, telemetry, map[string]int64{"no_data": 1, "table": 1})
	metadatatest.AssertEqualExporterIcebergDeadLetterRecords(t, telemetry, points(2), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergDeadLetters(t, telemetry, points(1), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergInFlightWaits(t, telemetry, points(1), ignoreVolatile...)
	commits, err := telemetry.GetMetric("otelcol_exporter_iceberg_commit_duration")
	require.NoError(t, err)
	assert.InDelta(t, 0.04, commits.Data.(metricdata.Histogram[float64]).DataPoints[0].Sum, 1e-9)
	metadatatest.AssertEqualExporterIcebergFiles(t, telemetry, points(3), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergFileBytes(t, telemetry, points(4096), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergCommits(t, telemetry, points(1), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergCommitConflicts(t, telemetry, points(3), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergAlreadyCommitted(t, telemetry, points(5), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergReceiptsWritten(t, telemetry, points(11), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergReceiptRows(t, telemetry, points(12), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergReceiptsCommitted(t, telemetry, points(13), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergCompactions(t, telemetry, points(14), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergCompactedFiles(t, telemetry, points(15), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergCompactionFailures(t, telemetry, points(16), ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergRepaired(t, telemetry, []metricdata.DataPoint[int64]{
		point(6, attribute.String("reason", "invalid_utf8")),
		point(7, attribute.String("reason", "nesting")),
		point(8, attribute.String("reason", "invalid_id")),
		point(9, attribute.String("reason", "time_range")),
		point(10, attribute.String("reason", "text_length")),
		point(11, attribute.String("reason", "attribute_count")),
	}, ignoreVolatile...)
	metadatatest.AssertEqualExporterIcebergOldestUncommittedAge(t, telemetry,
		[]metricdata.DataPoint[float64]{{Value: 0, Attributes: attribute.NewSet(both...)}}, ignoreVolatile...)
	require.NoError(t, logs.Shutdown(t.Context()))
}

func TestPermanentFailureIsCountedByReason(t *testing.T) {
	for code, reason := range map[native.Code]string{
		native.CodeDecode:        "malformed",
		native.CodeLimit:         "payload_too_large",
		native.CodeTableMismatch: "table",
	} {
		t.Run(reason, func(t *testing.T) {
			failure := native.Error{Code: code, RetryClass: native.RetryClassPermanent, Message: "no"}
			library := &fakeLibrary{answer: failingWith(failure)}
			telemetry := componenttest.NewTelemetry()
			defer func() { require.NoError(t, telemetry.Shutdown(context.WithoutCancel(t.Context()))) }()
			set := metadatatest.NewSettings(telemetry)
			logs := startLogs(t, library, fastConfig(t, waitForResult), set, componenttest.NewNopHost())
			require.Error(t, logs.ConsumeLogs(t.Context(), logsOf("one", "two")))
			assertRejected(t, telemetry, map[string]int64{reason: 2})
			assertFailedAttempts(t, telemetry, map[string]int64{code.String(): 1})
			require.NoError(t, logs.Shutdown(t.Context()))
		})
	}
}

// pointsOf returns the points of the logs exporter, one for each of these values of an attribute. A value that counts
// lacks has 0.
func pointsOf(name string, values []string, counts map[string]int64) []metricdata.DataPoint[int64] {
	points := make([]metricdata.DataPoint[int64], 0, len(values))
	for _, value := range values {
		points = append(points, metricdata.DataPoint[int64]{Value: counts[value], Attributes: attribute.NewSet(
			attribute.String("exporter", "iceberg"), attribute.String("signal", "logs"), attribute.String(name, value),
		)})
	}
	return points
}

// assertRejected compares the rejections by reason. A reason that counts lacks must be 0.
func assertRejected(t *testing.T, telemetry *componenttest.Telemetry, counts map[string]int64) {
	t.Helper()
	reasons := []string{
		"malformed", "payload_too_large", "too_many_records", "no_data", "invalid_point", "record_too_large",
		"too_many_partitions", "table", "panic",
	}
	points := pointsOf("reason", reasons, counts)
	metadatatest.AssertEqualExporterIcebergRejected(t, telemetry, points, ignoreVolatile...)
}

// assertFailedAttempts compares the failed attempts by code. A code that counts lacks must be 0.
func assertFailedAttempts(t *testing.T, telemetry *componenttest.Telemetry, counts map[string]int64) {
	t.Helper()
	codes := []string{
		"config", "decode", "table_mismatch", "storage", "catalog", "commit_unknown", "cancelled", "shutdown",
		"limit", "internal", "invalid_argument", "timeout",
	}
	points := pointsOf("code", codes, counts)
	metadatatest.AssertEqualExporterIcebergFailedAttempts(t, telemetry, points, ignoreVolatile...)
}

func TestCountersStartAtZero(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	defer func() { require.NoError(t, telemetry.Shutdown(context.WithoutCancel(t.Context()))) }()
	set := metadatatest.NewSettings(telemetry)
	logs := startLogs(t, &fakeLibrary{}, fastConfig(t, nil), set, componenttest.NewNopHost())
	described, err := os.ReadFile("metadata.yaml")
	require.NoError(t, err)
	counters := 0
	for _, metric := range strings.Split(string(described), "\n    exporter_")[1:] {
		if !strings.Contains(metric, "monotonic: true") {
			continue
		}
		counters++
		name, _, _ := strings.Cut(metric, ":")
		counter, err := telemetry.GetMetric("otelcol_exporter_" + name)
		require.NoError(t, err)
		for _, point := range counter.Data.(metricdata.Sum[int64]).DataPoints {
			assert.Zero(t, point.Value, name)
		}
	}
	assert.Equal(t, 19, counters)
	assertRejected(t, telemetry, nil)
	assertFailedAttempts(t, telemetry, nil)
	require.NoError(t, logs.Shutdown(t.Context()))
}

func TestOldestAge(t *testing.T) {
	telemetry, err := newTelemetry(nopSettings(), native.SignalLogs)
	require.NoError(t, err)
	defer telemetry.shutdown()
	now := time.Unix(1_700_000_000, 0)
	old := &request{received: now.Add(-time.Minute)}
	young := &request{received: now.Add(-time.Second)}

	assert.Zero(t, telemetry.oldestAge(now))
	telemetry.beginBatch(old)
	telemetry.beginBatch(young)
	telemetry.beginBatch(old) // a retry
	assert.Equal(t, time.Minute, telemetry.oldestAge(now))
	telemetry.endBatch(old)
	assert.Equal(t, time.Second, telemetry.oldestAge(now))
	telemetry.endBatch(young)
	assert.Zero(t, telemetry.oldestAge(now))
}

func TestBatchesThatWereGivenUpAreForgottenThoughNobodyAsks(t *testing.T) {
	telemetry, err := newTelemetry(nopSettings(), native.SignalLogs)
	require.NoError(t, err)
	defer telemetry.shutdown()
	held := &request{received: time.Unix(1_700_000_000, 0)}
	telemetry.beginBatch(held)
	for range 5 {
		for range 2 * pruneMin {
			telemetry.beginBatch(&request{})
		}
		runtime.GC()
	}
	assert.LessOrEqual(t, len(telemetry.inProgress), 5*pruneMin)
	assert.Equal(t, time.Minute, telemetry.oldestAge(held.received.Add(time.Minute)))
	runtime.KeepAlive(held)
}
