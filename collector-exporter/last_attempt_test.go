// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

var notNow = native.Error{RetryClass: native.RetryClassRetry, Message: "not now"}

// failingUntil gives an answer that is an error until works is set.
func failingUntil(works *atomic.Bool) func(exported) (native.Outcome, error) {
	return func(exported) (native.Outcome, error) {
		if works.Load() {
			return native.Outcome{Rows: 1}, nil
		}
		failure := notNow
		return native.Outcome{}, &failure
	}
}

// waitsLong has a batch that failed wait for longer than any test lasts.
func waitsLong(cfg *Config) {
	cfg.RetryConfig.InitialInterval, cfg.RetryConfig.MaxInterval = time.Hour, time.Hour
}

func TestWhatWaitsForAnotherAttemptIsStoredAtTheStopIfTheDestinationWorksAgain(t *testing.T) {
	var works atomic.Bool
	library := &fakeLibrary{answer: failingUntil(&works)}
	set, seen := observedSettings()
	logs := startLogs(t, library, quick(t, waitsLong), set, componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one", "two")))
	waits := func() bool { return seen.FilterMessageSnippet("Will retry the request").Len() == 1 }
	require.Eventually(t, waits, time.Minute, time.Millisecond)
	works.Store(true)
	require.NoError(t, logs.Shutdown(t.Context()))

	calls := library.exports()
	require.Len(t, calls, 2)
	assert.Equal(t, calls[0], calls[1], "the same bytes and ids, within the timeout")
	assert.Equal(t, 1, library.closes)
	stored := seen.FilterMessageSnippet("is stored after all").All()
	require.Len(t, stored, 1)
	assert.Equal(t, map[string]any{"items": int64(2)}, stored[0].ContextMap())
	assert.Zero(t, native.LiveBatches())
}

func TestWhatFailsAtTheStopAgainIsDropped(t *testing.T) {
	library := &fakeLibrary{answer: failingWith(notNow)}
	set, seen := observedSettings()
	logs := startLogs(t, library, quick(t, waitsLong), set, componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	waits := func() bool { return seen.FilterMessageSnippet("Will retry the request").Len() == 1 }
	require.Eventually(t, waits, time.Minute, time.Millisecond)
	require.NoError(t, logs.Shutdown(t.Context()))

	assert.Len(t, library.exports(), 2)
	dropped := seen.FilterMessageSnippet("failed at the stop, too").All()
	require.Len(t, dropped, 1)
	assert.Equal(t, zap.ErrorLevel, dropped[0].Level)
	assert.Equal(t, map[string]any{"items": int64(1), "error": "not now"}, dropped[0].ContextMap())
	assert.Zero(t, native.LiveBatches())
}

func TestWhatIsTriedFirstWhileTheExporterStopsIsNotTriedTwice(t *testing.T) {
	library := &fakeLibrary{answer: failingWith(notNow)}
	cfg := quick(t, func(cfg *Config) { cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour })
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Len(t, library.exports(), 1)
}

func TestNothingIsTriedAtTheStopWhereItIsKeptOrItsClientIsTold(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"queue on disk":    func(cfg *Config) { cfg.QueueConfig.Get().StorageID = &storageID },
		"the client waits": waiting,
		"without a queue":  func(cfg *Config) { cfg.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]() },
	} {
		t.Run(name, func(t *testing.T) {
			var works atomic.Bool
			library := &fakeLibrary{answer: failingUntil(&works)}
			set, seen := observedSettings()
			cfg := quick(t, func(cfg *Config) { waitsLong(cfg); change(cfg) })
			logs := startLogs(t, library, cfg, set, hostWith(newMemoryStorage()))
			answered := make(chan error, 1)
			go func() { answered <- logs.ConsumeLogs(t.Context(), logsOf("one")) }()
			waits := func() bool { return seen.FilterMessageSnippet("Will retry the request").Len() == 1 }
			require.Eventually(t, waits, time.Minute, time.Millisecond)
			works.Store(true)
			require.NoError(t, logs.Shutdown(t.Context()))
			assert.Len(t, library.exports(), 1)
			assert.Equal(t, name == "queue on disk", <-answered == nil)
		})
	}
}

func TestNothingIsTriedAtTheStopWhenNothingIsRetried(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	assert.True(t, cfg.triesAtTheStop())
	cfg.RetryConfig.Enabled = false
	assert.False(t, cfg.triesAtTheStop())
}

func TestTheLastAttemptIsTheFirstOneBegunAfterTheStop(t *testing.T) {
	last := newLastAttempts()
	stored, waits, failsLater, lastTried := &request{}, &request{items: 1}, &request{items: 2}, &request{items: 3}

	for _, r := range []*request{stored, waits, failsLater, lastTried} {
		require.True(t, last.begin(r))
	}
	last.failed(waits)
	last.failed(lastTried)
	last.failed(stored)
	require.True(t, last.begin(stored), "and this attempt stores it")
	last.stop()
	last.failed(failsLater)
	assert.False(t, last.begin(lastTried), "its wait was over before exporterhelper ended it")

	assert.ElementsMatch(t, []*request{waits, failsLater}, last.take())
	assert.Empty(t, last.take())
}
