// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"maps"
	"sync"
	"weak"

	"go.uber.org/zap"
)

// shutdownRetries finds the batches that a shutdown would drop without another attempt. exporterhelper ends all
// waiting between attempts when it is shut down, and a queue in memory then drops the batches that waited, although
// the destination may work again. Batches that are still queued are exported once more at a shutdown, so these batches
// are, too.
//
// exporterhelper does not report that it gives a batch up. Until the shutdown, batches are therefore held by weak
// pointers only: a batch that waits for its next attempt is kept alive by exporterhelper. A batch that was given up
// and is not garbage-collected yet is also retried, which does no harm.
type shutdownRetries struct {
	mu sync.Mutex
	// waiting holds the batches whose last attempt failed and that are to be tried again.
	waiting map[weak.Pointer[request]]struct{}
	// stopping says whether exporterhelper is being shut down.
	stopping bool
	// pending holds the batches to retry once exporterhelper has been shut down.
	pending map[*request]struct{}
}

func newShutdownRetries() *shutdownRetries {
	return &shutdownRetries{waiting: map[weak.Pointer[request]]struct{}{}, pending: map[*request]struct{}{}}
}

// begin notes the start of an attempt. It returns whether the batch may be tried again after a failure: an attempt that
// begins during the shutdown is the last one.
func (s *shutdownRetries) begin(r *request) (retryable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, weak.Make(r))
	delete(s.pending, r)
	return !s.stopping
}

// failed notes the temporary failure of an attempt that began before the shutdown.
func (s *shutdownRetries) failed(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		s.pending[r] = struct{}{}
		return
	}
	// Batches that were given up are removed here.
	maps.DeleteFunc(s.waiting, func(batch weak.Pointer[request], _ struct{}) bool { return batch.Value() == nil })
	s.waiting[weak.Make(r)] = struct{}{}
}

// stop keeps the waiting batches alive. It must be called before exporterhelper is shut down, which drops them.
func (s *shutdownRetries) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for batch := range s.waiting {
		if r := batch.Value(); r != nil {
			s.pending[r] = struct{}{}
		}
	}
	clear(s.waiting)
}

// take removes and returns the batches to retry.
func (s *shutdownRetries) take() []*request {
	s.mu.Lock()
	defer s.mu.Unlock()
	pending := make([]*request, 0, len(s.pending))
	for r := range s.pending {
		pending = append(pending, r)
	}
	clear(s.pending)
	return pending
}

// retriesAtShutdown returns whether batches that wait for another attempt are tried once more at a shutdown. They are
// not when a queue on disk keeps them, when their clients are told that they were not stored, or when retries are
// disabled.
func (cfg *Config) retriesAtShutdown() bool {
	queue := cfg.QueueConfig.Get()
	return cfg.RetryConfig.Enabled && queue != nil && queue.StorageID == nil && !queue.WaitForResult
}

// retryPending exports the batches that waited for another attempt when the shutdown came. It exports all of them at
// once, within timeout and ctx. There are at most as many as the queue has consumers. exporterhelper has already logged
// and counted them as dropped.
func (e *signalExporter) retryPending(ctx context.Context) {
	var exports sync.WaitGroup
	for _, r := range e.retries.take() {
		exports.Go(func() {
			items := zap.Int("items", r.items)
			if err := e.export(ctx, r); err != nil {
				e.logger.Error("A batch that waited for another attempt failed at the stop, too. It is dropped.",
					items, zap.Error(err))
				e.telemetry.endBatch(r)
				r.free()
				return
			}
			e.logger.Info("A batch that waited for another attempt is stored after all; "+
				"it was reported as dropped before.", items)
		})
	}
	exports.Wait()
}
