// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// closeTimeout bounds the closing of the library when the caller gives no deadline. Nothing is left to store by then,
// because the queue has been drained.
const closeTimeout = 10 * time.Second

// handle is the opened library. It is *native.Handle outside tests.
type handle interface {
	Export(ctx context.Context, batch *native.Batch, received time.Time) (native.Outcome, error)
	BeginShutdown() error
	Close(timeout time.Duration) error
}

// openFunc opens the library with a configuration in JSON.
type openFunc func(config []byte) (handle, error)

// openNative opens the linked library.
func openNative(config []byte) (handle, error) {
	return native.Open(config)
}

// sharedHandles gives the exporters of all signals of one configured exporter the same handle, because a table must
// have one committer per process. The Collector creates these exporters with the same *Config.
type sharedHandles struct {
	open openFunc

	mu       sync.Mutex
	byConfig map[*Config]*sharedHandle
	// stopping says whether the shutdown of an exporter has begun, or a fatal status is reported that leads to it. The
	// Collector then stops, one after the other, all exporters that it started.
	stopping *atomic.Bool
}

// sharedHandle is an open handle with a count of the exporters that use it.
type sharedHandle struct {
	handle
	users int
	// logger receives the library's log lines while the handle is open.
	logger *zap.Logger
	// poisoned limits the report of a poisoned library to one.
	poisoned sync.Once
	// stopping is that of sharedHandles when this handle was opened.
	stopping *atomic.Bool
}

func newSharedHandles(open openFunc) *sharedHandles {
	return &sharedHandles{open: open, byConfig: map[*Config]*sharedHandle{}, stopping: new(atomic.Bool)}
}

// acquire returns the handle of a configuration. The first user opens it: opened is then true, and logger receives the
// library's log lines.
func (s *sharedHandles) acquire(cfg *Config, logger *zap.Logger) (shared *sharedHandle, opened bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if shared, found := s.byConfig[cfg]; found {
		shared.users++
		return shared, false, nil
	}
	config, err := cfg.libraryJSON()
	if err != nil {
		return nil, false, err
	}
	processLibraryLog.subscribe(logger)
	h, err := s.open(config)
	if err != nil {
		processLibraryLog.unsubscribe(logger)
		return nil, false, err
	}
	if s.stopping.Load() {
		// An exporter that starts after a shutdown does not belong to the exporters that were stopped.
		s.stopping = new(atomic.Bool)
	}
	shared = &sharedHandle{handle: h, users: 1, logger: logger, stopping: s.stopping}
	s.byConfig[cfg] = shared
	return shared, true, nil
}

// release ends the use of a handle. The last user closes it, within ctx and closeTimeout.
func (s *sharedHandles) release(ctx context.Context, cfg *Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	shared, found := s.byConfig[cfg]
	if !found {
		return nil
	}
	shared.users--
	if shared.users > 0 {
		return nil
	}
	delete(s.byConfig, cfg)
	timeout := closeTimeout
	if deadline, bounded := ctx.Deadline(); bounded {
		timeout = min(timeout, max(0, time.Until(deadline)))
	}
	// The library may log while it is closed, so the logger is removed afterwards.
	defer processLibraryLog.unsubscribe(shared.logger)
	return shared.Close(timeout)
}
