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
	// startSettles is how long a Collector may take to start what it starts after an exporter.
	startSettles = 10 * time.Second
	// stopReaches is how long a stop may take until exporters are told of it.
	stopReaches = time.Second
	// fatalTaken is how long the Collector may take to take a fatal status. One that does not hangs for good.
	fatalTaken = 30 * time.Second
)

// statuses reports an exporter's statuses to the Collector, and never holds up whoever has one to report.
//
// The Collector (v0.161) takes a fatal status only while it runs: not while it starts, stops or loads its configuration anew.
// At any other time the report of one never returns, and keeps a lock that starting, stopping and the reports of all components
// wait for; the process then hangs until it is killed (open-telemetry/opentelemetry-collector#8116, #9824, #12495). Hence
//   - reports come from a goroutine of their own,
//   - a fatal one waits for startSettles after the start, and for stopReaches in any case,
//   - and nothing is reported once the stop of an exporter began, since all are stopped then.
//
// What is left is a library that breaks in a start that takes longer, or in a stop whose receivers and processors, which come
// before the exporters, take longer. Neither can be known from here, so a process whose Collector has not taken the status after
// fatalTaken is ended.
type statuses struct {
	host component.Host
	// hangs is called when the Collector does not take a fatal status.
	hangs func()
	// settled is when the Collector has started.
	settled time.Time
	// stopping says whether a stop began; all exporters that are stopped together share it.
	stopping *atomic.Bool

	mu sync.Mutex
	// next is to be reported; the newest takes the place of others that wait, but a fatal one is the last.
	next *componentstatus.Event
	// reporting says whether there is a goroutine that reports.
	reporting bool
}

// newStatuses is for an exporter that starts now.
func newStatuses(host component.Host, stopping *atomic.Bool, hangs func()) *statuses {
	return &statuses{host: host, hangs: hangs, settled: time.Now().Add(startSettles), stopping: stopping}
}

// report hands a status on.
func (s *statuses) report(event *componentstatus.Event) {
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

// reportFatal has the Collector end because of err, unless it is about to anyway.
func (s *statuses) reportFatal(err error) {
	time.AfterFunc(max(time.Until(s.settled), stopReaches), func() { s.report(componentstatus.NewFatalErrorEvent(err)) })
}

// stop ends the reports of all exporters that are stopped together.
func (s *statuses) stop() {
	s.stopping.Store(true)
}

func (s *statuses) reportAll() {
	for event := s.take(); event != nil; event = s.take() {
		if event.Status() == componentstatus.StatusFatalError {
			defer time.AfterFunc(fatalTaken, s.hangs).Stop()
		}
		componentstatus.ReportStatus(s.host, event)
	}
}

// take gives what to report now; nil ends the goroutine that reports.
func (s *statuses) take() *componentstatus.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	event := s.next
	s.next = nil
	if s.stopping.Load() {
		event = nil
	}
	s.reporting = event != nil
	return event
}
