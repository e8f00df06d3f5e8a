// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
)

func TestLongCommitIntervalIsWarnedAboutOnce(t *testing.T) {
	for interval, warned := range map[string]int{"": 0, "0s": 0, "30s": 0, "30.5s": 1, "1m": 1} {
		cfg := fastConfig(t, func(cfg *Config) {
			cfg.TimeoutConfig.Timeout = time.Minute
			if interval != "" {
				cfg.Commit.Interval = &interval
			}
		})
		seen := startLogsAndTraces(t, cfg)
		warnings := seen.FilterMessageSnippet("set timeout to at least twice commit.interval").All()
		require.Len(t, warnings, warned, "commit.interval: %s", interval)
		for _, warning := range warnings {
			assert.Equal(t, zap.WarnLevel, warning.Level)
			assert.Equal(t, time.Minute, warning.ContextMap()["timeout"])
		}
	}
}

func TestLongWaitForResultIsWarnedAboutOnce(t *testing.T) {
	const second = time.Second
	for _, test := range []struct {
		waits  bool
		flush  time.Duration
		warned int
	}{{false, 10 * second, 0}, {true, 4999 * time.Millisecond, 0}, {true, 5 * second, 1}, {true, 10 * second, 1}} {
		cfg := fastConfig(t, func(cfg *Config) {
			cfg.QueueConfig.Get().WaitForResult = test.waits
			cfg.QueueConfig.Get().Batch.Get().FlushTimeout = test.flush
		})
		seen := startLogsAndTraces(t, cfg)
		warnings := seen.FilterMessageSnippet("rows are stored twice").All()
		require.Len(t, warnings, test.warned, "%+v", test)
		for _, warning := range warnings {
			assert.Equal(t, zap.WarnLevel, warning.Level)
			assert.Equal(t, test.flush, warning.ContextMap()["sending_queue.batch.flush_timeout"])
			assert.Contains(t, warning.Message, "use a queue on disk for it (sending_queue.storage)")
		}
	}
}

func TestAttributesOfTheResourceAreWarnedAboutOnce(t *testing.T) {
	seen := startLogsAndTraces(t, fastConfig(t, func(cfg *Config) {
		cfg.Tables.AttributeColumns = []any{
			"k8s.pod.name",
			map[string]any{"attribute": "deployment.environment.name", "column": "Environment"},
			// Not these.
			"http.route", "k8s.event.reason", "hostess",
			map[string]any{"attribute": "host.name", "from": "resource"},
			map[string]any{"attribute": "process.pid", "from": "record"},
		}
	}))
	var warned []string
	for _, entry := range seen.FilterLevelExact(zap.WarnLevel).All() {
		warned = append(warned, entry.Message)
	}
	const advice = " is usually an attribute of the resource; " +
		"set from: resource (or from: record, if it is one of the records)."
	assert.Equal(t, []string{
		"tables.attribute_columns: k8s.pod.name" + advice,
		"tables.attribute_columns: deployment.environment.name" + advice,
	}, warned)
}

// startLogsAndTraces starts both exporters of one configuration until the test ends, and returns what they log.
func startLogsAndTraces(t *testing.T, cfg *Config) *observer.ObservedLogs {
	set, seen := observedSettings()
	factory := newFactory((&fakeLibrary{}).open)
	logs, err := factory.CreateLogs(t.Context(), set, cfg)
	require.NoError(t, err)
	traces, err := factory.CreateTraces(t.Context(), set, cfg)
	require.NoError(t, err)
	for _, e := range []component.Component{logs, traces} {
		require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
		t.Cleanup(func() { require.NoError(t, e.Shutdown(context.Background())) })
	}
	return seen
}
