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

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// failingUntil returns an answer that is an error until works is set.
func failingUntil(works *atomic.Bool) func(exportCall) (native.Outcome, error) {
	return func(exportCall) (native.Outcome, error) {
		if works.Load() {
			return native.Outcome{Rows: 1}, nil
		}
		failure := temporaryFailure
		return native.Outcome{}, &failure
	}
}

// slowRetries makes a batch wait for its next attempt longer than any test lasts.
func slowRetries(cfg *Config) {
	cfg.RetryConfig.InitialInterval, cfg.RetryConfig.MaxInterval = time.Hour, time.Hour
}

func TestWaitingBatchIsStoredAtShutdown(t *testing.T) {
	requireLiveBatches(t, 0)
	var works atomic.Bool
	library := &fakeLibrary{answer: failingUntil(&works)}
	set, seen := observedSettings()
	logs := startLogs(t, library, fastConfig(t, slowRetries), set, componenttest.NewNopHost())
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

func TestBatchThatFailsAtShutdownIsDropped(t *testing.T) {
	requireLiveBatches(t, 0)
	library := &fakeLibrary{answer: failingWith(temporaryFailure)}
	set, seen := observedSettings()
	logs := startLogs(t, library, fastConfig(t, slowRetries), set, componenttest.NewNopHost())
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

func TestBatchFirstTriedDuringShutdownIsNotRetried(t *testing.T) {
	library := &fakeLibrary{answer: failingWith(temporaryFailure)}
	cfg := fastConfig(t, func(cfg *Config) { cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour })
	logs := startLogs(t, library, cfg, nopSettings(), componenttest.NewNopHost())
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Len(t, library.exports(), 1)
}

func TestNoShutdownRetryOfKeptOrReportedBatches(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"queue on disk":    func(cfg *Config) { cfg.QueueConfig.Get().StorageID = &storageID },
		"the client waits": waitForResult,
		"without a queue":  func(cfg *Config) { withoutQueue(cfg); cfg.RetryConfig.Enabled = true },
	} {
		t.Run(name, func(t *testing.T) {
			var works atomic.Bool
			library := &fakeLibrary{answer: failingUntil(&works)}
			set, seen := observedSettings()
			cfg := fastConfig(t, func(cfg *Config) { slowRetries(cfg); change(cfg) })
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

func TestNoShutdownRetryWithoutRetries(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	assert.True(t, cfg.retriesAtShutdown())
	cfg.RetryConfig.Enabled = false
	assert.False(t, cfg.retriesAtShutdown())
}

func TestShutdownRetriesTakesOnlyUntriedBatches(t *testing.T) {
	retries := newShutdownRetries()
	stored, waits, failsLater, triedDuringStop := &request{}, &request{items: 1}, &request{items: 2}, &request{items: 3}

	for _, r := range []*request{stored, waits, failsLater, triedDuringStop} {
		require.True(t, retries.begin(r))
	}
	retries.failed(waits)
	retries.failed(triedDuringStop)
	retries.failed(stored)
	require.True(t, retries.begin(stored), "and this attempt stores it")
	retries.stop()
	retries.failed(failsLater)
	assert.False(t, retries.begin(triedDuringStop), "its wait was over before exporterhelper ended it")

	assert.ElementsMatch(t, []*request{waits, failsLater}, retries.take())
	assert.Empty(t, retries.take())
}
