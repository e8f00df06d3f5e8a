// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// Tests in a synctest bubble have no queue, because exporterhelper reuses the channels of its queues across tests.

// statusHost is a host that remembers the statuses that are reported to it.
type statusHost struct {
	component.Host
	mu     sync.Mutex
	events []*componentstatus.Event
	// blocks returns whether the report of a status blocks until released is closed.
	blocks   func(componentstatus.Status) bool
	released chan struct{}
}

func newStatusHost() *statusHost {
	return &statusHost{Host: componenttest.NewNopHost()}
}

// blockingHost returns a host that blocks in the report of some statuses.
func blockingHost(blocks func(componentstatus.Status) bool) *statusHost {
	return &statusHost{Host: componenttest.NewNopHost(), blocks: blocks, released: make(chan struct{})}
}

func (h *statusHost) Report(event *componentstatus.Event) {
	h.mu.Lock()
	h.events = append(h.events, event)
	h.mu.Unlock()
	if h.blocks != nil && h.blocks(event.Status()) {
		<-h.released
	}
}

// statuses returns the reported statuses, in order.
func (h *statusHost) statuses() []componentstatus.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]componentstatus.Status, 0, len(h.events))
	for _, event := range h.events {
		all = append(all, event.Status())
	}
	return all
}

func (h *statusHost) fatal() []*componentstatus.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.events), func(event *componentstatus.Event) bool {
		return event.Status() != componentstatus.StatusFatalError
	})
}

func anyStatus(componentstatus.Status) bool { return true }

func isFatal(status componentstatus.Status) bool { return status == componentstatus.StatusFatalError }

var poisoned = native.Error{
	Code: native.CodeInternal, RetryClass: native.RetryClassShutdown, Message: "the handle is poisoned",
}

// logsAndTraces starts the exporters of two signals that share a handle.
func logsAndTraces(
	t *testing.T, factory exporter.Factory, cfg *Config, set exporter.Settings, host component.Host,
) (exporter.Logs, exporter.Traces) {
	t.Helper()
	logs, err := factory.CreateLogs(t.Context(), set, cfg)
	require.NoError(t, err)
	traces, err := factory.CreateTraces(t.Context(), set, cfg)
	require.NoError(t, err)
	for _, e := range []component.Component{logs, traces} {
		require.NoError(t, e.Start(t.Context(), host))
	}
	return logs, traces
}

func oneSpan() ptrace.Traces {
	spans := ptrace.NewTraces()
	spans.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	return spans
}

func TestPoisonedLibraryEndsTheCollectorOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		library := &fakeLibrary{answer: failingWith(poisoned)}
		host := newStatusHost()
		set, seen := observedSettings()
		logs, traces := logsAndTraces(t, newFactory(library.open), fastConfig(t, withoutQueue), set, host)
		time.Sleep(startGrace)
		for range 3 {
			require.Error(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
			require.Error(t, traces.ConsumeTraces(t.Context(), oneSpan()))
			time.Sleep(stopGrace)
		}
		synctest.Wait()
		require.NoError(t, logs.Shutdown(t.Context()))
		require.NoError(t, traces.Shutdown(t.Context()))

		fatal := host.fatal()
		require.Len(t, fatal, 1)
		require.ErrorContains(t, fatal[0].Err(), "must be restarted: the handle is poisoned")
		assert.Equal(t, 1, seen.FilterMessageSnippet("restart the Collector").Len())
	})
}

// The Collector accepts no fatal status while it starts. A report at that time would block the start.
func TestFatalStatusWaitsForTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		library := &fakeLibrary{answer: failingWith(poisoned)}
		host := newStatusHost()
		set, seen := observedSettings()
		logs := startLogs(t, library, fastConfig(t, withoutQueue), set, host)
		require.ErrorContains(t, logs.ConsumeLogs(t.Context(), logsOf("one")), "the handle is poisoned")
		assert.Equal(t, 1, seen.FilterMessageSnippet("restart the Collector").Len(), "it is logged at once")
		time.Sleep(startGrace - time.Nanosecond)
		synctest.Wait()
		assert.Empty(t, host.fatal())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Len(t, host.fatal(), 1)
		require.NoError(t, logs.Shutdown(t.Context()))
	})
}

// A Collector that stops accepts no fatal status either. A report at that time would block the shutdown forever.
func TestPoisonedLibraryDuringShutdownIsOnlyLogged(t *testing.T) {
	duringTheDrain := func(t *testing.T, settings exporter.Settings, host *statusHost, library *fakeLibrary) {
		logs := startLogs(t, library, fastConfig(t, withoutQueue), settings, host)
		time.Sleep(startGrace)
		logs.(*logsExporter).stop.base.beginStop()
		require.Error(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
		require.NoError(t, logs.Shutdown(t.Context()))
	}
	beforeTheReport := func(t *testing.T, settings exporter.Settings, host *statusHost, library *fakeLibrary) {
		logs := startLogs(t, library, fastConfig(t, withoutQueue), settings, host)
		time.Sleep(startGrace)
		require.Error(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
		time.Sleep(stopGrace - time.Nanosecond)
		require.NoError(t, logs.Shutdown(t.Context()))
	}
	afterAnotherSignal := func(t *testing.T, settings exporter.Settings, host *statusHost, library *fakeLibrary) {
		logs, traces := logsAndTraces(t, newFactory(library.open), fastConfig(t, withoutQueue), settings, host)
		time.Sleep(startGrace)
		require.NoError(t, logs.Shutdown(t.Context()))
		require.Error(t, traces.ConsumeTraces(t.Context(), oneSpan()))
		require.NoError(t, traces.Shutdown(t.Context()))
	}
	afterAnotherExporter := func(t *testing.T, settings exporter.Settings, host *statusHost, library *fakeLibrary) {
		factory := newFactory(library.open)
		other, err := factory.CreateTraces(t.Context(), settings, fastConfig(t, withoutQueue))
		require.NoError(t, err)
		require.NoError(t, other.Start(t.Context(), host))
		logs, err := factory.CreateLogs(t.Context(), settings, fastConfig(t, withoutQueue))
		require.NoError(t, err)
		require.NoError(t, logs.Start(t.Context(), host))
		time.Sleep(startGrace)
		require.NoError(t, other.Shutdown(t.Context()))
		require.Error(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
		require.NoError(t, logs.Shutdown(t.Context()))
	}
	for name, run := range map[string]func(*testing.T, exporter.Settings, *statusHost, *fakeLibrary){
		"while the queue is drained":        duringTheDrain,
		"before the report":                 beforeTheReport,
		"after another signal's shutdown":   afterAnotherSignal,
		"after another exporter's shutdown": afterAnotherExporter,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := newStatusHost()
				set, seen := observedSettings()
				run(t, set, host, &fakeLibrary{answer: failingWith(poisoned)})
				time.Sleep(time.Minute)
				synctest.Wait()
				assert.Empty(t, host.fatal())
				assert.Equal(t, 1, seen.FilterMessageSnippet("restart the Collector").Len())
			})
		})
	}
}

func TestExporterStartedAfterAShutdownReportsStatuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		library := &fakeLibrary{answer: failingWith(poisoned)}
		factory := newFactory(library.open)
		first, err := factory.CreateLogs(t.Context(), nopSettings(), fastConfig(t, withoutQueue))
		require.NoError(t, err)
		require.NoError(t, first.Start(t.Context(), newStatusHost()))
		require.NoError(t, first.Shutdown(t.Context()))

		host := newStatusHost()
		second, err := factory.CreateLogs(t.Context(), nopSettings(), fastConfig(t, withoutQueue))
		require.NoError(t, err)
		require.NoError(t, second.Start(t.Context(), host))
		require.Error(t, second.ConsumeLogs(t.Context(), logsOf("one")))
		time.Sleep(startGrace)
		synctest.Wait()
		assert.Len(t, host.fatal(), 1)
		require.NoError(t, second.Shutdown(t.Context()))
	})
}

func TestBlockedHostDelaysNeitherExportNorShutdown(t *testing.T) {
	for name, blocks := range map[string]func(componentstatus.Status) bool{
		"any status": anyStatus, "a fatal status": isFatal,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := blockingHost(blocks)
				defer close(host.released)
				library := &fakeLibrary{answer: failingWith(poisoned)}
				logs := startLogs(t, library, fastConfig(t, withoutQueue), nopSettings(), host)
				for range 3 {
					require.ErrorContains(t, logs.ConsumeLogs(t.Context(), logsOf("one")), "the handle is poisoned")
					time.Sleep(startGrace)
				}
				synctest.Wait()
				reported := host.statuses()
				assert.True(t, blocks(reported[len(reported)-1]), "the host blocks in a report")
				require.NoError(t, logs.Shutdown(t.Context()))
				assert.Equal(t, 1, library.closes)
			})
		})
	}
}

func TestNewestStatusIsReportedAndAFatalOneIsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := blockingHost(anyStatus)
		s := newStatusReporter(host, new(atomic.Bool), func() { t.Error("the host accepts the status in time") })
		report := func(statuses ...componentstatus.Status) {
			for _, status := range statuses {
				s.report(componentstatus.NewEvent(status))
				synctest.Wait()
			}
		}
		report(componentstatus.StatusRecoverableError, componentstatus.StatusOK, componentstatus.StatusRecoverableError)
		host.released <- struct{}{}
		synctest.Wait()
		s.reportFatal(errors.New("broken"))
		time.Sleep(startGrace)
		synctest.Wait()
		report(componentstatus.StatusOK)
		close(host.released)
		synctest.Wait()
		assert.Equal(t, []componentstatus.Status{
			componentstatus.StatusRecoverableError,
			componentstatus.StatusRecoverableError,
			componentstatus.StatusFatalError,
		}, host.statuses())
		require.EqualError(t, host.fatal()[0].Err(), "broken")

		report(componentstatus.StatusOK)
		assert.Len(t, host.statuses(), 3, "none after a fatal one")
	})
}

func TestNoStatusIsReportedAfterAShutdownHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newStatusHost()
		s := newStatusReporter(host, new(atomic.Bool), func() { t.Error("nothing is reported") })
		s.stop()
		s.report(componentstatus.NewEvent(componentstatus.StatusRecoverableError))
		s.reportFatal(errors.New("broken"))
		time.Sleep(startGrace)
		synctest.Wait()
		assert.Empty(t, host.statuses())
	})
}

// The Collector accepts one fatal status. The report of a second one would block the shutdown that the first one began.
func TestOnlyOneExporterReportsAFatalStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, stopping := newStatusHost(), new(atomic.Bool)
		for _, broken := range []string{"logs", "traces"} {
			s := newStatusReporter(host, stopping, func() { t.Error("the host accepts the status in time") })
			s.reportFatal(errors.New(broken))
			time.Sleep(time.Nanosecond)
		}
		time.Sleep(startGrace)
		synctest.Wait()
		require.Len(t, host.fatal(), 1)
		require.EqualError(t, host.fatal()[0].Err(), "logs")
	})
}

func TestShutdownWithABlockedHostDrainsTheQueue(t *testing.T) {
	host := blockingHost(anyStatus)
	defer close(host.released)
	library := &fakeLibrary{answer: failingWith(poisoned)}
	cfg := fastConfig(t, func(cfg *Config) { cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Hour })
	logs := startLogs(t, library, cfg, nopSettings(), host)
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Len(t, library.exports(), 1)
	assert.Equal(t, 1, library.closes)
	assert.Empty(t, host.statuses())
}

func TestProcessEndsIfTheFatalStatusIsNotAccepted(t *testing.T) {
	for name, acceptedAfter := range map[string]time.Duration{
		"accepted at once": 0,
		"accepted late":    fatalStatusTimeout - time.Nanosecond,
		"never accepted":   time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := blockingHost(isFatal)
				ended := 0
				s := newStatusReporter(host, new(atomic.Bool), func() { ended++ })
				s.reportFatal(errors.New("broken"))
				time.Sleep(startGrace + acceptedAfter)
				close(host.released)
				synctest.Wait()
				time.Sleep(time.Hour)
				if acceptedAfter < fatalStatusTimeout {
					assert.Zero(t, ended)
				} else {
					assert.Equal(t, 1, ended)
				}
			})
		})
	}
}
