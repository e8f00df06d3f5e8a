// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"maps"
	"sync"
	"weak"

	"go.uber.org/zap"
)

// lastAttempts finds the batches that a stop would drop untried. exporterhelper ends all waiting between attempts when it
// is shut down, and a queue in memory then drops what waited, though the destination may work again. What is still queued
// is exported once more; these batches shall be, too.
//
// exporterhelper does not say when it gives a batch up, so until the stop they are held by weak pointers only: one that
// waits for its next attempt is alive as long as it does. (One that was given up and is not collected as garbage yet is then
// tried, too, which harms nobody.)
type lastAttempts struct {
	mu sync.Mutex
	// waiting have failed, and are tried again if nothing comes between.
	waiting map[weak.Pointer[request]]struct{}
	// stopping says whether exporterhelper is being shut down.
	stopping bool
	// left are to be tried once more when it is.
	left map[*request]struct{}
}

func newLastAttempts() *lastAttempts {
	return &lastAttempts{waiting: map[weak.Pointer[request]]struct{}{}, left: map[*request]struct{}{}}
}

// begin notes that a batch is tried, and says whether it may be tried again after a failure: an attempt that is begun
// while the exporter stops is the last one.
func (l *lastAttempts) begin(r *request) (again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, weak.Make(r))
	delete(l.left, r)
	return !l.stopping
}

// failed notes that an attempt failed which was begun before the stop, for a reason that may pass.
func (l *lastAttempts) failed(r *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping {
		l.left[r] = struct{}{}
		return
	}
	// Those that were given up are forgotten here.
	maps.DeleteFunc(l.waiting, func(batch weak.Pointer[request], _ struct{}) bool { return batch.Value() == nil })
	l.waiting[weak.Make(r)] = struct{}{}
}

// stop holds on to what waits. It must come before exporterhelper is shut down, which lets go of it.
func (l *lastAttempts) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping = true
	for batch := range l.waiting {
		if r := batch.Value(); r != nil {
			l.left[r] = struct{}{}
		}
	}
	clear(l.waiting)
}

// take gives what is to be tried once more.
func (l *lastAttempts) take() []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := make([]*request, 0, len(l.left))
	for r := range l.left {
		left = append(left, r)
	}
	clear(l.left)
	return left
}

// triesAtTheStop says whether batches that wait for another attempt are tried once more at a stop: not when a queue on
// disk keeps them, when their clients are told that they were not stored, or when nothing is tried again at all.
func (cfg *Config) triesAtTheStop() bool {
	if !cfg.RetryConfig.Enabled || !cfg.QueueConfig.HasValue() {
		return false
	}
	queue := cfg.QueueConfig.Get()
	return queue.StorageID == nil && !queue.WaitForResult
}

// exportLeft exports what waited for another attempt when the stop came, all at once, within timeout and ctx. There are
// at most as many as the queue has consumers. exporterhelper has logged and counted them as dropped already.
func (e *signalExporter) exportLeft(ctx context.Context) {
	var exports sync.WaitGroup
	for _, r := range e.last.take() {
		exports.Go(func() {
			items := zap.Int("items", r.items)
			if err := e.export(ctx, r); err != nil {
				e.logger.Error("A batch that waited for another attempt failed at the stop, too. It is dropped.", items, zap.Error(err))
				e.telemetry.end(r)
				r.free()
				return
			}
			e.logger.Info("A batch that waited for another attempt is stored after all; it was reported as dropped before.", items)
		})
	}
	exports.Wait()
}
