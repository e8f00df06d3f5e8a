// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/metadatatest"
	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// failedAndRecovered are the statuses of an outage that is over.
var failedAndRecovered = []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK}

func TestOutageIsLoggedAtStartEachMinuteAndAtEnd(t *testing.T) {
	core, seen := observer.New(zap.InfoLevel)
	host := newStatusHost()
	o := &outage{logger: zap.New(core), report: host.Report}
	begin := time.Unix(1_700_000_000, 0)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	refused := errors.New("connection refused")

	o.succeeded(at(-1))
	assert.Empty(t, host.statuses(), "nothing had failed")
	for _, seconds := range []int{0, 5, 59, 60, 100, 121} {
		o.failed(at(seconds), refused)
	}
	o.succeeded(at(130))
	o.succeeded(at(131))

	type line struct {
		level    string
		attempts int64
	}
	var lines []line
	for _, entry := range seen.TakeAll() {
		lines = append(lines, line{entry.Level.String(), entry.ContextMap()["failed_attempts"].(int64)})
		if entry.Level == zap.WarnLevel {
			assert.Equal(t, "connection refused", entry.ContextMap()["error"])
			assert.Equal(t, begin, entry.ContextMap()["since"])
		} else {
			assert.Equal(t, 130*time.Second, entry.ContextMap()["failed_for"])
		}
	}
	assert.Equal(t, []line{{"warn", 1}, {"warn", 4}, {"warn", 6}, {"info", 6}}, lines)
	assert.Equal(t, failedAndRecovered, host.statuses())
	assert.Equal(t, refused, host.events[0].Err())
}

func TestAlternatingFailuresAreLoggedOnceAMinute(t *testing.T) {
	core, seen := observer.New(zap.InfoLevel)
	host := newStatusHost()
	o := &outage{logger: zap.New(core), report: host.Report}
	begin := time.Unix(1_700_000_000, 0)
	for seconds := range 90 {
		now := begin.Add(time.Duration(seconds) * time.Second)
		o.failed(now, errors.New("busy"))
		o.succeeded(now)
	}
	levels := map[string]int{}
	for _, entry := range seen.All() {
		levels[entry.Level.String()]++
	}
	assert.Equal(t, map[string]int{"warn": 2, "info": 2}, levels)
	assert.Len(t, host.statuses(), 180, "the status follows each time")
}

func TestFailedAttemptsAreCountedByCodeAndLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []native.Error{
			{Code: native.CodeCatalog, RetryClass: native.RetryClassRetry, Message: "connection refused"},
			{
				Code: native.CodeCatalog, RetryClass: native.RetryClassRetry, RetryAfter: time.Millisecond,
				Message: "busy",
			},
			{Code: native.CodeStorage, RetryClass: native.RetryClassRetry, Message: "no bucket"},
		}
		attempts := 0
		library := &fakeLibrary{answer: func(exportCall) (native.Outcome, error) {
			if attempts++; attempts <= len(answers) {
				return native.Outcome{}, &answers[attempts-1]
			}
			return native.Outcome{Rows: 1}, nil
		}}
		telemetry := componenttest.NewTelemetry()
		defer func() { require.NoError(t, telemetry.Shutdown(context.WithoutCancel(t.Context()))) }()
		core, seen := observer.New(zap.InfoLevel)
		set := metadatatest.NewSettings(telemetry)
		set.Logger = zap.New(core)
		host := newStatusHost()
		cfg := fastConfig(t, func(cfg *Config) { withoutQueue(cfg); cfg.RetryConfig.Enabled = true })
		logs := startLogs(t, library, cfg, set, host)
		require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
		synctest.Wait()
		require.NoError(t, logs.Shutdown(t.Context()))

		assertFailedAttempts(t, telemetry, map[string]int64{"catalog": 2, "storage": 1})
		warned := seen.FilterMessageSnippet("Exports are failing").All()
		require.Len(t, warned, 1)
		assert.Equal(t, zap.WarnLevel, warned[0].Level)
		assert.Equal(t, "connection refused", warned[0].ContextMap()["error"])
		over := seen.FilterMessageSnippet("Exports succeed again").All()
		require.Len(t, over, 1)
		assert.Equal(t, int64(3), over[0].ContextMap()["failed_attempts"])
		assert.Equal(t, failedAndRecovered, host.statuses())
	})
}

// A permanent failure concerns its own batch only.
func TestPermanentFailureIsNoOutage(t *testing.T) {
	failure := native.Error{Code: native.CodeTableMismatch, RetryClass: native.RetryClassPermanent, Message: "no"}
	library := &fakeLibrary{answer: failingWith(failure)}
	set, seen := observedSettings()
	host := newStatusHost()
	logs := startLogs(t, library, fastConfig(t, waitForResult), set, host)
	require.Error(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Zero(t, seen.FilterMessageSnippet("Exports ").Len())
	assert.Empty(t, host.statuses())
}

func TestTimeoutIsAnOutageAndClientCancellationIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		telemetry := componenttest.NewTelemetry()
		defer func() { require.NoError(t, telemetry.Shutdown(context.WithoutCancel(t.Context()))) }()
		core, seen := observer.New(zap.InfoLevel)
		set := metadatatest.NewSettings(telemetry)
		set.Logger = zap.New(core)
		host := newStatusHost()
		logs := startLogs(t, &fakeLibrary{hangs: true}, fastConfig(t, withoutQueue), set, host)

		left, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		require.ErrorContains(t, logs.ConsumeLogs(left, logsOf("one")), "told to stop")
		late, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		err := logs.ConsumeLogs(late, logsOf("one"))
		require.ErrorContains(t, err, "the client's time ran out (after 10s, before the timeout of 1m0s): told to stop")
		assert.NotContains(t, err.Error(), "within timeout")
		synctest.Wait()
		assert.Zero(t, seen.FilterMessageSnippet("Exports are failing").Len())
		assert.Empty(t, host.statuses())

		err = logs.ConsumeLogs(t.Context(), logsOf("one"))
		require.ErrorContains(t, err, "not stored within timeout (1m0s): told to stop")
		synctest.Wait()
		assert.Equal(t, 1, seen.FilterMessageSnippet("Exports are failing").Len())
		assert.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError}, host.statuses())

		assertFailedAttempts(t, telemetry, map[string]int64{"cancelled": 2, "timeout": 1})
		require.NoError(t, logs.Shutdown(t.Context()))
	})
}

// The context of a batch whose clients wait for the result is theirs, merged.
func TestBatchCancelledByItsClientsIsNoOutage(t *testing.T) {
	set, seen := observedSettings()
	host := newStatusHost()
	cfg := fastConfig(t, func(cfg *Config) { waitForResult(cfg); cfg.RetryConfig.Enabled = false })
	logs := startLogs(t, &fakeLibrary{hangs: true}, cfg, set, host)
	late, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	require.Error(t, logs.ConsumeLogs(late, logsOf("one")))
	require.NoError(t, logs.Shutdown(t.Context()), "after the attempt")
	var attempts []string
	for _, entry := range seen.FilterMessageSnippet("Exporting failed").All() {
		if text := entry.ContextMap()["error"].(string); strings.Contains(text, "told to stop") {
			attempts = append(attempts, text)
		}
	}
	// The client may be told, too, which exporterhelper logs in the same words.
	require.NotEmpty(t, attempts)
	require.LessOrEqual(t, len(attempts), 2)
	for _, attempt := range attempts {
		assert.Contains(t, attempt, "the client's time ran out")
		assert.NotContains(t, attempt, "within timeout")
	}
	assert.Zero(t, seen.FilterMessageSnippet("Exports are failing").Len())
	assert.Empty(t, host.statuses())
}
