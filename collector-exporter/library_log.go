// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// libraryLogInterval is how often the library is asked for lines of its log. It calls nobody; what it says of a call
// is asked for when that ends.
const libraryLogInterval = time.Second

// libraryLog hands the library's warnings on to the Collector's log, and so to its level, encoding and output_paths.
//
// The library has one log for the process, whoever opened it, so there is one of these: theLibraryLog. Lines go to the
// exporter that was opened last.
type libraryLog struct {
	// take gives the oldest line; native.TakeLog outside tests.
	take func() (native.LogLevel, string)

	mu      sync.Mutex
	loggers []*zap.Logger
	// stop ends the asking, and stopped says that it has ended. Nil while nobody listens.
	stop, stopped chan struct{}
}

var theLibraryLog = &libraryLog{take: native.TakeLog}

// listen has lines go to logger until it is given to leave.
func (l *libraryLog) listen(logger *zap.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loggers = append(l.loggers, logger)
	// The first time it also has the library keep its lines rather than write them to stderr.
	l.handOnLocked()
	if l.stop == nil {
		l.stop, l.stopped = make(chan struct{}), make(chan struct{})
		go l.ask(l.stop, l.stopped)
	}
}

// leave takes a logger back, after it has had the lines so far.
func (l *libraryLog) leave(logger *zap.Logger) {
	if stopped := l.remove(logger); stopped != nil {
		<-stopped
	}
}

// remove gives what to wait for, without the lock, when nobody listens any more.
func (l *libraryLog) remove(logger *zap.Logger) (stopped chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handOnLocked()
	place := slices.Index(l.loggers, logger)
	if place < 0 {
		return nil
	}
	l.loggers = slices.Delete(l.loggers, place, place+1)
	if len(l.loggers) > 0 {
		return nil
	}
	close(l.stop)
	stopped = l.stopped
	l.stop, l.stopped = nil, nil
	return stopped
}

// handOn hands on what the library has said so far.
func (l *libraryLog) handOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handOnLocked()
}

func (l *libraryLog) handOnLocked() {
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

// ask hands on what the library says between calls, until stop.
func (l *libraryLog) ask(stop, stopped chan struct{}) {
	defer close(stopped)
	again := time.NewTicker(libraryLogInterval)
	defer again.Stop()
	for {
		select {
		case <-stop:
			return
		case <-again.C:
			l.handOn()
		}
	}
}
