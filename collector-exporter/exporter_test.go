// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"errors"
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

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/metadata"
	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// startLogs starts a logs exporter on a fake library; the test shuts it down.
func startLogs(
	t *testing.T, library *fakeLibrary, cfg *Config, set exporter.Settings, host component.Host,
) exporter.Logs {
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

// waitForResult makes callers wait for the result of their data.
func waitForResult(cfg *Config) { cfg.QueueConfig.Get().WaitForResult = true }

func TestSignalsOfOneExporterShareOneHandle(t *testing.T) {
	library := &fakeLibrary{}
	factory, cfg, host := newFactory(library.open), fastConfig(t, nil), componenttest.NewNopHost()
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

func TestExportersOfTwoConfigurationsDoNotShareAHandle(t *testing.T) {
	library := &fakeLibrary{}
	factory := newFactory(library.open)
	for range 2 {
		logs, err := factory.CreateLogs(t.Context(), nopSettings(), fastConfig(t, nil))
		require.NoError(t, err)
		require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
		defer func() { require.NoError(t, logs.Shutdown(t.Context())) }()
	}
	assert.Len(t, library.opens, 2)
}

func TestStartReportsOpenError(t *testing.T) {
	failure := &native.Error{Code: native.CodeConfig, Message: "catalog.warehouse: cannot be written"}
	library := &fakeLibrary{openErr: failure}
	logs, err := newFactory(library.open).CreateLogs(t.Context(), nopSettings(), fastConfig(t, nil))
	require.NoError(t, err)
	err = logs.Start(t.Context(), componenttest.NewNopHost())
	require.EqualError(t, err, "cannot open the Iceberg catalog: catalog.warehouse: cannot be written")
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Zero(t, library.closes)
}

func TestEverySignalIsSerializedAsItsServiceRequest(t *testing.T) {
	library := &fakeLibrary{}
	factory, cfg := newFactory(library.open), fastConfig(t, waitForResult)
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
	cfg := fastConfig(t, func(cfg *Config) { cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour })
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	for _, body := range []string{"one", "two", "three"} {
		require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf(body)))
	}
	require.NoError(t, logs.Shutdown(t.Context()), "the pending batch is exported")

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

func TestBatchIsExportedAtMinSize(t *testing.T) {
	library := &fakeLibrary{}
	cfg := fastConfig(t, func(cfg *Config) {
		waitForResult(cfg)
		cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour
		cfg.QueueConfig.Get().Batch.Get().MinSize = 1
	})
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	assert.Len(t, library.exports(), 1)
	require.NoError(t, logs.Shutdown(t.Context()))
}

func TestRetrySendsTheSameBytesAndIDs(t *testing.T) {
	library := &fakeLibrary{}
	attempts := 0
	library.answer = func(exportCall) (native.Outcome, error) {
		attempts++
		if attempts < 3 {
			failure := temporaryFailure
			return native.Outcome{}, &failure
		}
		return native.Outcome{Rows: 2}, nil
	}
	logs := startLogs(t, library, fastConfig(t, waitForResult), nopSettings(), componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one", "two")))
	require.NoError(t, logs.Shutdown(t.Context()))

	calls := library.exports()
	require.Len(t, calls, 3)
	assert.Equal(t, calls[0], calls[1])
	assert.Equal(t, calls[0], calls[2])
}

func TestPermanentErrorIsNotRetriedAndReachesTheCaller(t *testing.T) {
	failure := native.Error{RetryClass: native.RetryClassPermanent, Message: "Body is an int in the table"}
	library := &fakeLibrary{answer: failingWith(failure)}
	logs := startLogs(t, library, fastConfig(t, waitForResult), nopSettings(), componenttest.NewNopHost())
	err := logs.ConsumeLogs(t.Context(), logsOf("one"))
	require.ErrorContains(t, err, "Body is an int in the table")
	assert.True(t, consumererror.IsPermanent(err))
	assert.Len(t, library.exports(), 1)
	require.NoError(t, logs.Shutdown(t.Context()))
}

func TestRejectedRecordsAreLoggedAndTheRestSucceeds(t *testing.T) {
	library := &fakeLibrary{answer: func(exportCall) (native.Outcome, error) {
		return native.Outcome{Rows: 9, Rejected: 1}, &native.Error{
			Code: native.CodeRejected, RetryClass: native.RetryClassPartial, Message: "1 metric has no data",
		}
	}}
	set, seen := observedSettings()
	logs := startLogs(t, library, fastConfig(t, waitForResult), set, componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	require.NoError(t, logs.Shutdown(t.Context()))

	warnings := seen.FilterLevelExact(zap.WarnLevel).All()
	require.Len(t, warnings, 1)
	assert.Equal(t, "Some records were rejected; the rest of the batch is stored. "+
		"The records are lost; set dead_letter.path to keep such data.", warnings[0].Message)
	assert.Equal(t, map[string]any{
		"rejected": uint64(1), "rows": uint64(9), "reasons": "1 metric has no data",
	}, warnings[0].ContextMap())
	assert.Len(t, library.exports(), 1)
}

func TestRejectedRecordsThatAreKeptAreNotLoggedAsLost(t *testing.T) {
	core, seen := observer.New(zap.WarnLevel)
	path := "dead-letters"
	e := &signalExporter{cfg: &Config{DeadLetter: DeadLetterConfig{Path: &path}}, logger: zap.New(core)}
	require.NoError(t, e.classify(native.Outcome{}, &native.Error{RetryClass: native.RetryClassPartial}))
	require.Len(t, seen.All(), 1)
	assert.Equal(t, "Some records were rejected; the rest of the batch is stored.", seen.All()[0].Message)
}

func TestClassifyTranslatesRetryClasses(t *testing.T) {
	e := &signalExporter{cfg: &Config{}, logger: zap.NewNop()}
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

func TestRetryableInternalErrorsDoNotEndTheCollector(t *testing.T) {
	attempts := 0
	library := &fakeLibrary{answer: func(exportCall) (native.Outcome, error) {
		if attempts++; attempts < 3 {
			return native.Outcome{}, &native.Error{
				Code: native.CodeInternal, RetryClass: native.RetryClassRetry, Message: "a bug",
			}
		}
		return native.Outcome{Rows: 1}, nil
	}}
	host := newStatusHost()
	logs := startLogs(t, library, fastConfig(t, waitForResult), nopSettings(), host)
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Empty(t, host.fatal())
}

func TestEmptyMessageIsNotExported(t *testing.T) {
	library := &fakeLibrary{}
	cfg := fastConfig(t, func(cfg *Config) { cfg.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]() })
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), plog.NewLogs()))
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")), "without a queue the answer is the library's")
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Len(t, library.exports(), 1)
}

// batchingLogs is an exporter of a newer exporterhelper, which says whether it batches.
type batchingLogs struct {
	exporter.Logs
	batches bool
}

func (b *batchingLogs) ExporterHelperBatchingEnabled() bool { return b.batches }

type batchingTraces struct{ exporter.Traces }

func (*batchingTraces) ExporterHelperBatchingEnabled() bool { return true }

type batchingMetrics struct{ exporter.Metrics }

func (*batchingMetrics) ExporterHelperBatchingEnabled() bool { return true }

// Newer Collectors warn of a batch processor before such an exporter.
func TestExportersSayThatTheyBatchWhereExporterhelperDoes(t *testing.T) {
	for e, want := range map[any]bool{
		&logsExporter{Logs: &batchingLogs{batches: true}}:  true,
		&logsExporter{Logs: &batchingLogs{batches: false}}: false,
		&logsExporter{}: false,
		&tracesExporter{Traces: &batchingTraces{}}:    true,
		&metricsExporter{Metrics: &batchingMetrics{}}: true,
	} {
		asked, says := e.(interface{ ExporterHelperBatchingEnabled() bool })
		require.True(t, says, "%T", e)
		assert.Equal(t, want, asked.ExporterHelperBatchingEnabled(), "%T", e)
	}
}

func TestExportersDoNotMutateData(t *testing.T) {
	factory, cfg := newFactory((&fakeLibrary{}).open), fastConfig(t, nil)
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

func TestHurryIsCalledBeforeTheQueueIsDrained(t *testing.T) {
	library := &fakeLibrary{}
	cfg := fastConfig(t, func(cfg *Config) { cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour })
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	for range 2 {
		require.NoError(t, logs.Shutdown(t.Context()))
		assert.Equal(t, []int{0}, library.callsAtHurry)
		assert.Len(t, library.exports(), 1)
	}
}

func TestPersistentQueueSurvivesOutageAndRestart(t *testing.T) {
	for name, class := range map[string]native.RetryClass{
		"the catalog is down":         native.RetryClassRetry,
		"the library is closing down": native.RetryClassShutdown,
	} {
		t.Run(name, func(t *testing.T) {
			disk := newMemoryStorage()
			set := nopSettings()
			cfg := fastConfig(t, func(cfg *Config) { cfg.QueueConfig.Get().StorageID = &storageID })
			down := &fakeLibrary{answer: failingWith(native.Error{RetryClass: class, Message: "no"})}
			logs := startLogs(t, down, cfg, set, hostWith(disk))
			require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
			require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("two")))
			// The ids of this process are known by its attempts.
			require.Eventually(t, func() bool { return len(down.exports()) > 0 }, 10*time.Second, time.Millisecond)
			require.NoError(t, logs.Shutdown(t.Context()))
			require.NotEmpty(t, disk.values)

			up := &fakeLibrary{}
			cfg = fastConfig(t, func(cfg *Config) { cfg.QueueConfig.Get().StorageID = &storageID })
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
			require.NotEmpty(t, before)
			for _, part := range before {
				assert.Contains(t, parts, part, "the ids are those of the first process")
			}
		})
	}
}
