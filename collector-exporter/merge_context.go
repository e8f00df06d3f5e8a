// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"runtime"
	"sync"
	"time"
	"weak"
)

// mergedContext is the context of a merged batch whose clients wait for the result: it ends with the last of theirs. Without
// it a batch would be tried for ever, though all of its clients had given up and sent their data again, which makes a
// copy of it each time.
//
// One client that still waits keeps the batch alive. What the others sent is then stored although they were told that it
// was not.
//
// Some clients, such as receivers in this Collector, have one context for as long as they live. So what is registered with
// a client's context refers to this one weakly, and goes when the batch does.
type mergedContext struct {
	start sync.Once
	ended chan struct{}

	mu      sync.Mutex
	clients []context.Context
	// watched says whether somebody waits for the end, so that no client can be added.
	watched bool
	// waiting are the clients that have not ended.
	waiting int
	// err is how the last one ended.
	err error
}

// mergedKey finds a mergedContext behind those that were made of it.
type mergedKey struct{}

// mergeContexts merges a client's context into that of a batch.
func mergeContexts(batch, client context.Context) context.Context {
	if merged, ok := batch.Value(mergedKey{}).(*mergedContext); ok && merged.add(client) {
		return merged
	}
	return &mergedContext{
		ended:   make(chan struct{}),
		clients: []context.Context{batch, client},
		waiting: 2,
	}
}

// add takes a client on, unless somebody waits for the end already.
func (m *mergedContext) add(client context.Context) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watched {
		return false
	}
	m.clients = append(m.clients, client)
	m.waiting++
	return true
}

// Value gives the context itself to mergeContexts, and else nothing: no client's values are the batch's.
func (m *mergedContext) Value(key any) any {
	if key == (mergedKey{}) {
		return m
	}
	return nil
}

// Deadline is the latest of the clients'; none when one of them has none.
func (m *mergedContext) Deadline() (latest time.Time, bounded bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, client := range m.clients {
		deadline, bounded := client.Deadline()
		if !bounded {
			return time.Time{}, false
		}
		if deadline.After(latest) {
			latest = deadline
		}
	}
	return latest, !latest.IsZero()
}

// Done ends when no client waits any more.
func (m *mergedContext) Done() <-chan struct{} {
	m.start.Do(m.watch)
	return m.ended
}

// Err says how the last client ended.
func (m *mergedContext) Err() error {
	select {
	case <-m.Done():
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.err
	default:
		return nil
	}
}

// watch waits for each of the clients.
func (m *mergedContext) watch() {
	m.mu.Lock()
	m.watched = true
	clients := m.clients
	m.mu.Unlock()
	batch := weak.Make(m)
	var watches []func() bool
	for _, client := range clients {
		watches = append(watches, context.AfterFunc(client, func() {
			if m := batch.Value(); m != nil {
				m.leave(client.Err())
			}
		}))
	}
	runtime.AddCleanup(m, func(watches []func() bool) {
		for _, stop := range watches {
			stop()
		}
	}, watches)
}

// leave notes that a client waits no more.
func (m *mergedContext) leave(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting--
	if m.waiting == 0 {
		m.err = err
		close(m.ended)
	}
}

// mergeClients gives the way to merge contexts where clients wait for the result, else none: the contexts of a queue never
// end then.
func (cfg *Config) mergeClients() func(first, second context.Context) context.Context {
	if cfg.QueueConfig.HasValue() && cfg.QueueConfig.Get().WaitForResult {
		return mergeContexts
	}
	return nil
}
