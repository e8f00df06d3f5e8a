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

// closeTimeout bounds the closing of the library when the caller gives no deadline. Nothing is left
// to store by then: the queue has been drained.
const closeTimeout = 10 * time.Second

// handle is the opened library; *native.Handle outside tests.
type handle interface {
	Export(ctx context.Context, batch *native.Batch, received time.Time) (native.Outcome, error)
	Hurry() error
	Close(timeout time.Duration) error
}

// openFunc opens the library with a configuration in JSON.
type openFunc func(config []byte) (handle, error)

// openNative opens the library that is linked in, once it is known to be the right one.
func openNative(config []byte) (handle, error) {
	if err := native.Verify(); err != nil {
		return nil, err
	}
	return native.Open(config)
}

// sharedHandles gives the exporters of all signals of one configured exporter the same handle: a
// table must have one committer in a process. The Collector creates them with the same *Config.
type sharedHandles struct {
	open openFunc

	mu     sync.Mutex
	byConf map[*Config]*sharedHandle
	// stopping says whether the stop of an exporter began. The Collector stops all that it started, one after the other.
	stopping *atomic.Bool
}

// sharedHandle is an open handle and how many exporters use it.
type sharedHandle struct {
	handle
	users int
	// logger has the library's warnings while this is open.
	logger *zap.Logger
	// poisoned is done when it has been told that the library can do no more.
	poisoned sync.Once
	// stopping is that of sharedHandles when this was opened.
	stopping *atomic.Bool
}

func newSharedHandles(open openFunc) *sharedHandles {
	return &sharedHandles{open: open, byConf: map[*Config]*sharedHandle{}, stopping: new(atomic.Bool)}
}

// acquire gives the handle of a configuration, opening it for its first user, who is told by opened and whose logger has
// the library's warnings.
func (s *sharedHandles) acquire(cfg *Config, logger *zap.Logger) (shared *sharedHandle, opened bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if shared, found := s.byConf[cfg]; found {
		shared.users++
		return shared, false, nil
	}
	config, err := cfg.libraryJSON()
	if err != nil {
		return nil, false, err
	}
	theLibraryLog.listen(logger)
	h, err := s.open(config)
	if err != nil {
		theLibraryLog.leave(logger)
		return nil, false, err
	}
	if s.stopping.Load() {
		// What starts now does not stop with the others.
		s.stopping = new(atomic.Bool)
	}
	shared = &sharedHandle{handle: h, users: 1, logger: logger, stopping: s.stopping}
	s.byConf[cfg] = shared
	return shared, true, nil
}

// release gives a handle back. The last user closes it, within ctx and closeTimeout.
func (s *sharedHandles) release(ctx context.Context, cfg *Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	shared, found := s.byConf[cfg]
	if !found {
		return nil
	}
	shared.users--
	if shared.users > 0 {
		return nil
	}
	delete(s.byConf, cfg)
	timeout := closeTimeout
	if deadline, bounded := ctx.Deadline(); bounded {
		timeout = min(timeout, max(0, time.Until(deadline)))
	}
	// The closing may have something to say.
	defer theLibraryLog.leave(shared.logger)
	return shared.Close(timeout)
}
