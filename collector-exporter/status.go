// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

const (
	// startGrace is how long the Collector may take to start the components that it starts after an exporter.
	startGrace = 10 * time.Second
	// stopGrace is how long a shutdown of the Collector may take to reach the exporters.
	stopGrace = time.Second
	// fatalStatusTimeout is how long the Collector may take to accept a fatal status. After that it is taken to hang.
	fatalStatusTimeout = 30 * time.Second
)

// statusReporter reports an exporter's statuses to the Collector. It never blocks its callers.
//
// The Collector (v0.161) accepts a fatal status only while it runs, not while it starts, stops or reloads its
// configuration. At any other time the report of a fatal status never returns. It then keeps a lock that starting,
// stopping and the reports of all components wait for, so the process hangs until it is killed
// (open-telemetry/opentelemetry-collector#8116, #9824, #12495). Therefore:
//   - Reports come from a goroutine of their own.
//   - A fatal status waits until startGrace after the start, and for stopGrace in any case.
//   - Nothing is reported once the shutdown of an exporter has begun, since all exporters are then stopped. Nor is
//     anything after the first fatal status of any of them, which leads to that shutdown.
//
// Two cases remain, and neither can be detected here: the library breaks in a start that takes longer than startGrace,
// or in a shutdown whose receivers and processors, which come before the exporters, take longer than stopGrace. A
// process whose Collector has not accepted the status after fatalStatusTimeout is therefore ended.
type statusReporter struct {
	host component.Host
	// onHang is called when the Collector does not accept a fatal status.
	onHang func()
	// startedBy is when the Collector is expected to have started.
	startedBy time.Time
	// stopping says whether a shutdown has begun, or a fatal status is reported that leads to one. All exporters that
	// are stopped together share it.
	stopping *atomic.Bool

	mu sync.Mutex
	// next is the status to report. A newer status replaces it, unless it is fatal.
	next *componentstatus.Event
	// reporting says whether a goroutine is reporting.
	reporting bool
}

// newStatusReporter returns the reporter of an exporter that starts now.
func newStatusReporter(host component.Host, stopping *atomic.Bool, onHang func()) *statusReporter {
	return &statusReporter{host: host, onHang: onHang, startedBy: time.Now().Add(startGrace), stopping: stopping}
}

// report schedules the report of a status.
func (s *statusReporter) report(event *componentstatus.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil && s.next.Status() == componentstatus.StatusFatalError {
		return
	}
	s.next = event
	if !s.reporting {
		s.reporting = true
		go s.reportAll()
	}
}

// reportFatal schedules a fatal status, which ends the Collector. It has no effect if a shutdown begins first.
func (s *statusReporter) reportFatal(err error) {
	delay := max(time.Until(s.startedBy), stopGrace)
	time.AfterFunc(delay, func() { s.report(componentstatus.NewFatalErrorEvent(err)) })
}

// stop ends the reports of all exporters that are stopped together.
func (s *statusReporter) stop() {
	s.stopping.Store(true)
}

func (s *statusReporter) reportAll() {
	for event := s.takeNext(); event != nil; event = s.takeNext() {
		if event.Status() == componentstatus.StatusFatalError {
			defer time.AfterFunc(fatalStatusTimeout, s.onHang).Stop()
		}
		componentstatus.ReportStatus(s.host, event)
	}
}

// takeNext returns the status to report now. Nil ends the reporting goroutine.
func (s *statusReporter) takeNext() *componentstatus.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	event := s.next
	s.next = nil
	if s.isOver(event) {
		event = nil
	}
	s.reporting = event != nil
	return event
}

// isOver says whether this status, and any later one, is not reported any more. Only the first fatal status is.
func (s *statusReporter) isOver(event *componentstatus.Event) bool {
	if event != nil && event.Status() == componentstatus.StatusFatalError {
		return s.stopping.Swap(true)
	}
	return s.stopping.Load()
}
