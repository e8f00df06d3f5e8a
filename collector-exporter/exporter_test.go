// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/metadata"
	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/metadatatest"
	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// startLogs starts a logs exporter on a fake library; the test shuts it down.
func startLogs(t *testing.T, library *fakeLibrary, cfg *Config, set exporter.Settings, host component.Host) exporter.Logs {
	t.Helper()
	logs, err := newFactory(library.open).CreateLogs(t.Context(), set, cfg)
	require.NoError(t, err)
	require.NoError(t, logs.Start(t.Context(), host))
	return logs
}

func nopSettings() exporter.Settings {
	return exportertest.NewNopSettings(metadata.Type)
}

func observedSettings() (exporter.Settings, *observer.ObservedLogs) {
	core, logs := observer.New(zap.DebugLevel)
	set := nopSettings()
	set.Logger = zap.New(core)
	return set, logs
}

// waiting is a configuration whose callers are told what became of their data.
func waiting(cfg *Config) { cfg.QueueConfig.Get().WaitForResult = true }

func TestSignalsOfOneExporterShareOneHandle(t *testing.T) {
	library := &fakeLibrary{}
	factory, cfg, host := newFactory(library.open), quick(t, nil), componenttest.NewNopHost()
	logs, err := factory.CreateLogs(t.Context(), nopSettings(), cfg)
	require.NoError(t, err)
	traces, err := factory.CreateTraces(t.Context(), nopSettings(), cfg)
	require.NoError(t, err)
	metrics, err := factory.CreateMetrics(t.Context(), nopSettings(), cfg)
	require.NoError(t, err)
	assert.Empty(t, library.opens, "nothing is opened before Start")

	for _, e := range []component.Component{logs, traces, metrics} {
		require.NoError(t, e.Start(t.Context(), host))
	}
	assert.Equal(t, []string{`{}`}, library.opens)

	for _, e := range []component.Component{logs, traces} {
		require.NoError(t, e.Shutdown(t.Context()))
		require.NoError(t, e.Shutdown(t.Context()), "again")
	}
	assert.Zero(t, library.closes, "metrics still uses it")
	require.NoError(t, metrics.Shutdown(t.Context()))
	assert.Equal(t, 1, library.closes)
}

func TestExportersOfTwoConfigurationsDoNotShare(t *testing.T) {
	library := &fakeLibrary{}
	factory := newFactory(library.open)
	for range 2 {
		logs, err := factory.CreateLogs(t.Context(), nopSettings(), quick(t, nil))
		require.NoError(t, err)
		require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
		defer func() { require.NoError(t, logs.Shutdown(t.Context())) }()
	}
	assert.Len(t, library.opens, 2)
}

func TestStartSaysWhyItCannotOpen(t *testing.T) {
	library := &fakeLibrary{openErr: &native.Error{Code: native.CodeConfig, Message: "catalog.warehouse: cannot be written"}}
	logs, err := newFactory(library.open).CreateLogs(t.Context(), nopSettings(), quick(t, nil))
	require.NoError(t, err)
	err = logs.Start(t.Context(), componenttest.NewNopHost())
	require.EqualError(t, err, "cannot open the Iceberg catalog: catalog.warehouse: cannot be written")
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Zero(t, library.closes)
}

func TestEverySignalIsSerializedAsItsServiceRequest(t *testing.T) {
	library := &fakeLibrary{}
	factory, cfg := newFactory(library.open), quick(t, waiting)
	host := componenttest.NewNopHost()

	logs, err := factory.CreateLogs(t.Context(), nopSettings(), cfg)
	require.NoError(t, err)
	require.NoError(t, logs.Start(t.Context(), host))
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("hello")))
	require.NoError(t, logs.Shutdown(t.Context()))

	traces, err := factory.CreateTraces(t.Context(), nopSettings(), cfg)
	require.NoError(t, err)
	require.NoError(t, traces.Start(t.Context(), host))
	spans := ptrace.NewTraces()
	spans.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("GET /")
	require.NoError(t, traces.ConsumeTraces(t.Context(), spans))
	require.NoError(t, traces.Shutdown(t.Context()))

	metrics, err := factory.CreateMetrics(t.Context(), nopSettings(), cfg)
	require.NoError(t, err)
	require.NoError(t, metrics.Start(t.Context(), host))
	points := pmetric.NewMetrics()
	metric := points.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	metric.SetName("requests")
	metric.SetEmptySum().DataPoints().AppendEmpty().SetIntValue(7)
	require.NoError(t, metrics.ConsumeMetrics(t.Context(), points))
	require.NoError(t, metrics.Shutdown(t.Context()))

	calls := library.exports()
	require.Len(t, calls, 3)
	readLogs, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs([]byte(calls[0].payload))
	require.NoError(t, err)
	assert.Equal(t, native.SignalLogs, calls[0].signal)
	assert.Equal(t, logsOf("hello"), readLogs)
	readTraces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces([]byte(calls[1].payload))
	require.NoError(t, err)
	assert.Equal(t, native.SignalTraces, calls[1].signal)
	assert.Equal(t, "GET /", readTraces.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Name())
	readMetrics, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics([]byte(calls[2].payload))
	require.NoError(t, err)
	assert.Equal(t, native.SignalMetrics, calls[2].signal)
	assert.Equal(t, 1, readMetrics.DataPointCount())
	for _, call := range calls {
		assert.True(t, call.bounded, "the timeout reaches the library")
	}
}

func TestRequestsAreMergedAndKeepTheirIDs(t *testing.T) {
	library := &fakeLibrary{}
	cfg := quick(t, func(cfg *Config) { cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour })
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	for _, body := range []string{"one", "two", "three"} {
		require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf(body)))
	}
	require.NoError(t, logs.Shutdown(t.Context()), "what is pending goes out")

	calls := library.exports()
	require.Len(t, calls, 1)
	read, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs([]byte(calls[0].payload))
	require.NoError(t, err)
	assert.Equal(t, 3, read.LogRecordCount())
	require.Len(t, calls[0].parts, 3)
	var total uint64
	for i, part := range calls[0].parts {
		assert.Equal(t, uint64(i+1), part.Sequence)
		assert.Equal(t, calls[0].parts[0].Writer, part.Writer)
		total += part.Len
	}
	assert.Equal(t, uint64(len(calls[0].payload)), total)
}

func TestABatchGoesOutWhenItIsLargeEnough(t *testing.T) {
	library := &fakeLibrary{}
	cfg := quick(t, func(cfg *Config) {
		waiting(cfg)
		cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour
		cfg.QueueConfig.Get().Batch.Get().MinSize = 1
	})
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	assert.Len(t, library.exports(), 1)
	require.NoError(t, logs.Shutdown(t.Context()))
}

func TestARetrySendsTheSameBytesAndIDs(t *testing.T) {
	library := &fakeLibrary{}
	attempts := 0
	library.answer = func(exported) (native.Outcome, error) {
		attempts++
		if attempts < 3 {
			return native.Outcome{}, &native.Error{RetryClass: native.RetryClassRetry, Message: "the catalog does not answer"}
		}
		return native.Outcome{Rows: 2}, nil
	}
	logs := startLogs(t, library, quick(t, waiting), nopSettings(), componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one", "two")))
	require.NoError(t, logs.Shutdown(t.Context()))

	calls := library.exports()
	require.Len(t, calls, 3)
	assert.Equal(t, calls[0], calls[1])
	assert.Equal(t, calls[0], calls[2])
}

func TestAPermanentErrorIsNotRetriedAndReachesTheCaller(t *testing.T) {
	library := &fakeLibrary{answer: failingWith(native.Error{RetryClass: native.RetryClassPermanent, Message: "Body is an int in the table"})}
	logs := startLogs(t, library, quick(t, waiting), nopSettings(), componenttest.NewNopHost())
	err := logs.ConsumeLogs(t.Context(), logsOf("one"))
	require.ErrorContains(t, err, "Body is an int in the table")
	assert.True(t, consumererror.IsPermanent(err))
	assert.Len(t, library.exports(), 1)
	require.NoError(t, logs.Shutdown(t.Context()))
}

func TestRejectedRecordsAreAWarningAndTheRestIsSuccess(t *testing.T) {
	library := &fakeLibrary{answer: func(exported) (native.Outcome, error) {
		return native.Outcome{Rows: 9, Rejected: 1},
			&native.Error{Code: native.CodeRejected, RetryClass: native.RetryClassPartial, Message: "1 metric has no data"}
	}}
	set, seen := observedSettings()
	logs := startLogs(t, library, quick(t, waiting), set, componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	require.NoError(t, logs.Shutdown(t.Context()))

	warnings := seen.FilterLevelExact(zap.WarnLevel).All()
	require.Len(t, warnings, 1)
	assert.Equal(t, map[string]any{"rejected": uint64(1), "rows": uint64(9), "reasons": "1 metric has no data"}, warnings[0].ContextMap())
	assert.Len(t, library.exports(), 1)
}

func TestRetryClassesInExporterhelpersWords(t *testing.T) {
	e := &signalExporter{logger: zap.NewNop()}
	classify := func(class native.RetryClass, after time.Duration) error {
		return e.classify(native.Outcome{}, &native.Error{RetryClass: class, RetryAfter: after, Message: "why"})
	}
	assert.NoError(t, e.classify(native.Outcome{}, nil))
	assert.NoError(t, classify(native.RetryClassPartial, 0))
	assert.True(t, consumererror.IsPermanent(classify(native.RetryClassPermanent, 0)))
	for _, class := range []native.RetryClass{native.RetryClassRetry, native.RetryClassShutdown} {
		err := classify(class, 0)
		assert.EqualError(t, err, "why")
		assert.False(t, consumererror.IsPermanent(err))
	}
	assert.Equal(t, exporterhelper.NewThrottleRetry(&native.Error{
		RetryClass: native.RetryClassRetry, RetryAfter: time.Minute, Message: "why",
	}, time.Minute), classify(native.RetryClassRetry, time.Minute))
	assert.EqualError(t, e.classify(native.Outcome{}, errors.New("other")), "other")
}

func TestOtherInternalErrorsDoNotEndTheCollector(t *testing.T) {
	attempts := 0
	library := &fakeLibrary{answer: func(exported) (native.Outcome, error) {
		if attempts++; attempts < 3 {
			return native.Outcome{}, &native.Error{Code: native.CodeInternal, RetryClass: native.RetryClassRetry, Message: "a bug"}
		}
		return native.Outcome{Rows: 1}, nil
	}}
	host := newStatusHost()
	logs := startLogs(t, library, quick(t, waiting), nopSettings(), host)
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Empty(t, host.fatal())
}

func TestAnEmptyMessageIsNotExported(t *testing.T) {
	library := &fakeLibrary{}
	cfg := quick(t, func(cfg *Config) { cfg.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]() })
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), plog.NewLogs()))
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")), "without a queue the answer is the library's")
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Len(t, library.exports(), 1)
}

func TestNothingIsMutatedThoughExporterhelperBatches(t *testing.T) {
	factory, cfg := newFactory((&fakeLibrary{}).open), quick(t, nil)
	logs, err := factory.CreateLogs(t.Context(), nopSettings(), cfg)
	require.NoError(t, err)
	traces, err := factory.CreateTraces(t.Context(), nopSettings(), cfg)
	require.NoError(t, err)
	metrics, err := factory.CreateMetrics(t.Context(), nopSettings(), cfg)
	require.NoError(t, err)
	for _, e := range []interface{ Capabilities() consumer.Capabilities }{logs, traces, metrics} {
		assert.False(t, e.Capabilities().MutatesData)
	}

	require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
	data := logsOf("one")
	data.MarkReadOnly()
	require.NoError(t, logs.ConsumeLogs(t.Context(), data))
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Equal(t, "one", data.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().Str())
}

func TestTheLibraryIsToldToHurryBeforeTheQueueIsDrained(t *testing.T) {
	library := &fakeLibrary{}
	cfg := quick(t, func(cfg *Config) { cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour })
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	for range 2 {
		require.NoError(t, logs.Shutdown(t.Context()))
		assert.Equal(t, []int{0}, library.hurriedAfter)
		assert.Len(t, library.exports(), 1)
	}
}

func TestWhatIsStoredSurvivesAnOutageAndARestart(t *testing.T) {
	for name, class := range map[string]native.RetryClass{
		"the catalog is down":         native.RetryClassRetry,
		"the library is closing down": native.RetryClassShutdown,
	} {
		t.Run(name, func(t *testing.T) {
			disk := newMemoryStorage()
			set := nopSettings()
			cfg := quick(t, func(cfg *Config) {
				cfg.QueueConfig.Get().StorageID = &storageID
				cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour
			})
			down := &fakeLibrary{answer: failingWith(native.Error{RetryClass: class, Message: "no"})}
			logs := startLogs(t, down, cfg, set, hostWith(disk))
			require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
			require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("two")))
			require.NoError(t, logs.Shutdown(t.Context()))
			require.NotEmpty(t, disk.values)

			up := &fakeLibrary{}
			cfg = quick(t, func(cfg *Config) { cfg.QueueConfig.Get().StorageID = &storageID })
			logs = startLogs(t, up, cfg, set, hostWith(disk))
			var parts []native.Part
			var bodies []string
			require.Eventually(t, func() bool {
				parts, bodies = nil, nil
				for _, call := range up.exports() {
					parts = append(parts, call.parts...)
					read, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs([]byte(call.payload))
					require.NoError(t, err)
					for _, resource := range read.ResourceLogs().All() {
						bodies = append(bodies, resource.ScopeLogs().At(0).LogRecords().At(0).Body().Str())
					}
				}
				return len(parts) == 2
			}, 10*time.Second, time.Millisecond)
			require.NoError(t, logs.Shutdown(t.Context()))
			assert.ElementsMatch(t, []string{"one", "two"}, bodies)

			var before []native.Part
			for _, call := range down.exports() {
				before = append(before, call.parts...)
			}
			for _, part := range before {
				assert.Contains(t, parts, part, "the ids are those of the first process")
			}
		})
	}
}

func TestMetricsOfTheExporter(t *testing.T) {
	library := &fakeLibrary{answer: func(exported) (native.Outcome, error) {
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
	logs := startLogs(t, library, quick(t, waiting), set, componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))

	both := []attribute.KeyValue{attribute.String("exporter", "iceberg"), attribute.String("signal", "logs")}
	point := func(value int64, more ...attribute.KeyValue) metricdata.DataPoint[int64] {
		return metricdata.DataPoint[int64]{Value: value, Attributes: attribute.NewSet(append(more, both...)...)}
	}
	points := func(value int64) []metricdata.DataPoint[int64] { return []metricdata.DataPoint[int64]{point(value)} }
	metadatatest.AssertEqualExporterIcebergRows(t, telemetry, points(10), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergRejected(t, telemetry, rejectedPoints(map[string]int64{"no_data": 1, "table": 1}), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergDeadLetterRecords(t, telemetry, points(2), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergDeadLetters(t, telemetry, points(1), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergInFlightWaits(t, telemetry, points(1), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	commits, err := telemetry.GetMetric("otelcol_exporter_iceberg_commit_duration")
	require.NoError(t, err)
	assert.InDelta(t, 0.04, commits.Data.(metricdata.Histogram[float64]).DataPoints[0].Sum, 1e-9)
	metadatatest.AssertEqualExporterIcebergFiles(t, telemetry, points(3), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergFileBytes(t, telemetry, points(4096), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergCommits(t, telemetry, points(1), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergCommitConflicts(t, telemetry, points(3), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergAlreadyCommitted(t, telemetry, points(5), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergReceiptsWritten(t, telemetry, points(11), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergReceiptRows(t, telemetry, points(12), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergReceiptsCommitted(t, telemetry, points(13), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergCompactions(t, telemetry, points(14), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergCompactedFiles(t, telemetry, points(15), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergCompactionFailures(t, telemetry, points(16), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergRepaired(t, telemetry, []metricdata.DataPoint[int64]{
		point(6, attribute.String("reason", "invalid_utf8")),
		point(7, attribute.String("reason", "nesting")),
		point(8, attribute.String("reason", "invalid_id")),
		point(9, attribute.String("reason", "time_range")),
		point(10, attribute.String("reason", "text_length")),
		point(11, attribute.String("reason", "attribute_count")),
	}, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergOldestUncommittedAge(t, telemetry,
		[]metricdata.DataPoint[float64]{{Value: 0, Attributes: attribute.NewSet(both...)}}, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	require.NoError(t, logs.Shutdown(t.Context()))
}

func TestABatchThatIsGivenUpIsCountedByReason(t *testing.T) {
	for code, reason := range map[native.Code]string{
		native.CodeDecode:        "malformed",
		native.CodeLimit:         "payload_too_large",
		native.CodeTableMismatch: "table",
	} {
		t.Run(reason, func(t *testing.T) {
			library := &fakeLibrary{answer: failingWith(native.Error{Code: code, RetryClass: native.RetryClassPermanent, Message: "no"})}
			telemetry := componenttest.NewTelemetry()
			defer func() { require.NoError(t, telemetry.Shutdown(context.WithoutCancel(t.Context()))) }()
			logs := startLogs(t, library, quick(t, waiting), metadatatest.NewSettings(telemetry), componenttest.NewNopHost())
			require.Error(t, logs.ConsumeLogs(t.Context(), logsOf("one", "two")))
			metadatatest.AssertEqualExporterIcebergRejected(t, telemetry, rejectedPoints(map[string]int64{reason: 2}), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
			metadatatest.AssertEqualExporterIcebergFailedAttempts(t, telemetry, failedPoints(map[string]int64{code.String(): 1}), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
			require.NoError(t, logs.Shutdown(t.Context()))
		})
	}
}

// pointsOf are the points of the logs exporter, one for each of these values of an attribute; 0 where counts has none.
func pointsOf(name string, values []string, counts map[string]int64) []metricdata.DataPoint[int64] {
	points := make([]metricdata.DataPoint[int64], 0, len(values))
	for _, value := range values {
		points = append(points, metricdata.DataPoint[int64]{Value: counts[value], Attributes: attribute.NewSet(
			attribute.String("exporter", "iceberg"), attribute.String("signal", "logs"), attribute.String(name, value))})
	}
	return points
}

func rejectedPoints(counts map[string]int64) []metricdata.DataPoint[int64] {
	reasons := []string{"malformed", "payload_too_large", "too_many_records", "no_data", "invalid_point", "record_too_large",
		"too_many_partitions", "table", "panic"}
	return pointsOf("reason", reasons, counts)
}

func failedPoints(counts map[string]int64) []metricdata.DataPoint[int64] {
	codes := []string{"config", "decode", "table_mismatch", "storage", "catalog", "commit_unknown", "cancelled", "shutdown",
		"limit", "internal", "invalid_argument", "timeout"}
	return pointsOf("code", codes, counts)
}

func TestEveryCounterIsThereBeforeItCounts(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	defer func() { require.NoError(t, telemetry.Shutdown(context.WithoutCancel(t.Context()))) }()
	logs := startLogs(t, &fakeLibrary{}, quick(t, nil), metadatatest.NewSettings(telemetry), componenttest.NewNopHost())
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
	metadatatest.AssertEqualExporterIcebergRejected(t, telemetry, rejectedPoints(nil), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualExporterIcebergFailedAttempts(t, telemetry, failedPoints(nil), metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	require.NoError(t, logs.Shutdown(t.Context()))
}

func TestOldestAgeIsThatOfTheOldestBatchUnderWay(t *testing.T) {
	telemetry, err := newTelemetry(nopSettings(), native.SignalLogs)
	require.NoError(t, err)
	defer telemetry.shutdown()
	now := time.Unix(1_700_000_000, 0)
	old := &request{received: now.Add(-time.Minute)}
	young := &request{received: now.Add(-time.Second)}

	assert.Zero(t, telemetry.oldestAge(now))
	telemetry.begin(old)
	telemetry.begin(young)
	telemetry.begin(old) // a retry
	assert.Equal(t, time.Minute, telemetry.oldestAge(now))
	telemetry.end(old)
	assert.Equal(t, time.Second, telemetry.oldestAge(now))
	telemetry.end(young)
	assert.Zero(t, telemetry.oldestAge(now))
}

func TestTheStartIsLoggedOnceWithWhatIsWrittenWhere(t *testing.T) {
	set, seen := observedSettings()
	library := &fakeLibrary{}
	factory, cfg := newFactory(library.open), quick(t, nil)
	logs, err := factory.CreateLogs(t.Context(), set, cfg)
	require.NoError(t, err)
	traces, err := factory.CreateTraces(t.Context(), set, cfg)
	require.NoError(t, err)
	for _, e := range []component.Component{logs, traces} {
		require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
		defer func() { require.NoError(t, e.Shutdown(t.Context())) }()
	}
	started := seen.FilterMessage("Writing Iceberg tables").All()
	require.Len(t, started, 1)
	here, err := os.Getwd()
	require.NoError(t, err)
	assert.Equal(t, map[string]any{
		"library_version": native.Version(),
		"warehouse":       filepath.Join(here, "warehouse"),
		"catalog_uri":     "sqlite://" + filepath.Join(here, "warehouse", "catalog.db"),
		"namespace":       "otel",
	}, started[0].ContextMap())
}

func TestAnIntervalThatTheTimeoutCutsShortIsWarnedOfOnce(t *testing.T) {
	for interval, warned := range map[string]int{"": 0, "0s": 0, "30s": 0, "30.5s": 1, "1m": 1} {
		set, seen := observedSettings()
		library := &fakeLibrary{}
		cfg := quick(t, func(cfg *Config) {
			cfg.TimeoutConfig.Timeout = time.Minute
			if interval != "" {
				cfg.Commit.Interval = &interval
			}
		})
		factory := newFactory(library.open)
		logs, err := factory.CreateLogs(t.Context(), set, cfg)
		require.NoError(t, err)
		traces, err := factory.CreateTraces(t.Context(), set, cfg)
		require.NoError(t, err)
		for _, e := range []component.Component{logs, traces} {
			require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
			defer func() { require.NoError(t, e.Shutdown(t.Context())) }()
		}
		warnings := seen.FilterMessageSnippet("set timeout to at least twice commit.interval").All()
		require.Len(t, warnings, warned, "commit.interval: %s", interval)
		for _, warning := range warnings {
			assert.Equal(t, zap.WarnLevel, warning.Level)
			assert.Equal(t, time.Minute, warning.ContextMap()["timeout"])
		}
	}
}

func TestClientsThatWaitLongerThanTheyUsuallyDoAreWarnedOfOnce(t *testing.T) {
	const second = time.Second
	for _, test := range []struct {
		waits  bool
		flush  time.Duration
		warned int
	}{{false, 10 * second, 0}, {true, 4999 * time.Millisecond, 0}, {true, 5 * second, 1}, {true, 10 * second, 1}} {
		set, seen := observedSettings()
		cfg := quick(t, func(cfg *Config) {
			cfg.QueueConfig.Get().WaitForResult = test.waits
			cfg.QueueConfig.Get().Batch.Get().FlushTimeout = test.flush
		})
		factory := newFactory((&fakeLibrary{}).open)
		logs, err := factory.CreateLogs(t.Context(), set, cfg)
		require.NoError(t, err)
		traces, err := factory.CreateTraces(t.Context(), set, cfg)
		require.NoError(t, err)
		for _, e := range []component.Component{logs, traces} {
			require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
			defer func() { require.NoError(t, e.Shutdown(t.Context())) }()
		}
		warnings := seen.FilterMessageSnippet("rows are stored twice").All()
		require.Len(t, warnings, test.warned, "%+v", test)
		for _, warning := range warnings {
			assert.Equal(t, zap.WarnLevel, warning.Level)
			assert.Equal(t, test.flush, warning.ContextMap()["sending_queue.batch.flush_timeout"])
		}
	}
}

func TestPlacesAreLoggedAsTheyAreUsed(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	require.NoError(t, err)
	for _, place := range []struct{ kind, warehouse, uri, wantWarehouse, wantURI string }{
		{"sql", "w", "sqlite://./c.db", here + "/w", "sqlite://" + here + "/c.db"},
		{"sql", "/w", "sqlite:c.db", "/w", "sqlite://" + here + "/c.db"},
		{"sql", "file:///w", "sqlite:////c.db", "file:///w", "sqlite:///c.db"},
		{"rest", "prod", "https://catalog.example", "prod", "https://catalog.example"},
	} {
		warehouse, uri := (&CatalogConfig{Type: &place.kind, Warehouse: &place.warehouse, URI: &place.uri}).places()
		assert.Equal(t, place.wantWarehouse, warehouse)
		assert.Equal(t, place.wantURI, uri)
	}
	for kind, want := range map[string]string{"rest": "", "glue": "", "none": defaultWarehouse} {
		warehouse, uri := (&CatalogConfig{Type: &kind}).places()
		assert.Equal(t, want, warehouse, kind)
		assert.Empty(t, uri, kind)
	}
	for _, url := range []string{"file:///w", "file:/w"} {
		warehouse, uri := (&CatalogConfig{Warehouse: &url}).places()
		assert.Equal(t, url, warehouse)
		assert.Equal(t, "sqlite:///w/catalog.db", uri)
	}
}

func TestTheDefaultsThatAreLoggedAreTheLibrarys(t *testing.T) {
	t.Chdir(t.TempDir())
	logs, err := NewFactory().CreateLogs(t.Context(), nopSettings(), quick(t, waiting))
	require.NoError(t, err)
	require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.DirExists(t, filepath.Join(defaultWarehouse, defaultNamespace, "logs"))
}
