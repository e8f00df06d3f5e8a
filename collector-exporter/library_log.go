// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// libraryLogInterval is the time between two polls of the library's log. The library has no callbacks. The lines of a
// call are also forwarded as soon as the call ends.
const libraryLogInterval = time.Second

// libraryLog forwards the library's log lines to the Collector's log, and so to its level, encoding and output_paths.
//
// The library has one log for the whole process, however often it is opened, so all exporters share processLibraryLog.
// Lines go to the logger that subscribed last.
type libraryLog struct {
	// take returns the oldest line. It is native.TakeLog outside tests.
	take func() (native.LogLevel, string)

	mu      sync.Mutex
	loggers []*zap.Logger
	// stop ends the polling, and stopped is closed once it has ended. Both are nil while no logger is subscribed.
	stop, stopped chan struct{}
}

var processLibraryLog = &libraryLog{take: native.TakeLog}

// subscribe forwards lines to logger until unsubscribe is called with it.
func (l *libraryLog) subscribe(logger *zap.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loggers = append(l.loggers, logger)
	// The first call also makes the library keep its lines instead of writing them to stderr.
	l.forwardLocked()
	if l.stop == nil {
		l.stop, l.stopped = make(chan struct{}), make(chan struct{})
		go l.poll(l.stop, l.stopped)
	}
}

// unsubscribe forwards the lines so far, then removes a logger. After the last one it waits until the polling has
// ended.
func (l *libraryLog) unsubscribe(logger *zap.Logger) {
	if stopped := l.remove(logger); stopped != nil {
		<-stopped
	}
}

// remove removes a logger. After the last one it returns the channel to wait for. The caller waits without the lock,
// which the polling needs in order to end.
func (l *libraryLog) remove(logger *zap.Logger) (stopped chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forwardLocked()
	index := slices.Index(l.loggers, logger)
	if index < 0 {
		return nil
	}
	l.loggers = slices.Delete(l.loggers, index, index+1)
	if len(l.loggers) > 0 {
		return nil
	}
	close(l.stop)
	stopped = l.stopped
	l.stop, l.stopped = nil, nil
	return stopped
}

// forward forwards the lines so far.
func (l *libraryLog) forward() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forwardLocked()
}

// forwardLocked does the work of forward. The caller holds the lock.
func (l *libraryLog) forwardLocked() {
	if len(l.loggers) == 0 {
		return
	}
	logger := l.loggers[len(l.loggers)-1]
	for {
		level, line := l.take()
		switch level {
		case native.LogNone:
			return
		case native.LogError:
			logger.Error(line)
		default:
			logger.Warn(line)
		}
	}
}

// poll forwards lines that the library logs between calls, until stop is closed.
func (l *libraryLog) poll(stop, stopped chan struct{}) {
	defer close(stopped)
	ticker := time.NewTicker(libraryLogInterval)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			l.forward()
		}
	}
}
